"""Where levels are kept: by one process that remembers them, or in rows that many share."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Protocol, TypeVar

from janitor.errors import StoreError
from janitor.pace.level import Level

T = TypeVar("T")
Change = Callable[[Level, float], tuple[Level, T]]
"""From a level and the time to the new level and what to tell."""


class Memory(Protocol):
    """Keeps small texts from one run to the next; a registry is one."""

    def recall(self, name: str) -> str | None: ...
    def remember(self, name: str, value: str) -> None: ...


class Rows(Protocol):
    """Changes small texts one at a time, whoever else does; a registry is one.

    `change` is given what is there (`None`: nothing) and the time that all who share it go by.
    """

    def alter(self, name: str, change: Callable[[str | None, datetime], str]) -> None: ...


class Ledger(Protocol):
    """Changes levels one at a time, whoever else works on them, and by a clock of its own."""

    async def alter(self, name: str, change: Change[T]) -> T: ...
    def save(self) -> None: ...


def steady() -> Callable[[], float]:
    """A clock of seconds since the epoch that is never set back while this process runs."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Own:
    """The levels of one process; `memory` carries them from one to the next."""

    def __init__(
        self, memory: Memory | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self._memory = memory
        self._clock = clock or steady()
        self._levels: dict[str, Level] = {}

    async def alter(self, name: str, change: Change[T]) -> T:
        """Change a level; recalled where this process has not seen it yet."""
        level = self._levels.get(name) or self._recalled(name)
        self._levels[name], told = change(level, self._clock())
        return told

    def save(self) -> None:
        """Remember every level; a registry that fails says so itself where it matters."""
        if self._memory is None:
            return
        with suppress(StoreError):
            for name, level in self._levels.items():
                self._memory.remember(name, written(level))

    def _recalled(self, name: str) -> Level:
        return read(None if self._memory is None else self._memory.recall(name))


class Shared:
    """The levels of many processes, in rows that they share: one bucket for all of them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def alter(self, name: str, change: Change[T]) -> T:
        """Change a level while nobody else does; raises StoreError where the rows are not there."""
        told: list[T] = []

        def altered(text: str | None, now: datetime) -> str:
            level, one = change(read(text), now.timestamp())
            told.append(one)
            return written(level)

        await asyncio.to_thread(self._rows.alter, name, altered)
        return told[-1]

    def save(self) -> None:
        """Nothing is left to save."""


class Recalling:
    """A memory that is looked into and never written."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def recall(self, name: str) -> str | None:
        """What was remembered."""
        return self._memory.recall(name)

    def remember(self, name: str, value: str) -> None:
        """Nothing is kept."""


def written(level: Level) -> str:
    """A level as text."""
    return json.dumps(asdict(level), separators=(",", ":"))


def read(text: str | None) -> Level:
    """The level that a text tells; a fresh one where it tells none that is understood."""
    try:
        return Level(**json.loads(text or "{}"))
    except (TypeError, ValueError):
        return Level()
