"""An application's own table, on either engine, and a source that reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from janitor.config import Source, SqlSettings
from janitor.registry import Registry
from janitor.sources.sync import Context, Synced, sync

QUERY = (
    "SELECT id, 'thread' AS kind, created_at, plan AS \"metadata.plan\", updated_at FROM chats "
    "WHERE updated_at > :watermark"
)
CHATS = "CREATE TABLE chats (id TEXT, created_at TEXT, plan TEXT, updated_at {type})"


def of_file(path: Path, query: str = QUERY, watermark: str | None = "updated_at") -> Source:
    return of_address(f"sqlite:///{path}", query, watermark)


def of_address(url: str, query: str = QUERY, watermark: str | None = "updated_at") -> Source:
    overlap, timeout = timedelta(minutes=10), timedelta(seconds=60)
    return Source("chats", "main", SqlSettings(url, query, watermark, overlap, timeout, Path()))


def expiring(source: Source) -> Source:
    return replace(source, expire_after=timedelta(days=30))


def write(path: Path, *statements: str, rows: Iterable[tuple[Any, ...]] = ()) -> None:
    """Run statements on a SQLite file; the last one for each of the rows, where there are any."""
    with closing(sqlite3.connect(path)) as connection, connection:
        *before, last = statements
        for statement in before:
            connection.execute(statement)
        if given := list(rows):
            connection.executemany(last, given)
        else:
            connection.execute(last)


def context(
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    **others: Any,  # noqa: ANN401 - its fields
) -> Context:
    return Context(("main",), now, 20.0, **others)


def read(registry: Registry, source: Source, **others: Any) -> Synced:  # noqa: ANN401 - of a context
    return sync(registry, source, context(**others))


def ids(registry: Registry) -> list[str]:
    return sorted(entry.thread.key.id for entry in registry.threads.select())
