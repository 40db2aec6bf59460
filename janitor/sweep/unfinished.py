"""Removals that were begun and not brought to their end, and what is left of each.

A run goes on with them before anything else (`recover`), so a plan tells of them first. Changes
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from janitor.archive import ArchiveDamagedError
from janitor.catalogue import CATALOGUE
from janitor.errors import ArchiveError, BusyError, DriverError, GoneError
from janitor.model import Decision, Key, Probe, Record
from janitor.registry import Entry, Registry
from janitor.sweep.parts import Parts
from janitor.sweep.recover import (
    BACKOFF,
    Left,
    as_before,
    compared,
    why_unwanted,
    why_waiting,
)
from janitor.sweep.review import Reviewer
from janitor.sweep.settle import is_resting
from janitor.sweep.twins import state_before

PAGE = 100


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One thread in state `deleting`, and what a run still has to delete of it.

    `items` and `container` are `None` where the server was not asked. Of one that is `untouched`
    nothing was deleted yet: it is decided anew, limits included. `kept` says why a run leaves it as
    it is for now; `last_error` why one that tried came to no end, and `retried_at` when the next
    one tries, where that is later than now.
    """

    key: Key
    policy: str | None
    since: datetime | None
    items: int | None = None
    container: bool | None = None
    untouched: bool = False
    kept: str | None = None
    last_error: str | None = None
    retried_at: datetime | None = None

    @property
    def deletes(self) -> int:
        """The DELETE calls of going on with it, at least: one that is gone is deleted once more."""
        return 0 if self.kept is not None else 1 + (self.items or 0)

    def row(self) -> dict[str, Any]:
        """The thread and what is left of it, as a plan's document has it."""
        fields = {name: value for name, value in asdict(self).items() if name != "key"}
        return {**asdict(self.key), **fields}


def half_deleted(registry: Registry) -> Iterator[Entry]:
    """Every thread in state `deleting`, in pages by key; memory stays flat."""
    after: Key | None = None
    while page := registry.open_intents(after, PAGE):
        yield from page
        after = page[-1].thread.key


def is_asked(parts: Parts, reviewer: Reviewer, entry: Entry) -> bool:
    """Whether a run asks the server about it at all."""
    return reviewer.serves(entry) and why_waiting(parts, reviewer, entry) is None


def on_facts(parts: Parts, reviewer: Reviewer, entry: Entry, now: datetime) -> Unfinished:
    """What the registry alone tells of it."""
    kept = None if reviewer.serves(entry) else "not_served"
    if kept is None and (kept := why_waiting(parts, reviewer, entry)) is None:
        decision = reviewer.decide(restored(entry).thread, now)
        kept = _why_not(parts, entry, decision, now)
    intent = entry.intent
    policy, since = (entry.policy, None) if intent is None else (intent.policy, intent.at)
    known = Unfinished(entry.thread.key, policy, since, kept=kept, last_error=entry.last_error)
    return replace(known, retried_at=entry.review_at) if is_resting(entry, now) else known


async def on_probe(parts: Parts, reviewer: Reviewer, entry: Entry, now: datetime) -> Unfinished:
    """The same, and what the server still has of it.

    Raises:
        AccessError: The credential was refused.
    """
    known, driver = on_facts(parts, reviewer, entry, now), reviewer.driver(entry)
    try:
        probe = await driver.probe(entry.thread.key.id)
        return await _left(parts, reviewer, entry, probe, replace(known, container=True))
    except GoneError:
        review = await as_before(reviewer, entry, entry.thread.upstream, now)
        unwanted = why_unwanted(parts, review.decision)
        return replace(known, items=0, container=False, kept=unwanted)
    except BusyError:
        return replace(known, kept="busy")
    except ArchiveError:
        return replace(known, kept="archive_down")
    except (DriverError, ArchiveDamagedError):
        return replace(known, kept="failed")


async def _left(
    parts: Parts, reviewer: Reviewer, entry: Entry, probe: Probe, known: Unfinished
) -> Unfinished:
    if probe.busy:
        raise BusyError("in use")
    now = parts.clock()
    review = await as_before(reviewer, entry, probe.metadata, now)
    kept = _why_not(parts, entry, review.decision, now)
    if not CATALOGUE[entry.thread.key.kind].items_first:
        return replace(known, items=0, kept=kept, untouched=True)
    records = reviewer.driver(entry).export(entry.thread.key.id)
    ids = {record.id async for record in records if record.is_item}
    left = await asyncio.to_thread(_compared, parts, entry, probe, ids)
    items = len(ids) if review.decision.items_first else 0
    kept = "torn" if left is Left.NEW else kept
    return replace(known, items=items, kept=kept, untouched=left is Left.ALL)


def _why_not(parts: Parts, entry: Entry, decision: Decision, now: datetime) -> str | None:
    return why_unwanted(parts, decision) or (BACKOFF if is_resting(entry, now) else None)


def restored(entry: Entry) -> Entry:
    """The entry of an untouched thread as it will be decided anew."""
    return replace(entry, thread=replace(entry.thread, state=state_before(entry.thread)))


def _compared(parts: Parts, entry: Entry, probe: Probe, ids: set[str]) -> Left:
    copy = entry.thread.copy
    if copy is None or not entry.thread.copy_is_current:
        return compared(entry.thread, probe)
    if parts.archive is None:
        raise parts.archive_error or ArchiveError("no archive is open")
    records = parts.archive.read(copy.path)
    archived = {one.id for one in records if isinstance(one, Record) and one.is_item}
    return compared(entry.thread, probe, archived, ids)
