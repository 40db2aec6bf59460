"""One sweep: re-decide, recover, count against the limits, then work on what is due.

A sweep is a run that one janitor opens and several may work on. The janitor that opens it counts
everything due against the limits; the others join, take pages of their own, and learn of each stop.
The one that finds nothing left closes it. On SQLite one process does all of this alone.

It begins after the thread that the last sweep reached. Otherwise, threads that stay due whatever a
sweep does (over a limit, in audit, paused, failing) would block the head of the queue forever.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

import orjson

from janitor.engine.clock import look_at_clock
from janitor.engine.context import RunContext
from janitor.engine.limits import Backlog, count, notes, told
from janitor.engine.pauses import noted
from janitor.engine.prune import prune
from janitor.engine.recovery import recover
from janitor.engine.redecide import joined, redecide, rules_digest, under_approval
from janitor.engine.report import Report, close, open_run, report
from janitor.engine.review import Reviewer
from janitor.engine.unmatched_rules import UnmatchedRules
from janitor.engine.worker import Worker
from janitor.errors import LockedError
from janitor.model import Key, Kind, State
from janitor.policy import policies_digest
from janitor.registry import Cursor, Entry, Lock, Registry, RunRecord, RunResult

Due = Callable[[Cursor | None], Iterable[Entry]]
Missing = Callable[[Key | None], Iterable[Entry]]
Position = Cursor | Key
"""A place among the due threads or, as a key alone, among the missing ones."""
PAGE = 200
PATIENCE = timedelta(seconds=1)


class SweepCursor:
    """Goes once through everything up for review, from where the last round ended.

    Each `policy` that is swept alone has a separate cursor, since such a sweep tells nothing about
    another.
    """

    def __init__(self, registry: Registry, policy: str | None) -> None:
        self._registry = registry
        self._name = f"round_{policy or ''}"
        self._begun_at = _read(registry.key_values.recall(self._name))
        self._reached = self._begun_at

    def entries(
        self, due: Due, missing: Missing, limit: int | None, is_stopped: Callable[[], bool]
    ) -> Iterator[Entry]:
        """Each entry once, at most `limit`; what is passed over while stopped is not reached."""
        for number, entry in enumerate(self._circle(due, missing), start=1):
            is_missing = entry.thread.state is State.MISSING
            position: Position = entry.thread.key if is_missing else Cursor.of(entry)
            yield entry
            # The caller asks for more, so it has begun this one.
            if not is_stopped():
                self._reached = position
            if number == limit:
                return

    def _circle(self, due: Due, missing: Missing) -> Iterator[Entry]:
        match self._begun_at:
            case None:
                return chain(due(None), missing(None))
            case Cursor() as position:
                return chain(due(position), missing(None), due(None))
            case Key() as position:
                return chain(missing(position), due(None), missing(None))

    def end(self, *, whole: bool) -> None:
        """Store how far the round came; after a `whole` round the next may begin anywhere."""
        position = None if whole else self._reached
        if position != self._begun_at:
            self._registry.key_values.remember(self._name, _written(position))


def _written(position: Position | None) -> str:
    if position is None:
        return ""
    at = position.review_at if isinstance(position, Cursor) else None
    key = position.key if isinstance(position, Cursor) else position
    return orjson.dumps([at, key.project, key.kind, key.id]).decode()


def _read(text: str | None) -> Position | None:
    if not text:
        return None
    at, project, kind, name = orjson.loads(text)
    key = Key(project, Kind(kind), name)
    return key if at is None else Cursor(datetime.fromisoformat(at), key)


@dataclass(frozen=True, slots=True)
class Orders:
    """What a sweep is asked for: everything due, one policy, or at most `limit` threads."""

    policy: str | None = None
    limit: int | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other janitors may join such a sweep: limits are counted over all of it."""
        return self == Orders()


async def sweep(context: RunContext, orders: Orders, stop: threading.Event) -> Report:
    """Do one sweep, or join one that is open, until nothing is left of it.

    The caller holds the run's lock, alone unless `orders.is_shared`. `stop` ends it early: calls in
    flight finish and settle, nothing new is begun, and the last janitor to leave closes it as
    partial.

    Raises:
        StoreError: The registry failed; the run stays open and the next one takes it over.
        LockedError: A sweep under other policies is open.
        LimitError: The policies approved last cannot be read.
        ClaimLostError: This janitor's lease ran out; others continue.
    """
    registry = context.registry
    await asyncio.to_thread(registry.check_in_place)
    async with AsyncExitStack() as stack:
        async with _held(lambda: registry.opening(PATIENCE), stop):
            run = _joinable(context)
            if run is not None:
                context = joined(context)
            else:
                context = under_approval(context)
                run = open_run(context, "sweep")
            await stack.enter_async_context(_held(lambda: registry.working(run.id), stop))
            await look_at_clock(context.watch, context.registry, context.drivers)
            if run.ready_at is None and context.watch.trouble is not None:
                return await close(Worker(context, run, stop), run, Backlog(), complete=False)
            if run.ready_at is None:
                context = await asyncio.to_thread(redecide, context, run.started_at)
            worker = Worker(context, run, stop)
            await stack.enter_async_context(worker.lease.kept())
            backlog = await _make_ready(worker, run, orders) if run.ready_at is None else None
        part = _SweepPart(worker, run, backlog or Backlog(tripped=told(run.tripped)), orders)
        return await part.work()


@asynccontextmanager
async def _held(lock: Callable[[], Lock], stop: threading.Event) -> AsyncIterator[None]:
    """Hold a lock, waiting for as long as others hold it, unless asked to stop."""
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


def _joinable(context: RunContext) -> RunRecord | None:
    """The open sweep if others work on it; one whose janitors died is closed as failed."""
    registry, run = context.registry, context.registry.runs.current_sweep()
    if run is None:
        return None
    if run.ready_at is None or registry.workers(run.id) == 0:
        registry.runs.close(run.id, RunResult.FAILED, context.clock())
        return None
    if (run.policies_digest, run.mode) != (
        policies_digest(context.policies),
        context.policies.mode,
    ):
        raise LockedError(
            f"the sweep {run.id} is open under other policies: give every janitor the same "
            "configuration, or wait until that sweep is over"
        )
    return run


async def _make_ready(worker: Worker, run: RunRecord, orders: Orders) -> Backlog:
    """Do what comes before the first action, over everything due; one janitor does it."""
    context, now = worker.context, run.started_at
    context.progress.begin("finishing what earlier runs began")
    await recover(worker, tried=False)
    context.progress.begin("counting what is due")
    pauses = context.registry.pauses.in_force(context.clock())

    def count_due() -> Backlog:
        reviewer = Reviewer(context, context.registry.holds.recent(now))
        due = context.registry.threads.due(now, policy=orders.policy)
        return count(context, reviewer, due, now, pauses)

    backlog = await asyncio.to_thread(count_due)
    worker.lease.check()
    worker.note(pauses)  # before others join: they must not touch what was not counted
    context.registry.runs.mark_ready(run.id, notes(backlog), context.clock())
    return backlog


class _SweepPart:
    """One janitor's part in a sweep: takes pages while there are any, then ends its part."""

    def __init__(self, worker: Worker, run: RunRecord, backlog: Backlog, orders: Orders) -> None:
        self._worker = worker
        self._run = run
        self._backlog = backlog
        self._orders = orders
        self._registry = worker.context.registry
        worker.counted_at = run.started_at
        worker.gate.forbidden, worker.gate.is_counted = frozenset(backlog.tripped), True
        worker.gate.pauses, worker.gate.only = tuple(noted(self._fresh().stops)), orders.policy
        holds = self._registry.holds.recent(run.started_at)
        worker.unmatched = UnmatchedRules(worker.context.policies, holds, run.started_at)
        self._rules = rules_digest(worker.context)

    async def work(self) -> Report:
        """Work until the run is closed or this janitor has to leave it."""
        worker, registry = self._worker, self._registry
        due, limit = self._backlog.looked_at or None, self._orders.limit
        total = due if due is None or limit is None else min(due, limit)
        share = 1.0 if due is None or total is None else total / due
        calls = {verb: share * number for verb, number in self._backlog.calls.items()}
        worker.context.progress.begin("sweeping", total, calls=calls)
        worker.waits_for_heads = self._orders.limit is None
        while True:
            cursor = SweepCursor(registry, self._orders.policy)
            complete = await worker.work_all(
                cursor.entries(self._due, self._missing, self._orders.limit, self._is_stopped)
            )
            if complete:
                await recover(worker)
            cursor.end(whole=complete and self._orders.limit is None and not self._is_stopped())
            worker.lease.check()
            # Everything due was looked at once: what waited for a head can be worked on now.
            has_waited, worker.waits_for_heads = worker.waits_for_heads, False
            unmatched = worker.unmatched
            if unmatched is not None and registry.policies.silent_rules(self._rules) is not None:
                # Metadata that was read since may match rules that nothing else matches.
                self._backlog.silent_rules = unmatched.record(registry, self._rules)
            async with _held(lambda: registry.opening(PATIENCE), worker.stop):
                done = await self._leave(complete=complete)
            if done is not None:
                return done
            if not has_waited:
                # Others are at work; what they leave behind is free once their lease is over.
                await asyncio.sleep(worker.lease.pause)

    async def _leave(self, *, complete: bool) -> Report | None:
        """Close the run if it is done, or leave it to others; `None` if neither is possible."""
        run = self._fresh()
        if run.closed_at is not None:
            return report(self._worker, run, self._backlog)
        has_to = self._worker.is_over or self._orders.limit is not None
        if has_to:
            self._registry.claims.release(self._worker.claimant)
        is_done = self._registry.claims.is_exhausted(run.id, run.started_at, self._orders.policy)
        is_last = has_to and self._registry.workers(run.id) <= 1
        if is_done or is_last:
            keep_for = self._worker.context.tombstones_keep_for
            copies = await prune(self._worker, policy=self._orders.policy)
            if self._worker.context.watch.trouble is None:
                self._registry.settlements.expire_tombstones(run.started_at - keep_for)
            whole = (is_done or complete) and self._orders.is_shared and not copies.is_cut_short
            return await close(self._worker, run, self._backlog, complete=whole, pruned=copies)
        return report(self._worker, run, self._backlog) if has_to else None

    def _fresh(self) -> RunRecord:
        """The run as it is now, after adopting its stops."""
        run = self._registry.runs.get(self._run.id) or self._run
        self._worker.health.heed(run.stops)
        return run

    def _is_stopped(self) -> bool:
        return bool(self._worker.health.stops())

    def _due(self, after: Cursor | None) -> Iterator[Entry]:
        """What was up for review when the run began, after a position, claimed page by page."""
        by, policy = self._worker.claimant, self._orders.policy
        while self._fresh().closed_at is None and (
            page := self._registry.claims.take(
                by, self._run.started_at, after=after, limit=PAGE, policy=policy
            )
        ):
            yield from page
            after = Cursor.of(page[-1])

    def _missing(self, after: Key | None) -> Iterator[Entry]:
        """Threads that were missing before and are to be probed once more, claimed page by page."""
        by = self._worker.claimant
        while self._fresh().closed_at is None and (
            page := self._registry.claims.take_missing(
                by, self._run.started_at, after=after, limit=PAGE
            )
        ):
            yield from page
            after = page[-1].thread.key
