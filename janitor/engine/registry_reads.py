"""What the workers of a run read of the registry before they act, in calls that they share."""

from __future__ import annotations

from collections.abc import Sequence

from janitor.engine.batcher import Batcher
from janitor.engine.context import RunContext
from janitor.model import Key
from janitor.registry import Entry, Pause, RestrictionReader, Restrictions

Standing = tuple[Entry | None, Restrictions]


class RegistryReads:
    """Reads rows, restrictions and the registry's place as they are when asked, never older.

    Whoever asks at the same moment shares a statement and a change of threads.
    """

    def __init__(self, context: RunContext, run: str, restrictions: RestrictionReader) -> None:
        self._context = context
        self._run = run
        self._restrictions = restrictions
        self._standings = Batcher(self._read)
        self._places = Batcher(self._check)

    async def entry(self, key: Key) -> Standing:
        """A row, if the registry has it, and the restrictions at that moment."""
        return await self._standings.ask(key)

    async def restrictions(self) -> Restrictions:
        """The restrictions at this moment."""
        return (await self._standings.ask(None))[1]

    async def pauses(self) -> tuple[Pause, ...]:
        """The pauses in force at this moment."""
        return (await self.restrictions()).pauses(self._context.clock())

    def entry_now(self, key: Key) -> Standing:
        """As `entry`, within what this thread reads at once. Blocks."""
        return self._restrictions.with_entries([key], self._context.clock())[key]

    def restrictions_now(self) -> Restrictions:
        """As `restrictions`, within what this thread reads at once. Blocks."""
        return self._restrictions.current(self._context.clock())

    async def check_in_place(self) -> None:
        """Raise StoreError if the registry is not the one that this run was opened in."""
        await self._places.ask(None)

    def _read(self, keys: Sequence[Key | None]) -> list[Standing]:
        now, asked = self._context.clock(), {key for key in keys if key is not None}
        found = self._restrictions.with_entries(asked, now)
        if None not in keys:
            return [found[key] for key in keys if key is not None]
        alone: Standing = (None, self._restrictions.current(now))
        return [alone if key is None else found[key] for key in keys]

    def _check(self, askers: Sequence[None]) -> Sequence[None]:
        self._context.registry.check_in_place(self._run)
        return askers
