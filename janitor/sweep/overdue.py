"""What is still due when a sweep is over: left by a limit, a failure, somebody busy, or time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from janitor.model import LIVE, Key, Mode, Outcome, Stage, State
from janitor.registry import Entry
from janitor.sweep.approval import under_approval
from janitor.sweep.backlog import due_entries
from janitor.sweep.parts import Parts
from janitor.sweep.review import Reviewer
from janitor.sweep.settle import backoff

RESTING = frozenset({Outcome.FAILED, Outcome.BUSY})


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
        """Whether it was in use, which is no failure."""
        return self.entry.last_outcome is Outcome.BUSY


@dataclass(frozen=True, slots=True)
class Failures:
    """How many threads of a project are failing, why the last one did, and when one is retried.

    Threads that are merely `in_use` have not failed: they are kept, and tried again.
    """

    project: str
    threads: int
    cause: str
    retried_at: datetime | None
    in_use: bool = False

    @property
    def message(self) -> str:
        """What was left undone, why, and what to do."""
        number = "1 thread is" if self.threads == 1 else f"{self.threads} threads are"
        why = "in use" if self.in_use else f"failed; {self.cause}"
        again = "" if self.retried_at is None else f" Retried from {_moment(self.retried_at)} on."
        return f"project {self.project}: {number} due and {why}.{again} See: janitor list --failed"


def overdue(parts: Parts, now: datetime) -> Mapping[str, datetime | None]:
    """Since when each policy's oldest undone thing is due, `None` where nothing is.

    Policies in audit are left out: they promise nothing. Reads what is up for review and what
    rests after a failure, both by an index; asks no server and changes nothing.
    """
    parts = under_approval(parts)
    enforced = [one.name for one in parts.policies.rules if _is_enforced(parts, one.name)]
    oldest: dict[str, datetime | None] = dict.fromkeys(enforced)
    reviewer = Reviewer(parts, parts.registry.holds(now))
    for policy, at in _left(parts, reviewer, now):
        if _is_enforced(parts, policy):
            known = oldest.get(policy)
            oldest[policy] = at if known is None else min(known, at)
    return oldest


def failing(parts: Parts, now: datetime, policy: str | None = None) -> Iterator[Failing]:
    """Every thread that is due under an enforced policy, not paused, and failed when last tried.

    Threads that were in use then are among them. `policy` names the only one to look at. `parts`
    are those that a sweep goes by. Found by an index; asks no server and changes nothing.
    """
    reviewer, pauses = Reviewer(parts, parts.registry.holds(now)), parts.registry.pauses(now)
    for entry in parts.registry.select(failed=True):
        if entry.last_outcome not in RESTING or entry.thread.state not in LIVE:
            continue
        stage, name = _undone(reviewer, entry, now)
        is_wanted = policy in (None, name) and _is_enforced(parts, name)
        is_paused = any(pause.covers(entry.thread.key.project, name) for pause in pauses)
        if stage is not None and is_wanted and not is_paused:
            yield Failing(entry, stage, name)


def _undone(reviewer: Reviewer, entry: Entry, now: datetime) -> tuple[Stage | None, str]:
    if not reviewer.serves(entry):
        return None, ""
    if entry.thread.state is State.DELETING:
        return Stage.DELETE, entry.intent.policy if entry.intent is not None else ""
    decision = reviewer.on_facts(entry, now).decision
    return decision.stage, decision.policy or ""


def by_project(
    found: Iterator[Failing], among: Collection[Key] | None = None
) -> tuple[Failures, ...]:
    """What is failing or in use, counted by project; only threads `among` the given ones, if any.

    Those that failed come first.
    """
    entries: dict[tuple[bool, str], list[Entry]] = {}
    for one in found:
        key = one.entry.thread.key
        if among is None or key in among:
            entries.setdefault((one.in_use, key.project), []).append(one.entry)
    return tuple(
        _counted(project, them, in_use=in_use)
        for (in_use, project), them in sorted(entries.items(), key=lambda group: group[0])
    )


def _counted(project: str, entries: list[Entry], *, in_use: bool) -> Failures:
    last = max(entries, key=_tried_at)
    times = [entry.review_at for entry in entries if entry.review_at is not None]
    cause = last.last_error or ""
    return Failures(project, len(entries), cause, min(times, default=None), in_use)


def _tried_at(entry: Entry) -> datetime:
    rest = backoff(entry.attempts - 1)
    return datetime.min.replace(tzinfo=UTC) if entry.review_at is None else entry.review_at - rest


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _is_enforced(parts: Parts, policy: str) -> bool:
    return parts.mode_of(policy) is Mode.ENFORCE


def _left(parts: Parts, reviewer: Reviewer, now: datetime) -> Iterator[tuple[str, datetime]]:
    registry = parts.registry
    resting = (one for one in registry.select(failed=True) if one.thread.state in LIVE)
    for entry in chain(due_entries(registry, now), resting):
        policy, at = _due(reviewer, entry, now)
        if policy is not None and at is not None and at <= now:
            yield policy, at


def _due(reviewer: Reviewer, entry: Entry, now: datetime) -> tuple[str | None, datetime | None]:
    if entry.thread.state is State.DELETING:  # decided long ago, and not yet brought to an end
        return entry.policy, entry.due_at
    if not reviewer.serves(entry):
        return None, None
    decision = reviewer.on_facts(entry, now).decision
    return (decision.policy, decision.due_at) if decision.stages else (None, None)
