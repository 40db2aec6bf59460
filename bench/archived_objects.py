"""B7: putting a thread into the archive and proving it, beside zstd and one durable file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import orjson
import zstandard
from comparison import Measure, Size, times

from janitor.archive import Archive
from janitor.model import Key, Kind, Record

OBJECTS = 200
ITEMS = 20
TEXT = "How do I export my invoices of last year? " * 4
NOW = datetime.now(UTC)
LEVEL = 3


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """CPU of put and proof ÷ that of zstd at the same level and a synced file."""
    number, names = size.rows(OBJECTS), count()
    archive = Archive.open(f"file://{directory / 'archive'}")
    plain = directory / "plain"
    plain.mkdir()

    def ours() -> None:
        asyncio.run(put_all(archive, [f"conv_{next(names)}" for _ in range(number)]))

    def reference() -> None:
        for _ in range(number):
            write(plain / f"conv_{next(names)}.zst", records(f"conv_{next(names)}"))

    ratios = tuple(times(ours, reference, size.pairs))
    yield Measure("B7", f"put and proof of {ITEMS} items, CPU", 1.3, ratios, at_most=True)


def records(id: str) -> list[Record]:
    """A conversation and its items, as an export gives them."""
    head: dict[str, object] = {
        "id": id,
        "object": "conversation",
        "created_at": 1_700_000_000,
        "metadata": {},
    }
    items: list[dict[str, object]] = [
        {
            "id": f"msg_{id}_{n}",
            "type": "message",
            "role": ("user", "assistant")[n % 2],
            "status": "completed",
            "content": [{"type": "input_text", "text": f"{n} {TEXT}"}],
        }
        for n in range(ITEMS)
    ]
    return [
        Record(str(one["id"]), orjson.dumps(one), number > 0)
        for number, one in enumerate([head, *items])
    ]


async def put_all(archive: Archive, ids: list[str]) -> None:
    """Put each into the archive, then prove it."""

    async def export(id: str) -> AsyncIterator[Record]:
        for record in records(id):
            yield record

    for one in ids:
        key = Key("main", Kind.CONVERSATION, one)
        await archive.prove(await archive.put(key, NOW, export(one), NOW))


def write(path: Path, exported: list[Record]) -> None:
    """Write an export's lines as one compressed file that a loss of power leaves whole."""
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        content = b"\n".join(record.body for record in exported)
        file.write(zstandard.ZstdCompressor(level=LEVEL).compress(content))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
