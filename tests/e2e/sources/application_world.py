"""An application with a table of chats on PostgreSQL, and a janitor that reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import psycopg
from peak import MEASURED
from postgres import Server
from world import Done, World

CHATS = """
CREATE TABLE chats (
  id bigserial PRIMARY KEY, conversation_id text UNIQUE, user_id uuid DEFAULT gen_random_uuid(),
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()
);
CREATE INDEX ON chats (updated_at);
CREATE TABLE instant AS SELECT now() AS at;
"""
FILL = """
INSERT INTO chats (conversation_id, created_at, updated_at)
SELECT 'conv_' || n, now() - interval '90 days', now() - interval '90 days' * (1 - n::float / {all})
FROM generate_series({first}, {last}) AS n
"""
SOURCE = """\
sources:
  chats:
    sql:
      url: {{env: APP_DATABASE_URL}}
      query: >
        SELECT conversation_id AS id, 'conversation' AS kind, created_at,
        updated_at AS last_active_at, user_id AS "metadata.user_id", updated_at
        FROM chats WHERE updated_at > :watermark
      watermark: updated_at
      overlap: {overlap}
    on_vanish: {on_vanish}
"""


@dataclass
class Application:
    """The application's side, and the janitor's commands about it."""

    world: World
    server: Server
    database: str

    def __post_init__(self) -> None:
        self.execute(CHATS)
        self.world.environment["APP_DATABASE_URL"] = self.server.url(self.database).replace(
            "postgresql+psycopg", "postgres"
        )
        self.configure()

    def configure(self, *, overlap: str = "10m", on_vanish: str = "keep") -> None:
        self.world.configure()
        with self.world.config.open("a", encoding="utf-8") as file:
            file.write(SOURCE.format(overlap=overlap, on_vanish=on_vanish))

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(f"{self.server.admin} dbname={self.database}")

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        return self.server.execute(statement, self.database)

    def fill(self, first: int, end: int, all: int) -> None:
        """The first to the end of so many chats of ninety days, the oldest first."""
        self.execute(FILL.format(first=first, last=end - 1, all=all))

    def sync(self, *arguments: str) -> dict[str, Any]:
        """Read the source, and give what its one row says."""
        done = self.world.run("--output", "json", "sync", *arguments)
        assert done.code == 0, done.err
        (row,) = done.document["sources"]
        return dict(row)

    def measured_sync(self) -> tuple[Done, int]:
        """A sync in a process of its own, and the most memory that it held, in bytes."""
        arguments = ["--config", str(self.world.config), "--output", "json", "sync"]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments],
            env={**os.environ, **self.world.environment},
            cwd=self.world.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        *_, memory = done.stderr.splitlines()
        return Done(done.returncode, done.stdout, done.stderr), int(memory) << 10

    def chats(self) -> set[str]:
        """Every conversation that the table names."""
        return {str(name) for (name,) in self.execute("SELECT conversation_id FROM chats")}
