"""Opens and closes runs, and reports what a run did, counted from what was settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from janitor.engine.breaker import Stop
from janitor.engine.context import RunContext
from janitor.engine.limits import Backlog, Failures, by_project, failed_in, failing
from janitor.engine.pauses import noted
from janitor.engine.shared_containers import sharing
from janitor.engine.worker import Worker
from janitor.errors import ArchiveError
from janitor.model import Key, Outcome
from janitor.policy import Tripped, policies_digest
from janitor.registry import Pause, PendingApproval, RunRecord, RunResult
from janitor.registry.runs import SWEEPS
from janitor.sources.watermark import down
from janitor.texts import counted

APPLY = "apply"
"""Prefix of the command of runs that carry out a plan."""

NAMED = 20
"""At most this many failures are listed; the others are counted."""

BESIDES = ("hold", "tag")
"""Runs that do something other than what is due."""


@dataclass(frozen=True, slots=True)
class AcceptAnswer:
    """What became of one thread that a person accepted as gone, in words."""

    key: Key
    said: str
    failed: bool = False


@dataclass(slots=True)
class Pruned:
    """The copies of deleted threads that a run found past their date.

    `due` may be removed, and `removed` were; `gone` had been removed by somebody else. `kept`
    counts the others, by reason. `failures` names the first of the `failed`, and what is wrong with
    them. `waiting` copies wait for a person to start the removal after an upgrade. `tripped` is the
    limit that kept all of them, `error` why the archive cannot be used. `is_cut_short`: the run had
    to end (`Worker.is_over`) before it had removed all that may be removed.
    """

    due: int = 0
    removed: int = 0
    gone: int = 0
    waiting: int = 0
    failed: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    tripped: Tripped | None = None
    error: ArchiveError | None = None
    is_cut_short: bool = False

    def fail(self, message: str) -> None:
        """Count a copy that stays because something is wrong with it, and name the first ones."""
        self.failed += 1
        if len(self.failures) < NAMED:
            self.failures.append(message)

    @property
    def foreseen(self) -> int:
        """How many a sweep would remove now."""
        return 0 if self.waiting or self.tripped is not None else self.due

    @property
    def is_limited(self) -> bool:
        """Whether a limit kept copies that would have been removed."""
        return self.tripped is not None and not self.waiting

    @property
    def exit_codes(self) -> Iterator[int]:
        """The exit codes that the copies alone give a run."""
        if self.is_limited:
            yield 4
        if self.error is not None:
            yield self.error.exit_code

    def document(self) -> dict[str, object]:
        """The numbers, for machines."""
        return {
            "due": self.due,
            "removed": self.removed,
            "gone": self.gone,
            "waiting": self.waiting,
            "failed": self.failed,
            "failures": self.failures,
            "kept": dict(self.kept),
            "limit": None if self.tripped is None else self.tripped.limit,
        }

    def messages(self) -> Iterator[str]:
        """What an operator has to know or do, a sentence each."""
        if self.waiting:
            yield (
                f"{self.waiting} archive copies are past their keep_for. Earlier versions removed "
                "none, so the first removal needs your decision. List them: `janitor archive "
                f"prune --dry-run`; remove them: `{_command(self)}`"
            )
        elif self.tripped is not None:
            over = self.tripped
            yield (
                f"archive: {over.due} of {counted(over.population, 'copy is', 'copies are')} "
                f"past their keep_for, more than {over.limit} allows at once ({over.allowed}); "
                "none was removed. List them: "
                f"`janitor archive prune --dry-run`; if that is right: `{_command(self)}`"
            )
        yield from self.failures
        if (more := self.failed - len(self.failures)) > 0:
            copies = counted(more, "more copy stays", "more copies stay")
            yield f"archive: {copies} for similar reasons"
        if self.error is not None:
            yield f"{self.error}. Copies past their keep_for stay until it can be reached"


def _command(pruned: Pruned) -> str:
    if pruned.tripped is None:
        return "janitor archive prune"
    return f"janitor archive prune --yes {pruned.tripped.due}"


@dataclass(frozen=True, slots=True)
class Report:
    """A closed run: outcomes by (policy, stage, outcome), kept threads by reason, what stopped.

    `silences` has a message for each project that gave no answer, without a limit being reached.
    `lists` has one for each list that was walked before the run and could not be believed or read.
    `unapproved` are the policies that it went by only in part, because they wait for approval.
    `sources` are those that failed, each with what to do: threads that they feed were not removed.
    `pauses` are those in force, `past_pauses` those that kept something and have ended.
    `pruned` is what became of the archive's copies past their date.
    `sharing` names the projects that reach the same containers, group by group.
    `answers` says what became of each thread that a person accepted as gone.
    `cut_short` says why the run ended before it had looked at everything, if it did.
    `failures` counts by project what is due and failed when last tried, in this run or before,
    `in_use` what is due and was in use then.
    """

    run: RunRecord
    backlog: Backlog
    outcomes: Mapping[tuple[str, str, str], int]
    kept: Mapping[str, int]
    stops: tuple[Stop, ...]
    unapproved: PendingApproval | None = None
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
    answers: tuple[AcceptAnswer, ...] = ()

    @property
    def undone(self) -> tuple[str, ...]:
        """What was left undone though nothing stopped it, a sentence for each."""
        cut = () if self.cut_short is None else (f"not everything was checked: {self.cut_short}",)
        return (*cut, *(left.message for left in self.failures))

    @property
    def exit_code(self) -> int:
        """0 done, 1 some threads failed or drifted, 3 access, 4 a limit; the gravest wins."""
        codes = {stop.exit_code for stop in self.stops}
        if self.backlog.tripped:
            codes.add(4)
        codes.update(self.pruned.exit_codes)
        refused = any(answer.failed for answer in self.answers)
        has_failed = any(outcome == Outcome.FAILED for _, _, outcome in self.outcomes)
        undone = refused or has_failed or self.failures or self.pruned.failed
        failed = undone or self.sources or self.lists
        if not codes and (failed or self.kept.get("drift")):
            return 1
        return min(codes, default=0)


def open_run(context: RunContext, command: str) -> RunRecord:
    """Open a run, after releasing the claims and closing the runs of dead janitors.

    The caller holds the run's lock.

    Raises:
        StoreError: The registry failed.
    """
    registry, policies = context.registry, context.policies
    registry.claims.release_abandoned()
    for dead in registry.runs.unclosed():  # so that what they did is counted and chained too
        registry.runs.close(dead.id, RunResult.FAILED, context.clock())
    return registry.runs.start(command, policies.mode, policies_digest(policies), context.clock())


async def close(
    worker: Worker,
    run: RunRecord,
    backlog: Backlog,
    *,
    complete: bool,
    pruned: Pruned | None = None,
) -> Report:
    """Settle what was found missing, close the run, and report what it did.

    `complete`: everything was looked at. `pruned`: what became of copies past their date, if the
    run looked at them.
    """
    registry, now = worker.context.registry, worker.context.clock()
    worker.health.heed(run.stops)
    registry.claims.release(worker.claimant)
    verdict = await worker.missing_judge.verdict()
    registry.settlements.confirm_missing(run.id, believed=verdict.believed, doubted=verdict.doubted)
    whole = complete and not worker.health.unanswered()
    is_limited = bool(backlog.tripped) or (pruned is not None and pruned.is_limited)
    result = _result(worker.stops(), is_limited=is_limited, complete=whole)
    # Record why it stopped, unless that is recorded already, for anyone who looks later.
    record = registry.runs.get(run.id)
    noted_stops = {(line["project"], line["limit"]) for line in record.stops} if record else set()
    for stop in worker.stops():
        if (stop.project, stop.limit) not in noted_stops:
            registry.runs.note_stop(run.id, stop.note())
    if worker.context.watch.trouble is not None:
        # What was decided with a wrong clock is decided again.
        registry.policies.set_decided_digest("")
    closed = registry.runs.close(run.id, result, now)
    return report(worker, closed, backlog, pruned)


def report(
    worker: Worker, run: RunRecord, backlog: Backlog, pruned: Pruned | None = None
) -> Report:
    """What this janitor did in a run that it or another janitor closed."""
    context, registry = worker.context, worker.context.registry
    registry.settlements.forgive(worker.health.blameless())
    now = context.clock()
    pauses = registry.pauses.in_force(now)
    projects = context.projects.items()
    accounts = {name: project.account for name, project in projects if project.account_is_known}
    removes = run.command in SWEEPS or run.command.startswith(APPLY)
    if run.command in BESIDES:
        failures = failed_in(registry.threads, worker.failed)
    else:  # except after a sweep, only what failed in the run
        among = None if run.command in SWEEPS else worker.failed
        failures = by_project(failing(context, now, worker.gate.only), among)
    return Report(
        run,
        backlog,
        dict(worker.outcomes),
        dict(worker.kept),
        worker.stops(),
        unapproved=registry.policies.unapproved() if context.approved is not None else None,
        silences=worker.health.silences(),
        sources=down(registry, context.sources) if removes else {},
        pauses=pauses,
        past_pauses=tuple(pause for pause in noted(run.stops) if pause not in pauses),
        pruned=pruned or Pruned(),
        sharing=tuple(sharing(accounts)),
        failures=tuple(failure for failure in failures if not failure.in_use),
        in_use=tuple(failure for failure in failures if failure.in_use),
        cut_short=worker.cut_short if run.result is RunResult.PARTIAL else None,
    )


def _result(stops: tuple[Stop, ...], *, is_limited: bool, complete: bool) -> RunResult:
    if not all(stop.looks_on for stop in stops):
        return RunResult.FAILED
    if stops or is_limited:
        return RunResult.LIMITED
    return RunResult.DONE if complete else RunResult.PARTIAL
