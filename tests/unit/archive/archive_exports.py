"""Exports to archive, made up here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path

import orjson

from janitor.archive import Archive
from janitor.model import Copy, Key, Kind, Record

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATED = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
KEY = Key("main", Kind.CONVERSATION, "conv_1")
DIRECTORY = "main/conversation/2026/01"


def archive_in(directory: Path) -> Archive:
    return Archive.open(directory.as_uri())


def container(id: str = "conv_1", **fields: object) -> Record:
    return Record(id, orjson.dumps({"id": id, "object": "conversation", **fields}), is_item=False)


def item(id: str, text: str = "hello", **fields: object) -> Record:
    return Record(id, orjson.dumps({"id": id, "text": text, **fields}), is_item=True)


def run(id: str, **fields: object) -> Record:
    return Record(id, orjson.dumps({"id": id, "object": "run", **fields}), is_item=False)


def export(items: int = 3, id: str = "conv_1") -> list[Record]:
    return [container(id), *(item(f"msg_{number}") for number in range(items))]


async def stream(records: Iterable[Record]) -> AsyncIterator[Record]:
    for record in records:
        yield record


def put(
    archive: Archive,
    records: Iterable[Record],
    *,
    key: Key = KEY,
    created_at: datetime | None = CREATED,
    now: datetime = NOW,
) -> Copy:
    return asyncio.run(archive.put(key, created_at, stream(records), now))


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
