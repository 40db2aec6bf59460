"""B7: putting a thread into the archive and proving it, beside zstd and one durable file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

import orjson
import zstandard
from comparison import Measure, Size, times

from janitor.archive import Archive
from janitor.model import Key, Kind, Record

OBJECTS = 200
AT_ONCE = 16
ITEMS = 20
TEXT = "How do I export my invoices of last year? " * 4
NOW = datetime.now(UTC)
LEVEL = 3


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """CPU of put and proof ÷ that of zstd at the same level and a synced file.

    A sweep works on many threads at once; a loop that awaits each does not.
    """
    number, names = size.rows(OBJECTS), count()
    archive = Archive.open(f"file://{directory / 'archive'}")
    plain = directory / "plain"
    plain.mkdir()
    for at_once in (AT_ONCE, 1):
        halves = iter(
            [[records(f"conv_{next(names)}") for _ in range(number)] for _ in range(2 * size.pairs)]
        )
        ratios = times(
            partial(put_all, archive, halves, at_once),
            partial(write_all, plain, halves),
            size.pairs,
        )
        told = f"put and proof of {ITEMS} items, {at_once} at once, CPU"
        yield Measure("B7", told, 1.3, tuple(ratios), at_most=True)


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


def put_all(archive: Archive, halves: Iterator[list[list[Record]]], at_once: int) -> None:
    """Put each export of the next half into the archive, then prove it, so many at once."""
    asyncio.run(_put_all(archive, iter(next(halves)), at_once))


async def _put_all(archive: Archive, waiting: Iterator[list[Record]], at_once: int) -> None:
    async def export(exported: list[Record]) -> AsyncIterator[Record]:
        for record in exported:
            yield record

    async def work() -> None:
        for exported in waiting:
            key = Key("main", Kind.CONVERSATION, exported[0].id)
            await archive.prove(await archive.put(key, NOW, export(exported), NOW))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


def write_all(directory: Path, halves: Iterator[list[list[Record]]]) -> None:
    """Write each export of the next half as a compressed file that a loss of power leaves whole."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    for exported in next(halves):
        path = directory / f"{exported[0].id}.zst"
        draft = path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(compressor.compress(b"\n".join(record.body for record in exported)))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
