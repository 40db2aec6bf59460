"""What to do with one thread: a pure function of facts, policies and now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from janitor.kinds import CATALOGUE
from janitor.model import LIVE, REMOVING, Decision, Hold, Mode, Reason, Stage, State, Thread
from janitor.policy.matching import Match, Matched, Views, match_hold, rulebook, views_of
from janitor.policy.rules import DeletionMark, Items, KeepLast, Policies, Policy
from janitor.policy.schedule import (
    ALWAYS,
    NEVER,
    Due,
    Times,
    after,
    ceiling_of,
    floor_of,
    is_marked,
    put_off,
    schedule,
    undated,
    undo_until,
)
from janitor.times import parse

Ranks = Mapping[str, int]
KEEP_UNTIL = "janitor_keep_until"


class Protection(NamedTuple):
    """A reason to keep a thread, the policy or hold it comes from, and when it ends.

    `ends_at` is `NEVER` if only a change of facts, policies or holds ends it.
    """

    reason: Reason
    name: str | None
    ends_at: datetime


def hold_ends_at(hold: Hold, grace: timedelta) -> datetime:
    """When a hold ends: a released one only after the grace, another at its `until`."""
    if hold.released_at is not None:
        return after(hold.released_at, grace)
    return NEVER if hold.until is None else hold.until


def above_ceiling(
    thread: Thread,
    views: Views | None,
    matched: Matched,
    holds: Sequence[Hold],
    *,
    grace: timedelta,
    now: datetime,
) -> list[Protection]:
    """What keeps a thread even past `lifetime.max`; the first is the one to report."""
    certain, possible = [], []
    for hold in holds:
        ends_at = hold_ends_at(hold, grace)
        if ends_at <= now:
            continue
        match = match_hold(hold, thread, views)
        if match is Match.YES:
            certain.append(Protection(Reason.HOLD, hold.name, ends_at))
        elif match is Match.UNKNOWN:
            possible.append(Protection(Reason.UNKNOWN_METADATA, hold.name, ends_at))
    forever = [_open(Reason.KEEP_FOREVER, one) for one in matched.protecting if one.keep_forever]
    unknown = [_open(Reason.UNKNOWN_METADATA, one) for one in matched.unknown]
    return [*_longest_first(certain), *forever, *unknown, *_longest_first(possible)]


def _open(reason: Reason, policy: Policy) -> Protection:
    return Protection(reason, policy.name, NEVER)


def _longest_first(guards: list[Protection]) -> list[Protection]:
    by_name = sorted(guards, key=lambda guard: guard.name or "")
    return sorted(by_name, key=lambda guard: guard.ends_at, reverse=True)


def future_until(thread: Thread, now: datetime) -> datetime | None:
    """The latest of a thread's dates that lie in the future; `None` if none does."""
    dates = [at for at in (thread.created_at, thread.last_active_at) if at is not None and at > now]
    return max(dates, default=None)


def below_ceiling(
    thread: Thread,
    views: Views | None,
    matched: Matched,
    ranks: Ranks,
    now: datetime,
    *,
    concerned: bool,
) -> list[Protection]:
    """What keeps a thread until `lifetime.max` at most; the first is the one to report.

    Its own `keep_until` counts only if a policy applies to it or it expires (`concerned`).
    """
    guards = []
    unaged = undated(matched.speaking, thread)
    if unaged is not None:
        guards.append(Protection(Reason.UNKNOWN_ACTIVITY, unaged, NEVER))
    for policy in matched.protecting:
        last = policy.keep_last
        if last is not None and is_kept(last, thread, views, ranks.get(policy.name)):
            is_dated = thread.last_active_at is not None
            reason = Reason.KEEP_LAST if is_dated else Reason.UNKNOWN_ACTIVITY
            guards.append(_open(reason, policy))
    until = kept_until(thread)
    if concerned and until is not None and until > now:
        guards.append(Protection(Reason.KEEP_UNTIL, None, until))
    return guards


def kept_until(thread: Thread) -> datetime | None:
    """Until when the application wants a thread kept; the latest of all its dates counts.

    Besides the registered time, metadata may hold one as `janitor_keep_until`: a time or
    `forever`. A value that is neither keeps the thread, too.
    """
    sides = (thread.reported or {}, thread.upstream or {})
    times = [_time(side[KEEP_UNTIL]) for side in sides if KEEP_UNTIL in side]
    if thread.keep_until is not None:
        times.append(thread.keep_until)
    return max(times, default=None)


def longer(one: str, other: str) -> str:
    """The one of two values of `janitor_keep_until` that keeps longer; the first if equal."""
    return other if _time(other) > _time(one) else one


def _time(text: str) -> datetime:
    try:
        return parse(text)
    except ValueError:
        return NEVER


def is_kept(last: KeepLast, thread: Thread, views: Views | None, rank: int | None) -> bool:
    """Whether a thread is among the most recent of its group, or cannot be ranked.

    A soft-deleted thread has left its group and needs no rank.
    """
    if rank is not None:
        return rank < last.count
    unranked = thread.last_active_at is None or not has_group(last, views)
    return unranked or not is_marked(thread)


def has_group(last: KeepLast, views: Views | None) -> bool:
    """Whether a thread carries the key by which `keep_last` groups."""
    return last.per is None or (views is not None and last.per in views.union)


VANISHED = "sources.on_vanish"
"""Reported as the policy when a thread is removed only because its row vanished."""


def expiry_of(thread: Thread, expire: Mapping[str, timedelta]) -> Due | None:
    """When a thread whose row vanished is deleted; `None` if the row is there or has no expiry.

    It counts from the vanishing or from later activity, which shows that the thread is in use.
    While its activity is unknown, the time is `NEVER`.
    """
    expire_after = None if thread.source is None else expire.get(thread.source)
    if thread.vanished_at is None or expire_after is None:
        return None
    if thread.last_active_at is None:
        return Due(NEVER, VANISHED, None)
    base = max(thread.vanished_at, thread.last_active_at)
    return Due(after(base, expire_after), VANISHED, base)


def hastened(times: Times, expiry: Due | None, start: datetime) -> Times:
    """Bring `delete` forward to the expiry, and `archive` and `soft_delete` if policies set them.

    Nothing falls due before `start`. The time to undo a soft delete is not shortened.
    """
    if expiry is None or expiry.at == NEVER:
        return times
    latest = expiry._replace(at=max(expiry.at, start))
    archive, soft_delete, delete = times.archive, times.soft_delete, times.delete
    if archive is not None and archive.at > latest.at:
        archive = archive._replace(at=latest.at)
    if soft_delete is not None and soft_delete.at > latest.at:
        soft_delete = latest
    if delete is None or delete.at > latest.at:
        delete = latest
    return times._replace(archive=archive, soft_delete=soft_delete, delete=delete)


def doubts(expiry: Due | None) -> list[Protection]:
    """The reason to report while an expiry waits for the thread's activity to be known."""
    if expiry is None or expiry.base is not None:
        return []
    return [Protection(Reason.UNKNOWN_ACTIVITY, VANISHED, NEVER)]


CEILING = "lifetime.max"
"""Reported as the policy when a thread is deleted only because of the ceiling."""

PSEUDO_POLICIES = (CEILING, VANISHED)
"""Not policies, but they remove threads: counted, limited, paused and reported like policies."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What matched, when each stage falls due, and what keeps the thread.

    `times` are final: protections, floor and ceiling are applied. `guards` hold back the removing
    stages; the first is the one to report. `floor` is `lifetime.min` as a moment, `start` the
    first moment at which any stage may happen, `expiry` when the thread goes because its row
    vanished.
    """

    thread: Thread
    now: datetime
    matched: Matched
    guards: tuple[Protection, ...]
    times: Times
    floor: datetime
    start: datetime
    at_ceiling: bool
    expiry: Due | None = None

    def pending(self) -> list[tuple[Stage, Due]]:
        """The stages still ahead, in order, with their times."""
        # At the ceiling a thread is deleted at once, unless `delete: never` forbids it.
        marked = is_marked(self.thread) or (self.at_ceiling and self.times.delete is not None)
        ahead = (
            (Stage.ARCHIVE, None if self.thread.copy_is_current else self.times.archive),
            (Stage.SOFT_DELETE, None if marked else self.times.soft_delete),
            (Stage.TRIM, self.times.trim),
            (Stage.DELETE, self.times.delete),
        )
        return [(stage, due) for stage, due in ahead if due is not None and due.at != NEVER]

    def of_each(self) -> dict[str, Times]:
        """The times that each speaking policy, and the expiry, would set alone, by name."""
        each = {
            one.name: schedule((one,), self.thread, self.start, self.now)
            for one in self.matched.speaking
        }
        if self.expiry is not None:
            each[VANISHED] = hastened(Times(), self.expiry, self.start)
        return each


def weigh(
    thread: Thread, policies: Policies, holds: Sequence[Hold], ranks: Ranks, now: datetime
) -> Evaluation:
    """Everything that bears on a thread; takes the arguments of `decide`."""
    views = views_of(thread)
    matched = rulebook(policies).matched(thread.key, views)
    floor = floor_of(thread, policies.lifetime)
    ceiling = ceiling_of(thread, policies.lifetime)
    never = never_deleted(matched) is not None
    expiry = None if never else expiry_of(thread, policies.expire)
    concerned = matched.concerned or expiry is not None
    future = future_until(thread, now)
    above = above_ceiling(thread, views, matched, holds, grace=policies.release_grace, now=now)
    if future is not None and (concerned or ceiling != NEVER):
        above.append(Protection(Reason.FUTURE_DATED, None, future))
    grace_until = thread.grace_until
    if grace_until is not None and grace_until > now and (concerned or ceiling != NEVER):
        above.append(Protection(Reason.RELEASED, None, grace_until))
    below = below_ceiling(thread, views, matched, ranks, now, concerned=concerned)

    start = max(floor, future or ALWAYS)
    times = hastened(schedule(matched.speaking, thread, start, now), expiry, start)
    times = _postponed(times, below)
    undo = undo_until(matched.speaking, thread, times.soft_delete, now)
    times = times._replace(delete=times.delete and put_off(times.delete, undo))
    times = _due_at_ceiling(ceiling, start, thread, times)
    times = _postponed(times, above)
    if never:
        times = times._replace(delete=None)
    times = _with_early_copy(times, matched.speaking, thread, policies, start=start, now=now)
    at_ceiling = ceiling <= now
    guards = above if at_ceiling else above + below + doubts(expiry)
    return Evaluation(thread, now, matched, tuple(guards), times, floor, start, at_ceiling, expiry)


def _with_early_copy(
    times: Times,
    speaking: Sequence[Policy],
    thread: Thread,
    policies: Policies,
    *,
    start: datetime,
    now: datetime,
) -> Times:
    """Bring the copy forward if a policy makes it `at: earliest`.

    Such a policy neither waits for the others nor makes them wait. The removing stages keep their
    times: an early copy never hastens a removal. If the copy is already due, a policy that acts
    makes it rather than one in audit mode.
    """
    early = [one for one in speaking if one.archive is not None and one.archive.is_early]
    if not early or times.archive is None:
        return times
    apart = [tuple(one for one in speaking if one not in early), *((one,) for one in early)]
    copies = [schedule(some, thread, start, now).archive for some in apart]
    dues = [times.archive, *(due for due in copies if due is not None)]
    ripe = [due for due in dues if due.at <= now]
    mode_of = rulebook(policies).mode_of
    acting = [due for due in ripe if mode_of(due.policy) is Mode.ENFORCE]
    return times._replace(archive=min(acting or ripe or dues, key=lambda due: due.at))


def never_deleted(matched: Matched) -> str | None:
    """The policy that says `delete: never`, if any does."""
    return next((one.name for one in matched.protecting if one.forbids_deletion), None)


def _postponed(times: Times, guards: list[Protection]) -> Times:
    """Remove nothing before every guard has ended; copies are still made."""
    if not guards:
        return times
    until = max(guard.ends_at for guard in guards)
    return Times(times.archive, *(due and put_off(due, until) for due in times[1:]))


def _due_at_ceiling(ceiling: datetime, start: datetime, thread: Thread, times: Times) -> Times:
    """Make `delete` due at the ceiling whatever the policies say, and `archive` if they set it."""
    if ceiling == NEVER:
        return times
    archive, delete = times.archive, times.delete
    if archive is not None and archive.at > ceiling:
        archive = archive._replace(at=max(ceiling, start))
    if delete is None or delete.at > ceiling:
        delete = Due(ceiling, CEILING, thread.created_at)
    return times._replace(archive=archive, delete=delete)


DAY = timedelta(days=1)
Pending = tuple[Stage, Due]
OPEN = LIVE - {State.DELETING}
DOUBTS = frozenset({Reason.KEEP_LAST, Reason.UNKNOWN_ACTIVITY, Reason.UNKNOWN_METADATA})
"""Reasons that may end at no known date: the thread is reviewed daily."""


def decide(
    thread: Thread, policies: Policies, holds: Sequence[Hold], ranks: Ranks, now: datetime
) -> Decision:
    """What to do with a thread now, and why; the most protective rule that matches wins.

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
    # Where no stage is ahead, the thread counts under the first policy that concerns it.
    concerned = (one.name for one in (*case.matched.speaking, *case.matched.protecting))
    named = due.policy if due is not None else next(concerned, None)
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


def _carried_out(pending: list[Pending], policies: Policies, now: datetime) -> tuple[Stage, ...]:
    """What one sweep does: the stages due, but never both soft_delete and delete.

    Stages of policies with different modes never share a sweep, so one mode applies to all.
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


def _kept_by(case: Evaluation, due: Due | None) -> tuple[Reason | None, str | None]:
    """Why nothing is removed, and the policy or hold behind it."""
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


def _review_at(case: Evaluation, due: Due | None) -> datetime | None:
    times = [guard.ends_at for guard in case.guards if guard.ends_at != NEVER]
    if due is not None:
        times.append(due.at)
    # Something may change at an unknown date.
    if (
        any(guard.reason in DOUBTS for guard in case.guards)
        or (case.floor == NEVER and case.matched.concerned)
        or any(_counts(policy) for policy in case.matched.speaking)
    ):
        times.append(case.now + DAY)
    return min(times, default=None)


def counts_items(thread: Thread, policies: Policies) -> bool:
    """Whether a policy that applies to the thread depends on its number of items."""
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
    return DeletionMark.UPSTREAM in marks and CATALOGUE[thread.key.kind].has_metadata


def longest_kept(one: Decision, other: Decision) -> Decision:
    """The first decision, with its copy kept as long as the longer of both asks."""
    if not (one.copied_by and other.copied_by):
        return replace(one, keep_for=(one if one.copied_by else other).keep_for)
    spans = (one.keep_for, other.keep_for)
    longest = None if None in spans else max(span for span in spans if span is not None)
    return replace(one, keep_for=longest)


def _keep_for(policies: Sequence[Policy]) -> timedelta | None:
    """The longest time that any archiving policy asks for; `None` is forever and wins."""
    asked = [one.archive.keep_for for one in policies if one.archive is not None]
    finite = [one for one in asked if one is not None]
    return max(finite, default=None) if len(finite) == len(asked) else None
