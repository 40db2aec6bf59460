"""Where a crash scenario keeps its registry: one database for each directory, copied with it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psycopg
from postgres import Server
from psycopg.rows import dict_row

Rows = list[dict[str, Any]]


class Database(Protocol):
    """One engine; a directory's registry is found by the directory."""

    def url(self, directory: Path) -> str:
        """What the configuration says of it."""

    def create(self, directory: Path) -> None:
        """Make room for a registry."""

    def copy(self, source: Path, directory: Path) -> None:
        """Put a copied directory's registry in the place of any that was there."""

    def execute(self, directory: Path, statement: str) -> Rows:
        """Run a statement, and commit it."""

    def bury(self, directory: Path) -> None:
        """Let all be over that ends some time after the process that held it."""

    def drop(self, directory: Path) -> None:
        """Remove it."""


class Files:
    """SQLite: the registry lies in the directory and shares its fate."""

    def url(self, directory: Path) -> str:
        return f"sqlite:///{directory / 'janitor.db'}"

    def create(self, directory: Path) -> None: ...

    def copy(self, source: Path, directory: Path) -> None: ...

    def execute(self, directory: Path, statement: str) -> Rows:
        with closing(sqlite3.connect(directory / "janitor.db")) as connection:
            connection.row_factory = sqlite3.Row
            with connection:
                return [dict(row) for row in connection.execute(statement)]

    def bury(self, directory: Path) -> None: ...

    def drop(self, directory: Path) -> None: ...


@dataclass
class Shared:
    """PostgreSQL: a database for each directory, of its name."""

    server: Server
    prefix: str
    admin: psycopg.Connection[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.admin = psycopg.connect(self.server.admin, autocommit=True, row_factory=dict_row)

    def name(self, directory: Path) -> str:
        return f"{self.prefix}_{directory.name}"

    def url(self, directory: Path) -> str:
        return self.server.url(self.name(directory))

    def create(self, directory: Path) -> None:
        self._command(f"CREATE DATABASE {self.name(directory)}")

    def copy(self, source: Path, directory: Path) -> None:
        self.drop(directory)
        self._command(f"CREATE DATABASE {self.name(directory)} TEMPLATE {self.name(source)}")

    def execute(self, directory: Path, statement: str) -> Rows:
        where = f"host={self.server.directory} user=postgres dbname={self.name(directory)}"
        with closing(psycopg.connect(where, autocommit=True, row_factory=dict_row)) as connection:
            cursor = connection.execute(statement.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def bury(self, directory: Path) -> None:
        # Sessions of the dead end by themselves, leases by the clock; neither is waited for.
        name = self.name(directory)
        sessions = f"FROM pg_stat_activity WHERE datname = '{name}'"
        self._command(f"SELECT pg_terminate_backend(pid, 10000) {sessions}")
        over = "UPDATE thread SET claim_until = now() WHERE claim_owner IS NOT NULL"
        self.execute(directory, over)

    def drop(self, directory: Path) -> None:
        self._command(f"DROP DATABASE IF EXISTS {self.name(directory)} WITH (FORCE)")

    def close(self) -> None:
        self.admin.close()

    def _command(self, statement: str) -> None:
        self.admin.execute(statement.encode())
