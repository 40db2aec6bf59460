"""One sweep: re-decide, recover, count against the limits, then work what is due.

A sweep is a run that one janitor opens and several may work. Whoever opens it counts the limits
over everything that is due; the others join, take pages of their own, and hear of each stop.
Whoever finds nothing left closes it. On SQLite one process does all of this alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from janitor.errors import LockedError
from janitor.model import Key
from janitor.policy import policies_digest
from janitor.registry import Cursor, Entry, Lock, Pause, RunRecord, RunResult
from janitor.sweep.approval import joined, under_approval
from janitor.sweep.asking import look_at_clock
from janitor.sweep.backlog import Backlog, count, due_entries, notes, told
from janitor.sweep.parts import Parts
from janitor.sweep.paused import noted
from janitor.sweep.prune import prune
from janitor.sweep.recover import recover
from janitor.sweep.redecide import redecide, rules_digest
from janitor.sweep.report import Report, close, close_dead, report
from janitor.sweep.review import Reviewer
from janitor.sweep.rounds import Round
from janitor.sweep.silence import Silence
from janitor.sweep.work import Worker

PAGE = 200
PATIENCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Orders:
    """What one sweep was asked for: all that is due, one policy's, or so many threads at most."""

    policy: str | None = None
    limit: int | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other janitors may work such a sweep: limits are counted over all of it."""
        return self == Orders()


async def sweep(parts: Parts, orders: Orders, stop: threading.Event) -> Report:
    """Do one sweep, or share one that is open, until nothing is left of it.

    The caller holds the run's lock, alone unless `orders.is_shared`. `stop` ends it early: calls
    in flight finish and settle, nothing new is begun, and the last one out closes it as partial.

    Raises:
        StoreError: The registry failed; the run stays open and the next one takes it over.
        LockedError: A sweep under other policies is open.
        LimitError: The policies approved last cannot be read.
        ClaimLostError: This janitor's lease ran out; others go on.
    """
    registry = parts.registry
    await asyncio.to_thread(registry.check_in_place)
    async with AsyncExitStack() as stack:
        async with _held(lambda: registry.opening(PATIENCE), stop):
            run, parts = _joined(parts) or _open(under_approval(parts))
            await stack.enter_async_context(_held(lambda: registry.working(run.id), stop))
            await look_at_clock(parts)
            if run.ready_at is None and parts.watch.trouble is not None:
                return await close(Worker(parts, run, stop), run, Backlog(), complete=False)
            if run.ready_at is None:
                parts = await asyncio.to_thread(redecide, parts, run.started_at)
            worker = Worker(parts, run, stop)
            await stack.enter_async_context(worker.lease.kept())
            backlog = await _make_ready(worker, run, orders) if run.ready_at is None else None
        share = _Share(worker, run, backlog or Backlog(tripped=told(run.tripped)), orders)
        return await share.work()


@asynccontextmanager
async def _held(lock: Callable[[], Lock], stop: threading.Event) -> AsyncIterator[None]:
    """Hold a lock that others hold for as long as they need, unless asked to stop."""
    while True:
        tried = lock()
        try:
            await asyncio.to_thread(tried.__enter__)
            break
        except LockedError:
            if stop.is_set():
                raise
    try:
        yield
    finally:
        await asyncio.to_thread(tried.__exit__, None, None, None)


def _joined(parts: Parts) -> tuple[RunRecord, Parts] | None:
    """The open sweep where others work it; one whose janitors died is closed as failed."""
    registry, run = parts.registry, parts.registry.open_sweep()
    if run is None:
        return None
    if run.ready_at is None or registry.workers(run.id) == 0:
        registry.close_run(run.id, RunResult.FAILED, parts.clock())
        return None
    if (run.policies_digest, run.mode) != (policies_digest(parts.policies), parts.policies.mode):
        raise LockedError(
            f"the sweep {run.id} is open under other policies: give every janitor the same "
            "configuration, or wait until that sweep is over"
        )
    return run, joined(parts)


def _open(parts: Parts) -> tuple[RunRecord, Parts]:
    registry, now = parts.registry, parts.clock()
    registry.release_claims()
    close_dead(registry, now)
    digest = policies_digest(parts.policies)
    return registry.open_run("sweep", parts.policies.mode, digest, now), parts


async def _make_ready(worker: Worker, run: RunRecord, orders: Orders) -> Backlog:
    """What comes before the first action, over everything that is due: one janitor does it."""
    parts, now = worker.parts, run.started_at
    await recover(worker, tried=False)
    pauses = parts.registry.pauses(parts.clock())
    backlog = await asyncio.to_thread(_count, parts, now, orders.policy, pauses)
    worker.lease.check()
    worker.note(pauses)  # before others join: what was not counted is not theirs to touch either
    parts.registry.mark_ready(run.id, notes(backlog), parts.clock())
    return backlog


def _count(parts: Parts, now: datetime, policy: str | None, pauses: Sequence[Pause]) -> Backlog:
    reviewer = Reviewer(parts, parts.registry.holds(now))
    return count(parts, reviewer, due_entries(parts.registry, now, policy), now, pauses)


class _Share:
    """One janitor's part in a sweep: pages for as long as there are any, then the end."""

    def __init__(self, worker: Worker, run: RunRecord, backlog: Backlog, orders: Orders) -> None:
        self._worker = worker
        self._run = run
        self._backlog = backlog
        self._orders = orders
        self._registry = worker.parts.registry
        worker.counted_at = run.started_at
        worker.gate.forbidden, worker.gate.is_counted = frozenset(backlog.tripped), True
        worker.gate.pauses, worker.gate.only = tuple(noted(self._fresh().stops)), orders.policy
        holds = self._registry.holds(run.started_at)
        worker.silence = Silence(worker.parts.policies, holds, run.started_at)
        self._rules = rules_digest(worker.parts)

    async def work(self) -> Report:
        """Work until the run is closed or this janitor has to leave it."""
        worker, registry = self._worker, self._registry
        worker.waits_for_heads = self._orders.limit is None
        while True:
            around = Round(registry, self._orders.policy)
            complete = await worker.work_all(
                around.entries(self._due, self._missing, self._orders.limit, self._is_stopped)
            )
            if complete:
                await recover(worker)
            around.end(whole=complete and self._orders.limit is None and not self._is_stopped())
            worker.lease.check()
            worker.waits_for_heads = False  # all that is due was looked at once
            self._note_silence()
            async with _held(lambda: registry.opening(PATIENCE), worker.stop):
                done = await self._leave(complete=complete)
            if done is not None:
                return done
            # Others are at work; what they leave behind is free when their lease is over.
            await asyncio.sleep(worker.lease.pause)

    def _note_silence(self) -> None:
        """Take what was read of metadata into account: it may match what else nothing does."""
        silence = self._worker.silence
        if silence is not None and self._registry.silent_rules(self._rules) is not None:
            self._backlog.silent_rules = silence.record(self._registry, self._rules)

    async def _leave(self, *, complete: bool) -> Report | None:
        """Close the run where it is done, or leave it to others; `None` where neither may be."""
        run = self._fresh()
        if run.closed_at is not None:
            return report(self._worker, run, self._backlog)
        has_to = self._worker.is_over or self._orders.limit is not None
        if has_to:
            self._registry.release(self._worker.claimant)
        is_done = self._registry.is_exhausted(run.id, run.started_at, self._orders.policy)
        is_last = has_to and self._registry.workers(run.id) <= 1
        if is_done or is_last:
            keep_for = self._worker.parts.tombstones_keep_for
            pruned = await prune(self._worker, policy=self._orders.policy)
            if self._worker.parts.watch.trouble is None:
                self._registry.expire_tombstones(run.started_at - keep_for)
            whole = (is_done or complete) and self._orders.is_shared and pruned
            return await close(self._worker, run, self._backlog, complete=whole)
        return report(self._worker, run, self._backlog) if has_to else None

    def _fresh(self) -> RunRecord:
        """The run as it is by now, its stops heeded."""
        run = self._registry.run(self._run.id) or self._run
        self._worker.standing.heed(run.stops)
        return run

    def _is_stopped(self) -> bool:
        return bool(self._worker.standing.stops())

    def _due(self, after: Cursor | None) -> Iterator[Entry]:
        """What was up for review when the run began, from some place on, claimed by pages."""
        by, policy = self._worker.claimant, self._orders.policy
        while self._fresh().closed_at is None and (
            page := self._registry.claim(
                by, self._run.started_at, after=after, limit=PAGE, policy=policy
            )
        ):
            yield from page
            after = Cursor.of(page[-1])

    def _missing(self, after: Key | None) -> Iterator[Entry]:
        """What was missing before and is to be asked for once more."""
        by = self._worker.claimant
        while self._fresh().closed_at is None and (
            page := self._registry.claim_missing(by, self._run.started_at, after=after, limit=PAGE)
        ):
            yield from page
            after = page[-1].thread.key
