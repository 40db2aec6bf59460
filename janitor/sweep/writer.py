"""Group commit: what many threads settle at once goes into few transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from janitor.registry import Intent, Registry, Settlement

T = TypeVar("T")


class Writer:
    """Writes intents and settlements for threads that are worked on side by side.

    A call returns after its own change is committed, so that straight-line code (intent, call,
    settle) keeps its order, while changes that wait at the same moment share one commit.
    """

    def __init__(self, registry: Registry) -> None:
        self._intents = Batch(registry.intend)
        self._settlements = Batch(registry.settle)

    async def intend(self, intent: Intent) -> None:
        """Commit the intent of a removing call."""
        await self._intents.add(intent)

    async def settle(self, settlement: Settlement) -> None:
        """Commit what a look or an action changed."""
        await self._settlements.add(settlement)


class Batch(Generic[T]):
    """Collects values while a commit is under way and commits them together in the next one."""

    def __init__(self, commit: Callable[[Sequence[T]], None]) -> None:
        self._commit = commit
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, value: T) -> None:
        """Return when the value is committed; raise what the commit raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((value, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._commit, [value for value, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to every waiter
                for _, done in batch:
                    _fail(done, error)
            else:
                for _, done in batch:
                    _finish(done)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
