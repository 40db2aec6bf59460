"""Where accounts are kept: by one process that remembers them, or in rows that many share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Protocol, TypeVar

from janitor.errors import StoreError
from janitor.pace.account import Account, read, written

T = TypeVar("T")
Change = Callable[[Account, float], tuple[Account, T]]
"""From an account and the time to the new account and what to tell."""


class Memory(Protocol):
    """Keeps small texts from one run to the next; a registry is one."""

    def recall(self, name: str) -> str | None: ...
    def remember(self, name: str, value: str) -> None: ...


class Rows(Protocol):
    """Changes small texts one at a time, whoever else does; a registry is one.

    `change` is given what is there (`None`: nothing) and the time that all who share it go by.
    """

    def recall(self, name: str) -> str | None: ...
    def alter(self, name: str, change: Callable[[str | None, datetime], str]) -> None: ...


class Ledger(Protocol):
    """Changes accounts one at a time, whoever else works on them, and by a clock of its own."""

    def look(self, name: str) -> Account: ...
    async def alter(self, name: str, change: Change[T]) -> T: ...
    def save(self) -> None: ...


def steady() -> Callable[[], float]:
    """A clock of seconds since the epoch that is never set back while this process runs."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Own:
    """The accounts of one process; `memory` carries them from one to the next.

    It is written at the end, and where a rate or a stop changed: seldom, and never for a call.
    """

    def __init__(
        self, memory: Memory | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self._memory = memory
        self._clock = clock or steady()
        self._accounts: dict[str, Account] = {}

    def look(self, name: str) -> Account:
        """An account as it stands; recalled where this process has not seen it yet."""
        if name not in self._accounts:
            said = None if self._memory is None else self._memory.recall(name)
            self._accounts[name] = read(said)
        return self._accounts[name]

    async def alter(self, name: str, change: Change[T]) -> T:
        """Change an account."""
        before = self.look(name)
        after, told = change(before, self._clock())
        self._accounts[name] = after
        if before.levels and after.found != before.found:
            self.save()
        return told

    def save(self) -> None:
        """Remember every account; a registry that fails says so itself where it matters."""
        if self._memory is None:
            return
        with suppress(StoreError):
            for name, account in self._accounts.items():
                self._memory.remember(name, written(account))


class Shared:
    """The accounts of many processes, in rows that they share: one pace for all of them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def look(self, name: str) -> Account:
        """An account as it stands; raises StoreError where the rows are not there."""
        return read(self._rows.recall(name))

    async def alter(self, name: str, change: Change[T]) -> T:
        """Change an account while nobody else does; raises StoreError as `look` does."""
        told: list[T] = []

        def altered(text: str | None, now: datetime) -> str:
            account, one = change(read(text), now.timestamp())
            told.append(one)
            return written(account)

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
