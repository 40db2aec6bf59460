"""Copies what a hold names into the archive at once, whatever policies say of copying."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

from janitor.model import Hold, Stage, State
from janitor.policy import policies_digest
from janitor.policy.matching import Match, match_hold, views_of
from janitor.registry import Entry, Registry, RunRecord
from janitor.sweep.backlog import Backlog
from janitor.sweep.parts import Parts
from janitor.sweep.paused import is_paused
from janitor.sweep.report import Report, close, close_dead
from janitor.sweep.work import Worker

PAGE = 500


@dataclass(frozen=True, slots=True)
class Held:
    """How many registered threads a hold names, and how many of their copies there are.

    `copied` have a proven copy that is current as far as anybody has looked, `uncopied` have none,
    `missing` were not known to the server. `unread` may be meant, too: they are kept as if they
    were, until their metadata is read.
    """

    copied: int = 0
    uncopied: int = 0
    missing: int = 0
    unread: int = 0

    @property
    def matched(self) -> int:
        """How many are certainly named."""
        return self.copied + self.uncopied + self.missing

    @property
    def is_copied(self) -> bool:
        """Whether nothing is left to be copied or read."""
        return self.uncopied == self.unread == 0


def held_by(registry: Registry, hold: Hold) -> Held:
    """Count what a hold names, from the registry's facts alone."""
    copied = uncopied = missing = 0
    for entry in named(registry, hold):
        if entry.thread.copy_is_current:
            copied += 1
        elif entry.thread.state is State.MISSING:
            missing += 1
        else:
            uncopied += 1
    return Held(copied, uncopied, missing, sum(1 for _ in possible(registry, hold)))


def named(registry: Registry, hold: Hold) -> Iterator[Entry]:
    """Every registered thread that a hold certainly names, by indexes; tombstones are left out."""
    by_id = (entry for one in sorted(hold.ids) for entry in registry.find(one))
    labelled = registry.select(metadata=hold.metadata) if hold.metadata else iter(())
    others = (entry for entry in labelled if entry.thread.key.id not in hold.ids)
    for entry in chain(by_id, others):
        if entry.thread.state is not State.DELETED and _match(hold, entry) is Match.YES:
            yield entry


def possible(registry: Registry, hold: Hold) -> Iterator[Entry]:
    """Every thread that a hold may name, since nobody has read its metadata; a scan."""
    if hold.metadata:
        unread = registry.select(unread=True)
        yield from (entry for entry in unread if _match(hold, entry) is Match.UNKNOWN)


def _match(hold: Hold, entry: Entry) -> Match:
    return match_hold(hold, entry.thread, views_of(entry.thread))


async def copy_held(parts: Parts, hold: Hold, stop: threading.Event) -> Report:
    """Look at all that a hold names or may name, and copy what has no current copy.

    Threads of unread metadata are read first. Under audit, too: a copy removes nothing. The
    caller holds the run's lock alone. Called again, it copies what is still to be copied.

    Raises:
        StoreError: The registry failed; the run stays open and the next one closes it.
    """
    registry = parts.registry
    registry.release_claims()
    close_dead(registry, parts.clock())
    digest = policies_digest(parts.policies)
    run = registry.open_run("hold", parts.policies.mode, digest, parts.clock())
    worker = _Copier(parts, run, stop, hold)
    async with worker.lease.kept():
        complete = await worker.work_all(worker.claimed())
        worker.lease.check()
        return await close(worker, run, Backlog(), complete=complete)


class _Copier(Worker):
    """Works threads for the sake of their copies; nothing is removed, whatever is due."""

    def __init__(self, parts: Parts, run: RunRecord, stop: threading.Event, hold: Hold) -> None:
        super().__init__(parts, run, stop)
        self._hold = hold

    def claimed(self) -> Iterator[Entry]:
        """What the hold names or may name, claimed for this run, by pages."""
        registry = self.parts.registry
        entries = chain(named(registry, self._hold), possible(registry, self._hold))
        while page := [entry.thread.key for entry in islice(entries, PAGE)]:
            yield from registry.claim_keys(self.claimant, page)

    async def work(self, entry: Entry) -> None:
        """Look at one thread and copy it where it is held; settle however that ends."""
        if not self.may_call_about(entry):
            self.keep_unsettled(entry, "not_served")
        elif is_paused(self.parts, entry, entry.policy):
            self.keep_unsettled(entry, "paused")
        elif self.archive_error is not None:
            self.keep_unsettled(entry, "archive_down")
        else:
            self.actor.doing[entry.thread.key] = Stage.ARCHIVE
            await self.settle_failures(entry, self._look_and_copy(entry))

    async def _look_and_copy(self, entry: Entry) -> None:
        review = await self.reviewer.on_probe(entry, self.parts.clock())
        await self.inquest.answered(entry)
        del self.actor.doing[entry.thread.key]
        is_held = match_hold(self._hold, review.thread, views_of(review.thread)) is Match.YES
        if is_held and not review.thread.copy_is_current:
            by = f"hold:{self._hold.name}"
            decision = replace(review.decision, stages=(Stage.ARCHIVE,), policy=by)
            await self.actor.carry_out(replace(review, decision=decision))
        else:
            await self._settle_look(review)
