"""Decide about one thread: a pure function of what is known, the policies, and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile

from janitor.catalogue import CATALOGUE
from janitor.model import LIVE, REMOVING, Decision, Hold, Reason, Stage, State, Thread
from janitor.policy.matching import views_of
from janitor.policy.protections import Ranks
from janitor.policy.rulebook import rulebook
from janitor.policy.rules import Items, Mark, Policies, Policy
from janitor.policy.schedule import NEVER, Due
from janitor.policy.weighing import Case, never_deleted, weigh

DAY = timedelta(days=1)
Pending = tuple[Stage, Due]
OPEN = LIVE - {State.DELETING}
DOUBTS = frozenset({Reason.KEEP_LAST, Reason.UNKNOWN_ACTIVITY, Reason.UNKNOWN_METADATA})
"""Reasons that may end without any date being reached: looked at again within a day."""


def decide(
    thread: Thread, policies: Policies, holds: Sequence[Hold], ranks: Ranks, now: datetime
) -> Decision:
    """What to do with a thread now, and why; the most protective of all that matches wins.

    `ranks` maps the name of a `keep_last` policy to the thread's place in its group, the most
    recently active at 0; absent means unknown and keeps the thread. A thread that is deleting,
    deleted or missing has no stages. Raises nothing.
    """
    if thread.state not in OPEN:
        return Decision(review_at=now + DAY if thread.state is State.DELETING else None)
    case = weigh(thread, policies, holds, ranks, now)
    pending = case.pending()
    stages = _carried_out(pending, policies, now)
    due = _next(pending, stages)
    reason, keeper = (None, None) if set(stages) & REMOVING else _kept_by(case, due)
    named = due.policy if due is not None else _first_name(case)
    return Decision(
        stages=stages,
        policy=named if stages else keeper or named,
        due_at=due.at if due is not None else None,
        age_base=due.base if due is not None else None,
        reason=reason,
        review_at=_review_at(case, due),
        items_first=_items_first(case.matched.speaking),
        mark_upstream=_mark_upstream(case.matched.speaking, thread),
        keep_for=_keep_for(case.matched.speaking),
        copied_by=tuple(one.name for one in case.matched.speaking if one.archive is not None),
    )


def next_review(
    thread: Thread, policies: Policies, holds: Sequence[Hold], ranks: Ranks, now: datetime
) -> datetime | None:
    """When to look at a thread again; never later than the first stage falls due.

    `None`: only when facts, policies or holds change. It is `decide(...).review_at`.
    """
    return decide(thread, policies, holds, ranks, now).review_at


def _carried_out(pending: list[Pending], policies: Policies, now: datetime) -> tuple[Stage, ...]:
    """All that one sweep does: what is due, but never soft_delete and delete.

    Stages won by policies of different modes never share a sweep, so that one mode holds for all.
    """
    due = [(stage, one.policy) for stage, one in pending if one.at <= now]
    if any(stage is Stage.SOFT_DELETE for stage, _ in due):
        due = [(stage, policy) for stage, policy in due if stage is not Stage.DELETE]
    mode_of = rulebook(policies).mode_of
    first = mode_of(due[0][1]) if due else None
    return tuple(stage for stage, _ in takewhile(lambda one: mode_of(one[1]) is first, due))


def _next(pending: list[Pending], stages: tuple[Stage, ...]) -> Due | None:
    """The first stage to be carried out now, else the one that falls due first."""
    if stages:
        return next(due for stage, due in pending if stage is stages[0])
    return min((due for _, due in pending), key=lambda due: due.at, default=None)


def _kept_by(case: Case, due: Due | None) -> tuple[Reason | None, str | None]:
    """Why nothing is removed, and the policy or hold that says so."""
    if case.guards:
        return case.guards[0].reason, case.guards[0].name
    if not case.matched.concerned:
        return (Reason.EXCLUDED if case.matched.excluded else Reason.UNMATCHED), None
    never = never_deleted(case.matched)
    if due is None and never is not None:
        return Reason.KEEP_FOREVER, never
    if due is not None and due.at <= case.now:
        return None, None
    if (due.at if due is not None else NEVER) == case.floor > case.now:
        return Reason.LIFETIME_MIN, None
    return Reason.NOT_DUE, None


def _first_name(case: Case) -> str | None:
    """The policy to count a thread under where no stage is ahead."""
    names = (one.name for one in (*case.matched.speaking, *case.matched.protecting))
    return next(names, None)


def _review_at(case: Case, due: Due | None) -> datetime | None:
    times = [guard.ends_at for guard in case.guards if guard.ends_at != NEVER]
    if due is not None:
        times.append(due.at)
    if _is_looked_at_daily(case):
        times.append(case.now + DAY)
    return min(times, default=None)


def _is_looked_at_daily(case: Case) -> bool:
    """Whether something may change for the thread that no known date announces."""
    return (
        any(guard.reason in DOUBTS for guard in case.guards)
        or (case.floor == NEVER and case.matched.concerned)
        or any(_counts(policy) for policy in case.matched.speaking)
    )


def counts_items(thread: Thread, policies: Policies) -> bool:
    """Whether a decision about the thread needs the number of its items."""
    matched = rulebook(policies).matched(thread.key, views_of(thread))
    return any(_counts(policy) for policy in matched.speaking)


def _counts(policy: Policy) -> bool:
    by_items = policy.archive is not None and policy.archive.items is not None
    return by_items or policy.trim is not None


def _items_first(policies: Sequence[Policy]) -> bool:
    asked = [one.delete.items for one in policies if one.delete is not None]
    return not asked or Items.FIRST in asked


def _mark_upstream(policies: Sequence[Policy], thread: Thread) -> bool:
    marks = [one.soft_delete.mark for one in policies if one.soft_delete is not None]
    return Mark.UPSTREAM in marks and CATALOGUE[thread.key.kind].has_metadata


def longest_kept(one: Decision, other: Decision) -> Decision:
    """The first decision, with the copy kept for as long as either asks for one."""
    if not (one.copied_by and other.copied_by):
        return replace(one, keep_for=(one if one.copied_by else other).keep_for)
    spans = (one.keep_for, other.keep_for)
    longest = None if None in spans else max(span for span in spans if span is not None)
    return replace(one, keep_for=longest)


def _keep_for(policies: Sequence[Policy]) -> timedelta | None:
    """The longest that any archiving policy asks for; `None`, forever, is the longest of all."""
    asked = [one.archive.keep_for for one in policies if one.archive is not None]
    finite = [one for one in asked if one is not None]
    return max(finite, default=None) if len(finite) == len(asked) else None
