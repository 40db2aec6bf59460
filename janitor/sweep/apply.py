"""Carries out exactly a reviewed plan: what is still as it was, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from janitor.model import Key, Stage, State
from janitor.policy import policies_digest
from janitor.registry import Entry, RunResult
from janitor.sweep.approval import approve, approve_first, under_approval
from janitor.sweep.asking import look_at_clock
from janitor.sweep.backlog import Backlog
from janitor.sweep.parts import Parts
from janitor.sweep.paused import PAUSED
from janitor.sweep.plan import Plan, Planned
from janitor.sweep.recover import recover
from janitor.sweep.report import Report, close, close_dead
from janitor.sweep.review import Review
from janitor.sweep.reviewed import command_of
from janitor.sweep.work import Worker

PAGE = 500


async def apply(parts: Parts, made: Plan, stop: threading.Event, actor: str = "apply") -> Report:
    """Carry out what the plan says of each thread that is still exactly so and due.

    Begun again, it goes on where it stopped; once it is over, it no longer waits for a service
    either. Limits do not apply: a person has looked. Policies that waited for approval when the
    plan was made are approved with it, by `actor`.

    Raises:
        StoreError: The registry failed.
        LimitError: The policies approved last cannot be read.
    """
    parts = _approved(parts, made, actor)
    digest = policies_digest(parts.policies)
    parts.registry.release_claims()
    close_dead(parts.registry, parts.clock())
    await look_at_clock(parts)
    run = parts.registry.open_run(
        command_of(made.digest), parts.policies.mode, digest, parts.clock()
    )
    planned = {row.key: row for row in made.decisions if row.stages}
    worker = Worker(parts, run, stop, drifted=_Drift(planned))
    async with worker.lease.kept():
        await recover(worker, tried=False)
        others = worker.kept[PAUSED]
        complete = await worker.work_all(_entries(worker, made))
        complete = complete and worker.kept[PAUSED] == others  # gone on with after the pause
        if complete:
            await recover(worker)
        worker.lease.check()
        report = await close(worker, run, Backlog(), complete=complete)
    if report.run.result is not RunResult.PARTIAL:
        parts.registry.end_handover(made.digest, run.id, parts.clock())
    return report


def _approved(parts: Parts, made: Plan, actor: str) -> Parts:
    """The parts under what stands once this plan is applied; what it approves is recorded."""
    approve_first(parts, parts.clock())
    parts = under_approval(parts)
    if parts.approved is None or not made.pending:
        return parts
    approve(parts.registry, parts.policies, actor, f"apply of plan {made.digest}", parts.clock())
    return replace(parts, approved=None)


@dataclass(frozen=True, slots=True)
class _Drift:
    """Says why a thread is no longer what the plan says of it, or `None`."""

    planned: Mapping[Key, Planned]

    def __call__(self, review: Review) -> str | None:
        row = self.planned[review.thread.key]
        same = row.last_active_at == review.thread.last_active_at or not row.probed
        if row.newest_item is not None:
            same = same and row.newest_item == review.thread.newest_item
        left = tuple(stage for stage in row.stages if stage in review.decision.stages)
        return None if same and left and left == review.decision.stages else "drift"


def _entries(worker: Worker, made: Plan) -> Iterator[Entry]:
    """What the plan names and is not yet done, claimed for this run, by pages."""
    registry = worker.parts.registry
    planned = (row for row in made.decisions if row.stages)
    while page := {row.key: row for row in islice(planned, PAGE)}:
        ours = {one.thread.key: one for one in registry.claim_keys(worker.claimant, page)}
        for key, row in page.items():
            entry = ours.get(key) or registry.get(key)
            if entry is not None and _is_done(entry, row):
                continue
            if key in ours:
                yield _as_looked_at(ours[key], row, made.now)
            else:
                worker.drift(key, row.stages[0], row.policy)


def _as_looked_at(entry: Entry, row: Planned, at: datetime) -> Entry:
    """The entry with the plan's own look counted as one: what differs from it is activity.

    A dry run writes nothing, so the registry may never have seen this thread's newest item.
    """
    if not row.probed or entry.sightings.baseline_at is not None:
        return entry
    seen = replace(entry.sightings, baseline_at=at, newest_item=row.newest_item)
    return replace(entry, sightings=seen)


def _is_done(entry: Entry, row: Planned) -> bool:
    state = entry.thread.state
    if Stage.DELETE in row.stages:
        return state is State.DELETED
    if Stage.SOFT_DELETE in row.stages:
        return state is State.SOFT_DELETED
    return entry.thread.copy_is_current
