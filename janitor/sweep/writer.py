"""Group commit: what many threads settle at once goes into few transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from janitor.errors import ClaimLostError
from janitor.model import Key
from janitor.registry import Claimant, Event, Intent, Registry, Settlement, Witnessed

T = TypeVar("T")


class Writer:
    """Writes intents and settlements for threads that are worked on side by side.

    A call returns after its own change is committed, so that straight-line code (intent, call,
    settle) keeps its order, while changes that wait at the same moment share one commit.
    ClaimLostError reaches only who lost the claim; what shares the commit is written.
    """

    def __init__(self, registry: Registry, by: Claimant) -> None:
        self.by = by
        self._intents = Batch[Intent](lambda said: registry.intend(said, by), _key)
        self._settlements = Batch[Settlement](lambda said: registry.settle(said, by), _key)
        self._passes = Batch[Key](lambda keys: registry.pass_by(by, keys), lambda key: key)
        self._later = Batch[Key](lambda keys: registry.put_off(by, keys), lambda key: key)
        self._lines = Batch[Event](lambda said: _recorded(registry, said), lambda line: line.key)
        self._witnessed = Batch[Witnessed](registry.witness, lambda seen: seen.key)
        self._notes = Batch[Settlement](registry.note, _key)
        self._given_back: set[Key] = set()

    async def intend(self, *intents: Intent) -> None:
        """Commit the intents of one removing call: one, or one for each row of its container."""
        await self._intents.add(*intents)

    async def settle(self, *settlements: Settlement) -> None:
        """Commit what a look or an action changed."""
        await self._settlements.add(*settlements)
        self._given_back |= {said.key for said in settlements if not said.keep_claim}

    async def record(self, line: Event) -> None:
        """Commit a line of the audit that changes no thread."""
        await self._lines.add(line)

    async def witness(self, seen: Witnessed) -> None:
        """Commit that a thread, whoever works on it, was seen alive."""
        await self._witnessed.add(seen)

    async def note(self, settlement: Settlement) -> None:
        """Commit that a thread, whoever works on it, was not found or did not answer."""
        await self._notes.add(settlement)

    async def put_off(self, key: Key) -> None:
        """End the claim, and leave the thread to be claimed once more in this run."""
        await self._later.add(key)
        self._given_back.add(key)

    async def give_back(self, key: Key) -> None:
        """End the claim where no settlement did: the thread stays as it is."""
        if key in self._given_back:
            self._given_back.discard(key)
        else:
            await self._passes.add(key)


class Batch(Generic[T]):
    """Collects values while a commit is under way and commits them together in the next one.

    `commit` gives back the keys of what it could not write since their claim was lost.
    """

    def __init__(
        self, commit: Callable[[Sequence[T]], Collection[Key]], key: Callable[[T], Key]
    ) -> None:
        self._commit = commit
        self._key = key
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, *values: T) -> None:
        """Return when the values are committed, in one commit; raise what it raised of any."""
        loop = asyncio.get_running_loop()
        added = [(value, loop.create_future()) for value in values]
        self._waiting += added
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        ended = await asyncio.gather(*(done for _, done in added), return_exceptions=True)
        for end in ended:
            if end is not None:
                raise end

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                lost = await asyncio.to_thread(self._commit, [value for value, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to every waiter
                for _, done in batch:
                    _fail(done, error)
            else:
                self._finish(batch, lost)

    def _finish(
        self, batch: Sequence[tuple[T, asyncio.Future[None]]], lost: Collection[Key]
    ) -> None:
        for value, done in batch:
            if (key := self._key(value)) in lost:
                _fail(done, ClaimLostError(f"{key.project} {key.id}: its lease was over; left"))
            elif not done.done():
                done.set_result(None)


def _recorded(registry: Registry, lines: Sequence[Event]) -> frozenset[Key]:
    registry.record(lines)
    return frozenset()


def _key(said: Intent | Settlement) -> Key:
    return said.key


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
