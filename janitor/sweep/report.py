"""What a run did, counted from what was settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from janitor.model import Key, Outcome
from janitor.registry import Pause, Proposal, Registry, RunRecord, RunResult
from janitor.registry.runs import SWEEPS
from janitor.sources import down
from janitor.sweep.backlog import Backlog
from janitor.sweep.breaker import Stop
from janitor.sweep.overdue import Failures, by_project, failing
from janitor.sweep.paused import noted
from janitor.sweep.pruned import Pruned
from janitor.sweep.reviewed import APPLY
from janitor.sweep.twins import sharing
from janitor.sweep.work import Worker


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one thread that a person spoke of, in words."""

    key: Key
    said: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A closed run: outcomes by (policy, stage, outcome), kept threads by reason, what stopped.

    `silences` tell of projects of which nothing was answered, without a limit being reached.
    `lists` tell of those that were walked before it and could not be believed or not be read.
    `unapproved` are the policies that it went by only in part, since they wait for approval.
    `sources` are those that failed, each with what to do: what they feed was not removed.
    `pauses` are those in force, `past_pauses` those that kept something and have ended.
    `pruned` is what became of the archive's copies past their date.
    `sharing` names the projects that reach the same containers, group by group.
    `answers` say of each thread that a person accepts as gone what became of that.
    `cut_short` says why it ended before it had looked at everything, where it did.
    `failures` tell by project what is due and failed when it was last tried, in this run or before,
    `in_use` what is due and was in use then.
    """

    run: RunRecord
    backlog: Backlog
    outcomes: Mapping[tuple[str, str, str], int]
    kept: Mapping[str, int]
    stops: tuple[Stop, ...]
    unapproved: Proposal | None = None
    silences: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    pauses: tuple[Pause, ...] = ()
    past_pauses: tuple[Pause, ...] = ()
    pruned: Pruned = field(default_factory=Pruned)
    sharing: tuple[tuple[str, ...], ...] = ()
    failures: tuple[Failures, ...] = ()
    in_use: tuple[Failures, ...] = ()
    cut_short: str | None = None
    answers: tuple[Answer, ...] = ()

    @property
    def undone(self) -> tuple[str, ...]:
        """What was left undone though nothing stopped it, a sentence for each."""
        cut = () if self.cut_short is None else (f"not all was looked at: {self.cut_short}",)
        return (*cut, *(left.message for left in self.failures))

    @property
    def exit_code(self) -> int:
        """0 done, 1 some threads failed or drifted, 3 access, 4 a limit; the gravest first."""
        codes = {stop.exit_code for stop in self.stops}
        if self.backlog.tripped:
            codes.add(4)
        codes.update(self.pruned.exit_codes)
        refused = any(answer.failed for answer in self.answers)
        undone = refused or self._failed or self.failures or self.pruned.failed
        failed = undone or self.sources or self.lists
        if not codes and (failed or self.kept.get("drift")):
            return 1
        return min(codes, default=0)

    @property
    def _failed(self) -> bool:
        return any(outcome == Outcome.FAILED for _, _, outcome in self.outcomes)


def close_dead(registry: Registry, now: datetime) -> None:
    """Close the runs whose janitors died, so that what they did is counted and chained too."""
    for dead in registry.unclosed_runs():
        registry.close_run(dead.id, RunResult.FAILED, now)


async def close(worker: Worker, run: RunRecord, backlog: Backlog, *, complete: bool) -> Report:
    """Believe or forget what was found missing, close the run, and say what it did."""
    registry, now = worker.parts.registry, worker.parts.clock()
    worker.standing.heed(run.stops)
    registry.release(worker.claimant)
    verdict = await worker.inquest.verdict()
    registry.confirm_missing(run.id, believed=verdict.believed, doubted=verdict.doubted)
    whole = complete and not worker.standing.unanswered()
    is_limited = bool(backlog.tripped) or worker.pruned.is_limited
    result = _result(worker.stops(), is_limited=is_limited, complete=whole)
    _note_stops(worker, run.id)
    if worker.parts.watch.trouble is not None:
        registry.set_policies_digest("")  # what was decided by a wrong clock is decided anew
    closed = registry.close_run(run.id, result, now)
    return report(worker, closed, backlog)


def _note_stops(worker: Worker, run: str) -> None:
    """Keep in the run's record what nobody has written down yet: why, for whoever looks later."""
    record = worker.parts.registry.run(run)
    noted = {(one["project"], one["limit"]) for one in record.stops} if record is not None else ()
    for stop in worker.stops():
        if (stop.project, stop.limit) not in noted:
            worker.parts.registry.note_stop(run, stop.note())


def report(worker: Worker, run: RunRecord, backlog: Backlog) -> Report:
    """What this janitor did in a run, closed by whom it may."""
    worker.parts.registry.forgive(worker.standing.blameless())
    waiting = worker.parts.registry.unapproved() if worker.parts.approved is not None else None
    counted = (dict(worker.outcomes), dict(worker.kept))
    silences = worker.standing.silences()
    sources = _down(worker, run)
    standing = worker.parts.registry.pauses(worker.parts.clock())
    projects = worker.parts.projects.items()
    accounts = {name: one.account for name, one in projects if one.account_is_known}
    failures = _failures(worker, run)
    return Report(
        run,
        backlog,
        *counted,
        worker.stops(),
        waiting,
        silences,
        sources,
        pauses=standing,
        past_pauses=tuple(one for one in noted(run.stops) if one not in standing),
        pruned=worker.pruned,
        sharing=tuple(sharing(accounts)),
        failures=tuple(one for one in failures if not one.in_use),
        in_use=tuple(one for one in failures if one.in_use),
        cut_short=worker.cut_short if run.result is RunResult.PARTIAL else None,
    )


def _failures(worker: Worker, run: RunRecord) -> tuple[Failures, ...]:
    """What is due and failed, or was in use; after all but a sweep only what failed in the run."""
    found = failing(worker.parts, worker.parts.clock(), worker.gate.only)
    return by_project(found, None if run.command in SWEEPS else worker.failed)


def _down(worker: Worker, run: RunRecord) -> Mapping[str, str]:
    """The sources that fail, where the run is one that removes."""
    removes = run.command in SWEEPS or run.command.startswith(APPLY)
    return down(worker.parts.registry, worker.parts.sources) if removes else {}


def _result(stops: tuple[Stop, ...], *, is_limited: bool, complete: bool) -> RunResult:
    if not all(stop.looks_on for stop in stops):
        return RunResult.FAILED
    if stops or is_limited:
        return RunResult.LIMITED
    return RunResult.DONE if complete else RunResult.PARTIAL
