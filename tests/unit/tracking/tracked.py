"""A registry and a spool to track into, and what came of it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from janitor.registry import Entry, Registry
from janitor.tracking import flush

DEADLINE = 240.0


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the inbox."""

    kind: str
    id: str
    event: str
    metadata: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with a registry and the spools that lead to it."""

    directory: Path

    @property
    def database(self) -> Path:
        return self.directory / "janitor.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    def rows(self) -> list[Row]:
        """What is in the inbox."""
        query = "SELECT kind, id, event, metadata FROM janitor_inbox ORDER BY seq"
        with closing(sqlite3.connect(self.database)) as connection:
            found = connection.execute(query).fetchall()
        return [
            Row(kind, one, event, json.loads(said or "null")) for kind, one, event, said in found
        ]

    def told(self) -> list[tuple[str, str]]:
        """What is in the inbox once everything is delivered: events by id."""
        assert flush(DEADLINE)
        return [(row.event, row.id) for row in self.rows()]

    def entries(self) -> dict[str, Entry]:
        """What a janitor makes of it."""
        assert flush(DEADLINE)
        with Registry.open(self.url) as registry:
            registry.inbox.drain(datetime.now(UTC))
            return {entry.thread.key.id: entry for entry in registry.threads.select()}

    def spooled(self) -> list[dict[str, Any]]:
        """What waits in the spools."""
        paths = sorted((self.directory / "spool").glob("*/*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
