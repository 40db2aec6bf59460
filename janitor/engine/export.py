"""An export that is also the look at its thread: what it shows, and what it is read for."""

from __future__ import annotations

from dataclasses import dataclass

from janitor.archive import Fingerprint, ObjectDraft, fingerprint
from janitor.engine.context import RunContext
from janitor.kinds import PAGE
from janitor.model import Probe, Stage, Thread
from janitor.registry import Entry


@dataclass(frozen=True, slots=True)
class Observation:
    """What the server said about a thread; `asked_at` is when, in seconds of the guard's clock.

    `export` is the export that said it, if it was no probe.
    """

    probe: Probe
    asked_at: float
    export: Export | None = None


class Export:
    """One export of a thread: the draft of a new copy, or the fingerprint to compare a copy with.

    The draft goes with `close`, unless it was published.
    """

    def __init__(self, context: RunContext, entry: Entry, *, is_copied: bool) -> None:
        self._context = context
        self._entry = entry
        self._is_copied = is_copied
        self.draft: ObjectDraft | None = None
        self.fingerprint: Fingerprint | None = None

    async def read(self) -> Probe:
        """Export the thread; raises what a probe raises, and `ArchiveError`.

        If the newest item in the list is not the known one, the server is asked for it, since a
        list that ends early looks like a change.
        """
        thread, known, found = self._entry.thread, self._entry.sightings, list[Probe]()
        driver, key, store = self._context.driver(thread.key), thread.key, self._context.store
        records = driver.export(key.id, found.append)
        if self._is_copied:
            self.fingerprint = await fingerprint(key.kind, records)
        else:
            now = self._context.clock()
            self.draft = await store.draft(key, thread.created_at, records, now)
        (probe,) = found
        if known.baseline_at is not None and probe.newest_item != known.newest_item:
            newest = await driver.newest_item(key.id)
            return probe if newest == probe.newest_item else await driver.probe(key.id)
        return probe

    def close(self) -> None:
        """Drop the draft."""
        if self.draft is not None:
            self.draft.discard()


def is_exported(thread: Thread, stages: tuple[Stage, ...]) -> bool:
    """Whether an export is the look at a thread, given what is due by the registry's facts.

    It is not if nothing needs an export, or if the thread is too long to be read for a look.
    """
    if thread.items is not None and thread.items > PAGE:
        return False
    has_copy = thread.copy is not None and thread.copy_is_current
    return stages[:1] == (Stage.ARCHIVE,) or (Stage.DELETE in stages and has_copy)
