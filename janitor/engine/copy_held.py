"""Copies the threads that a hold names into the archive at once, whatever the policies say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

from janitor.engine.context import RunContext
from janitor.engine.limits import Backlog
from janitor.engine.pauses import is_paused
from janitor.engine.report import Report, close, open_run
from janitor.engine.worker import Worker
from janitor.model import Hold, Stage, State
from janitor.policy.matching import Match, match_hold, views_of
from janitor.registry import Entry, Registry, RunRecord, ThreadQueries
from janitor.registry.claims import REVIEWED

PAGE = 500


@dataclass(frozen=True, slots=True)
class Held:
    """How many registered threads a hold names, and how many of them have a copy.

    `copied` have a proven copy that is current as of the last look, `uncopied` have none, `missing`
    were not known to the server. `unread` may match too, and are kept as if they did until their
    metadata is read.
    """

    copied: int = 0
    uncopied: int = 0
    missing: int = 0
    unread: int = 0

    @property
    def matched(self) -> int:
        """How many threads the hold names for certain."""
        return self.copied + self.uncopied + self.missing

    @property
    def is_copied(self) -> bool:
        """Whether nothing is left to copy or to read."""
        return self.uncopied == self.unread == 0


def held_by(registry: Registry, hold: Hold) -> Held:
    """Count what a hold names, from the registry's facts alone."""
    copied = uncopied = missing = 0
    for entry in named(registry.threads, hold):
        if entry.thread.copy_is_current:
            copied += 1
        elif entry.thread.state is State.MISSING:
            missing += 1
        else:
            uncopied += 1
    return Held(copied, uncopied, missing, sum(1 for _ in possible(registry.threads, hold)))


def named(threads: ThreadQueries, hold: Hold) -> Iterator[Entry]:
    """Every registered thread that a hold names for certain, without tombstones; uses indexes."""
    by_id = (entry for name in sorted(hold.ids) for entry in threads.find(name))
    labelled = threads.select(metadata=hold.metadata) if hold.metadata else iter(())
    others = (entry for entry in labelled if entry.thread.key.id not in hold.ids)
    for entry in chain(by_id, others):
        if entry.thread.state is not State.DELETED and _match(hold, entry) is Match.YES:
            yield entry


def possible(threads: ThreadQueries, hold: Hold) -> Iterator[Entry]:
    """Every thread that a hold may name because its metadata is unread; scans the unread ones."""
    if hold.metadata:
        unread = threads.select(unread=True)
        yield from (entry for entry in unread if _match(hold, entry) is Match.UNKNOWN)


def _match(hold: Hold, entry: Entry) -> Match:
    return match_hold(hold, entry.thread, views_of(entry.thread))


async def copy_held(context: RunContext, hold: Hold, stop: threading.Event) -> Report:
    """Look at all threads that a hold names or may name, and copy those without a current copy.

    Threads with unread metadata are read first. This is done in audit mode too, since a copy
    removes nothing. The caller holds the run's lock alone. Called again, it continues with those
    not copied yet.

    Raises:
        StoreError: The registry failed; the run stays open and the next one closes it.
    """
    run = open_run(context, "hold")
    worker = _Copier(context, run, stop, hold)
    context.progress.begin("counting what the hold names")
    total = await asyncio.to_thread(_count, context.registry.threads, hold)
    context.progress.begin("copying what the hold names", total)
    async with worker.lease.kept():
        complete = await worker.work_all(worker.claimed())
        worker.lease.check()
        return await close(worker, run, Backlog(), complete=complete)


def _count(threads: ThreadQueries, hold: Hold) -> int:
    """How many threads a copier claims; threads that are gone or being removed are left out."""
    entries = chain(named(threads, hold), possible(threads, hold))
    return sum(1 for entry in entries if entry.thread.state in REVIEWED)


class _Copier(Worker):
    """Copies held threads; removes nothing, whatever is due."""

    def __init__(
        self, context: RunContext, run: RunRecord, stop: threading.Event, hold: Hold
    ) -> None:
        super().__init__(context, run, stop)
        self._hold = hold

    def claimed(self) -> Iterator[Entry]:
        """Yield the threads that the hold names or may name, claimed for this run page by page."""
        registry = self.context.registry
        entries = chain(named(registry.threads, self._hold), possible(registry.threads, self._hold))
        while page := [entry.thread.key for entry in islice(entries, PAGE)]:
            yield from registry.claims.take_keys(self.claimant, page)

    async def work(self, entry: Entry) -> None:
        """Look at one thread, copy it if it is held, and settle the result, whatever it is."""
        if not self.may_call_about(entry):
            self.keep_unsettled(entry, "not_served")
        elif is_paused(self.context, entry, entry.policy):
            self.keep_unsettled(entry, "paused")
        elif self.archive_error is not None:
            self.keep_unsettled(entry, "archive_down")
        else:
            self.executor.doing[entry.thread.key] = Stage.ARCHIVE
            await self.settle_failures(entry, self._look_and_copy(entry))

    async def _look_and_copy(self, entry: Entry) -> None:
        review = await self.reviewer.on_probe(entry, self.context.clock())
        await self.missing_judge.answered(entry)
        del self.executor.doing[entry.thread.key]
        is_held = match_hold(self._hold, review.thread, views_of(review.thread)) is Match.YES
        if is_held and not review.thread.copy_is_current:
            by = f"hold:{self._hold.name}"
            decision = replace(review.decision, stages=(Stage.ARCHIVE,), policy=by)
            await self.executor.carry_out(replace(review, decision=decision))
        else:
            await self._settle_look(review)
