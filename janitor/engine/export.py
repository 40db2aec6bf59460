"""An export that is also the look at its thread: what it shows, and what it is read for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from janitor.archive import Fingerprint, ObjectDraft, fingerprint
from janitor.engine.context import RunContext
from janitor.errors import BusyError, DriverError, GoneError, RefusedError
from janitor.kinds import PAGE
from janitor.model import Copy, Probe, Record, Stage, Thread
from janitor.registry import Entry


@dataclass(frozen=True, slots=True)
class Observation:
    """What the server said about a thread; `asked_at` is when, in seconds of the guard's clock.

    `export` is the export that said it, if it was no probe.
    """

    probe: Probe
    asked_at: float
    export: Export | None = None

    @property
    def items(self) -> tuple[str, ...] | None:
        """The ids of all items, if a list and the newest item agree on them."""
        is_confirmed = self.export is not None and self.export.is_confirmed
        return self.probe.items if is_confirmed else None


class Export:
    """One export of a thread: the draft of a new copy, or the fingerprint to compare a copy with.

    `shown` is what it shows, `None` if it could not be read, or is too long to be read for a look.
    `is_confirmed` once the server has named the same newest item and runs after it.
    """

    def __init__(self, context: RunContext, entry: Entry, *, is_copied: bool) -> None:
        self._context = context
        self._entry = entry
        self._is_copied = is_copied
        self.draft: ObjectDraft | None = None
        self.fingerprint: Fingerprint | None = None
        self.shown: Probe | None = None
        self.is_confirmed = False

    @property
    def needs_confirmation(self) -> bool:
        """Whether lists that were read oldest first are all that tells what is newest."""
        return self.shown is not None and not self.is_confirmed

    @property
    def newest_item(self) -> str | None:
        """The last item that it shows."""
        return None if self.shown is None else self.shown.newest_item

    async def read(self) -> Probe:
        """Export the thread; raises what a probe raises, and `ArchiveError`.

        An export that fails says nothing about the thread: then it is probed. If the newest item in
        the list is not the known one, the server is asked for it, since a list that ends early
        looks like a change.
        """
        driver = self._context.driver(self._entry.thread.key)
        key, known, found = self._entry.thread.key, self._entry.sightings, list[Probe]()
        try:
            await self._take(_short(driver.export(key.id, found.append)))
        except (GoneError, BusyError):
            raise
        except DriverError:
            return await driver.probe(key.id)
        (self.shown,) = found
        if known.baseline_at is not None and self.shown.newest_item != known.newest_item:
            tail = await driver.tail(key.id)
            if tail.newest_item != self.shown.newest_item:
                return await driver.probe(key.id)
        return self.shown

    async def _take(self, records: AsyncIterator[Record]) -> None:
        thread = self._entry.thread
        if self._is_copied:
            self.fingerprint = await fingerprint(thread.key.kind, records)
        else:
            store, now = self._context.store, self._context.clock()
            self.draft = await store.draft(thread.key, thread.created_at, records, now)

    async def publish(self, draft: ObjectDraft) -> Copy:
        """Make its draft the thread's newest copy; raises as `Archive.put` does."""
        try:
            return await self._context.store.publish(draft)
        finally:
            self.close()

    def close(self) -> None:
        """Drop the draft, and the memory that it takes."""
        if self.draft is not None:
            self.draft.discard()
            self.draft = None


LONGEST = 10 * PAGE
"""So many items are read for a look where their number is not known."""


async def _short(records: AsyncIterator[Record]) -> AsyncIterator[Record]:
    """The records; `RefusedError` if more than `LONGEST` items come."""
    items = 0
    async with aclosing(records) as each:  # type: ignore[type-var]  # a driver's is a generator
        async for record in each:
            items += record.is_item
            if items > LONGEST:
                raise RefusedError("too long to be read for a look")
            yield record


def is_exported(thread: Thread, stages: tuple[Stage, ...]) -> bool:
    """Whether an export is the look at a thread, given what is due by the registry's facts.

    It is not if nothing needs an export, or if the thread is known to have more than a page of
    items. Where their number is not known, the export is given up after `LONGEST`.
    """
    if thread.items is not None and thread.items > PAGE:
        return False
    has_copy = thread.copy is not None and thread.copy_is_current
    return stages[:1] == (Stage.ARCHIVE,) or (Stage.DELETE in stages and has_copy)
