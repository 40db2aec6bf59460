"""Counts what is due before a sweep against the limits, and what is left after it.

`ActionGate` decides whether a thread may be acted on, by that count and by pauses, audit and the
archive. A sweep and a plan use the same gate.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any

from janitor.engine.context import RunContext
from janitor.engine.cost import Work, by_verb, task_of
from janitor.engine.pauses import PAUSED, is_covered
from janitor.engine.redecide import rules_digest, under_approval
from janitor.engine.review import Review, Reviewer
from janitor.engine.settlement import thread_backoff
from janitor.engine.unmatched_rules import UnmatchedRules
from janitor.errors import ArchiveError
from janitor.model import LIVE, REMOVING, Key, Mode, Outcome, Stage, State
from janitor.policy import PSEUDO_POLICIES, Tripped, tripped
from janitor.rate_limit import Verb
from janitor.registry import Entry, Note, Pause, ThreadQueries
from janitor.texts import counted

RESTING = frozenset({Outcome.FAILED, Outcome.BUSY})


@dataclass(slots=True)
class Backlog:
    """Due threads per policy, and the limits that their number trips.

    `work` is what a sweep does with these threads as far as the registry knows, by project and by
    the policy that a removal counts under.
    `moves` corrects the count table's population by the rows that change their policy with this
    look (new registrations are all up for review, so none is missed).
    """

    due: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    stages: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0
    tripped: dict[str, Tripped] = field(default_factory=dict)
    silent_rules: tuple[str, ...] = ()
    work: defaultdict[tuple[str, str | None], Work] = field(
        default_factory=partial(defaultdict, Work)
    )

    def add(self, review: Review, *, is_paused: bool = False) -> None:
        """Count one thread; unknown facts count as due, since a look may find them so.

        A paused thread is due too, but counts under no limit, since nothing is done with it.
        """
        decision = review.decision
        self.looked_at += 1
        policy = decision.policy or ""
        self.moves[review.remover or policy] += 1
        self.moves[review.entry.policy or ""] -= 1
        if decision.reason is not None:
            self.kept[decision.why or ""] += 1
        for stage in decision.stages:
            self.stages[policy, stage] += 1
        if review.remover is not None and not is_paused:
            self.due[review.remover] += 1

    def expect(self, context: RunContext, review: Review) -> None:
        """Add the calls that a look at one thread takes, and those of its stages."""
        key = review.thread.key
        work = self.work[key.project, review.remover]
        work.look(key.kind)
        if context.mode_of(review.decision.policy or "") is Mode.ENFORCE:
            work.tasks[task_of(review, review)] += 1

    @property
    def calls(self) -> dict[tuple[str, Verb], float]:
        """The calls that a sweep probably makes, by project and verb, without tripped policies."""
        calls: defaultdict[tuple[str, Verb], float] = defaultdict(float)
        for (project, remover), work in self.work.items():
            if remover not in self.tripped:
                for verb, number in by_verb(work.calls("likely")).items():
                    calls[project, verb] += number
        return calls


def count(
    context: RunContext,
    reviewer: Reviewer,
    entries: Iterable[Entry],
    now: datetime,
    pauses: Sequence[Pause] = (),
) -> Backlog:
    """Count what is due and judge it against the limits, before the first action."""
    backlog = Backlog()
    unmatched = UnmatchedRules(context.policies, context.registry.holds.recent(now), now)
    for entry in entries:
        unmatched.see(entry.thread)
        if context.serves(entry.thread.key):
            review = reviewer.on_facts(entry, now)
            backlog.add(review, is_paused=is_paused_by(pauses, review))
            if reviewer.needs_probe(review):
                backlog.expect(context, review)
    judge(context, backlog, now)
    governing = context.registry.threads.population()
    backlog.silent_rules = unmatched.record(context.registry, rules_digest(context), governing)
    return backlog


def judge(context: RunContext, backlog: Backlog, now: datetime) -> None:
    """Set `backlog.tripped` to the policies over a limit."""
    population = context.registry.threads.population()
    last = context.registry.runs.last_completed(now)
    since = now - last if last else None
    for name in dict.fromkeys(
        [*(rule.name for side in context.sides for rule in side.rules), *PSEUDO_POLICIES]
    ):
        living = population.get(name, 0) + backlog.moves[name]
        number = backlog.due[name]
        over = tripped(context.side_of(name), name, due=number, population=living, since_last=since)
        if over is not None:
            backlog.tripped[name] = over


def notes(backlog: Backlog) -> list[Note]:
    """The tripped limits as notes in the run's record, for the janitors that join."""
    return [asdict(over) for over in backlog.tripped.values()]


def told(lines: Iterable[Note]) -> dict[str, Tripped]:
    """The tripped limits from the run's record, by policy."""
    over: dict[str, Tripped] = {}
    for note in lines:
        policy = str(note["policy"])
        due, allowed, population = (int(note[name]) for name in ("due", "allowed", "population"))
        over[policy] = Tripped(str(note["limit"]), policy, due, allowed, population)
    return over


def message(over: Tripped, *, is_audit: bool = False, plan: str | None = None) -> str:
    """What a tripped limit means, and what to do; `plan` is the file that one was just written to.

    A plan made in audit cannot be applied, so another one has to be made first.
    """
    first = "set `mode: enforce`; " if is_audit else ""
    what = "janitor plan -o plan.json; review it; janitor apply plan.json"
    if plan is not None and not is_audit:
        what = f"review {plan}; janitor apply {shlex.quote(plan)}"
    return (
        f"policy {over.policy}: {over.due} of "
        f"{counted(over.population, 'thread is', 'threads are')} due for removal, more than "
        f"{over.limit} allows ({over.allowed}); none of them is touched, other policies continue. "
        f"If that is right: {first}{what}"
    )


def is_paused_by(pauses: Iterable[Pause], review: Review) -> bool:
    """Whether one of these pauses covers the thread, or what would remove it."""
    return is_covered(pauses, review.entry, *review.decision.policies, review.remover)


@dataclass(slots=True)
class ActionGate:
    """Decides whether a sweep may act on a decision: pauses, limits, audit and the archive.

    `forbidden` are the policies over a limit; `is_counted` says whether limits were counted at all.
    `pauses` were in force at that time: what they cover was counted under no limit, so it waits for
    the next sweep even if the pause ends during this one. `only` is the one policy that is swept.
    The methods take the pauses that are in force now.
    """

    context: RunContext
    forbidden: frozenset[str] = frozenset()
    is_counted: bool = False
    pauses: tuple[Pause, ...] = ()
    only: str | None = None

    def before_look(self, review: Review, pauses: Iterable[Pause]) -> str | None:
        """Why a thread is not even probed, by the registry's facts; `None` if it may be."""
        if self._is_paused(review, pauses):
            return PAUSED
        return "limit" if self._is_over_a_limit(review) else None

    def after_look(
        self,
        review: Review,
        counted: str | None,
        archive_error: ArchiveError | None,
        pauses: Iterable[Pause],
    ) -> str | None:
        """Why a thread with due stages is left as it is; `None` if a sweep may act.

        `counted` is the policy that the thread was counted under: if a probe finds it due under
        another one, that is recorded, and the next sweep counts it there before anything is done.
        """
        if self._is_paused(review, pauses):
            return PAUSED
        if self._is_over_a_limit(review):
            return "limit"
        if self.only not in (None, review.remover or review.decision.policy):
            return "other_policy"
        if self.is_counted and review.remover not in (None, counted):
            return "uncounted"
        if self.is_audited(review):
            return "audit"
        archives = Stage.ARCHIVE in review.decision.stages or review.thread.copy is not None
        return "archive_down" if archives and archive_error is not None else None

    def is_audited(self, review: Review) -> bool:
        """Whether the thread's policy is in audit mode."""
        return self.context.mode_of(review.decision.policy or "") is Mode.AUDIT

    def _is_paused(self, review: Review, now: Iterable[Pause]) -> bool:
        return is_paused_by(self.pauses, review) or is_paused_by(now, review)

    def _is_over_a_limit(self, review: Review) -> bool:
        removes = not REMOVING.isdisjoint(review.decision.stages)
        return removes and review.remover in self.forbidden


@dataclass(frozen=True, slots=True)
class Failing:
    """A thread that is due and whose last attempt failed, or found it in use.

    It rests until its `review_at`.
    """

    entry: Entry
    stage: Stage
    policy: str

    @property
    def in_use(self) -> bool:
        """Whether it was in use, which is not a failure."""
        return self.entry.last_outcome is Outcome.BUSY

    def row(self) -> dict[str, Any]:
        """The thread as it appears in a plan's document."""
        entry = self.entry
        return {
            **asdict(entry.thread.key),
            "state": entry.thread.state,
            "stage": self.stage,
            "policy": self.policy,
            "due_at": entry.due_at,
            "in_use": self.in_use,
            "attempts": entry.attempts,
            "last_error": entry.last_error,
            "retried_at": entry.review_at,
        }


@dataclass(frozen=True, slots=True)
class Failures:
    """How many threads of a project are failing, why the last one did, and when one is retried.

    Threads that are merely `in_use` have not failed: they are kept, and tried again. Threads that
    are not `due` failed in a run that does something other than what is due.
    """

    project: str
    threads: int
    cause: str
    retried_at: datetime | None
    in_use: bool = False
    due: bool = True

    @property
    def message(self) -> str:
        """What was left undone, why, and what to do."""
        number = counted(self.threads, "thread")
        if self.due:
            number = counted(self.threads, "thread is due and", "threads are due and")
        why = "in use" if self.in_use else f"failed; {self.cause}"
        again = ""
        if self.retried_at is not None:
            again = f" Retried from {self.retried_at:%Y-%m-%d %H:%M} UTC on."
        return f"project {self.project}: {number} {why}.{again} See: janitor list --failed"


def overdue(context: RunContext, now: datetime) -> Mapping[str, datetime | None]:
    """Since when each policy's oldest unfinished stage is due; `None` if there is none.

    Policies in audit are left out, since they promise nothing. Reads what is up for review and what
    rests after a failure, both through an index; asks no server and changes nothing.
    """
    context = under_approval(context)
    enforced = [rule.name for rule in context.policies.rules if _is_enforced(context, rule.name)]
    oldest: dict[str, datetime | None] = dict.fromkeys(enforced)
    reviewer = Reviewer(context, context.registry.holds.recent(now))
    registry = context.registry
    resting = (
        entry for entry in registry.threads.select(failed=True) if entry.thread.state in LIVE
    )
    for entry in chain(registry.threads.due(now), resting):
        policy, due_at = None, None
        if entry.thread.state is State.DELETING:  # decided long ago, and not finished yet
            policy, due_at = entry.policy, entry.due_at
        elif context.serves(entry.thread.key):
            decision = reviewer.on_facts(entry, now).decision
            if decision.stages:
                policy, due_at = decision.policy, decision.due_at
        if policy is None or due_at is None or due_at > now or not _is_enforced(context, policy):
            continue
        oldest[policy] = min(oldest.get(policy) or due_at, due_at)
    return oldest


def failing(context: RunContext, now: datetime, policy: str | None = None) -> Iterator[Failing]:
    """Every thread that is due under an enforced policy, not paused, and failed when last tried.

    That includes threads that were in use then. `policy` restricts it to one policy. `context` is
    the one that a sweep uses. Reads through an index; asks no server and changes nothing.
    """
    reviewer = Reviewer(context, context.registry.holds.recent(now))
    pauses = context.registry.pauses.in_force(now)
    for entry in context.registry.threads.select(failed=True):
        if entry.last_outcome not in RESTING or entry.thread.state not in LIVE:
            continue
        if not context.serves(entry.thread.key):
            continue
        if entry.thread.state is State.DELETING:
            stage: Stage | None = Stage.DELETE
            name = entry.intent.policy if entry.intent is not None else ""
        else:
            decision = reviewer.on_facts(entry, now).decision
            stage, name = decision.stage, decision.policy or ""
        is_wanted = policy in (None, name) and _is_enforced(context, name)
        is_paused = any(pause.covers(entry.thread.key.project, name) for pause in pauses)
        if stage is not None and is_wanted and not is_paused:
            yield Failing(entry, stage, name)


def by_project(
    failings: Iterator[Failing], among: Collection[Key] | None = None
) -> tuple[Failures, ...]:
    """Failing and busy threads, counted by project; only those `among` the given keys, if any.

    Those that failed come first.
    """
    entries: dict[tuple[bool, str], list[Entry]] = {}
    for failed in failings:
        key = failed.entry.thread.key
        if among is None or key in among:
            entries.setdefault((failed.in_use, key.project), []).append(failed.entry)
    return tuple(
        _counted(project, threads, in_use=in_use)
        for (in_use, project), threads in sorted(entries.items(), key=lambda group: group[0])
    )


def failed_in(threads: ThreadQueries, keys: Iterable[Key]) -> tuple[Failures, ...]:
    """Those of these threads that still count as failed, by project, due or not.

    For runs that do something other than what is due.
    """
    entries: dict[str, list[Entry]] = {}
    for key in sorted(keys):
        if (entry := threads.get(key)) is not None and entry.attempts:
            entries.setdefault(key.project, []).append(entry)
    return tuple(
        replace(_counted(project, failed, in_use=False), due=False)
        for project, failed in entries.items()
    )


def _counted(project: str, entries: list[Entry], *, in_use: bool) -> Failures:
    last = max(entries, key=_tried_at)
    times = [entry.review_at for entry in entries if entry.review_at is not None]
    cause = last.last_error or ""
    return Failures(project, len(entries), cause, min(times, default=None), in_use)


def _tried_at(entry: Entry) -> datetime:
    rest = thread_backoff(entry.attempts - 1)
    return datetime.min.replace(tzinfo=UTC) if entry.review_at is None else entry.review_at - rest


def _is_enforced(context: RunContext, policy: str) -> bool:
    return context.mode_of(policy) is Mode.ENFORCE
