"""What keeps a thread from being removed, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from janitor.model import Hold, Reason, Thread
from janitor.policy.matching import Match, Views, match_hold
from janitor.policy.rulebook import Matched
from janitor.policy.rules import KeepLast, Policy
from janitor.policy.schedule import NEVER, after, is_marked, undated
from janitor.times import parse

Ranks = Mapping[str, int]
KEEP_UNTIL = "janitor_keep_until"


class Guard(NamedTuple):
    """A reason to keep a thread, the policy or hold it comes from, and when it ends.

    `ends_at` is `NEVER` where nothing but a change of facts, policies or holds ends it.
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
) -> list[Guard]:
    """The rules that keep a thread even above `lifetime.max`, the first the one to be named."""
    certain, possible = _held(thread, views, holds, grace, now)
    forever = [_open(Reason.KEEP_FOREVER, one) for one in matched.protecting if one.keep_forever]
    unknown = [_open(Reason.UNKNOWN_METADATA, one) for one in matched.unknown]
    return [*certain, *forever, *unknown, *possible]


def _open(reason: Reason, policy: Policy) -> Guard:
    return Guard(reason, policy.name, NEVER)


def _held(
    thread: Thread, views: Views | None, holds: Sequence[Hold], grace: timedelta, now: datetime
) -> tuple[list[Guard], list[Guard]]:
    """The holds that are certain, longest first, and those that unread metadata may meet."""
    certain, possible = [], []
    for hold in holds:
        ends_at = hold_ends_at(hold, grace)
        if ends_at <= now:
            continue
        found = match_hold(hold, thread, views)
        if found is Match.YES:
            certain.append(Guard(Reason.HOLD, hold.name, ends_at))
        elif found is Match.UNKNOWN:
            possible.append(Guard(Reason.UNKNOWN_METADATA, hold.name, ends_at))
    return _longest_first(certain), _longest_first(possible)


def _longest_first(guards: list[Guard]) -> list[Guard]:
    by_name = sorted(guards, key=lambda guard: guard.name or "")
    return sorted(by_name, key=lambda guard: guard.ends_at, reverse=True)


def future_until(thread: Thread, now: datetime) -> datetime | None:
    """When the last of a thread's dates that lie in the future is reached; `None`: none does."""
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
) -> list[Guard]:
    """The guards that end at `lifetime.max`, the first the one to be named.

    What does not have the thread `concerned` leaves it alone anyway, whatever it says itself.
    """
    guards = []
    unaged = undated(matched.speaking, thread)
    if unaged is not None:
        guards.append(Guard(Reason.UNKNOWN_ACTIVITY, unaged, NEVER))
    for policy in matched.protecting:
        last = policy.keep_last
        if last is not None and is_kept(last, thread, views, ranks.get(policy.name)):
            guards.append(_open(_why_kept(thread), policy))
    until = kept_until(thread)
    if concerned and until is not None and until > now:
        guards.append(Guard(Reason.KEEP_UNTIL, None, until))
    return guards


def kept_until(thread: Thread) -> datetime | None:
    """Until when the application keeps a thread; the latest of what it said anywhere counts.

    Beside the registered time, metadata may say it as `janitor_keep_until`: a time or `forever`;
    what cannot be read as either keeps the thread, too.
    """
    sides = (thread.reported or {}, thread.upstream or {})
    said = [_time(side[KEEP_UNTIL]) for side in sides if KEEP_UNTIL in side]
    if thread.keep_until is not None:
        said.append(thread.keep_until)
    return max(said, default=None)


def longer(one: str, other: str) -> str:
    """Of two values of `janitor_keep_until` the one that keeps longer; of equals the first."""
    return other if _time(other) > _time(one) else one


def _time(text: str) -> datetime:
    try:
        return parse(text)
    except ValueError:
        return NEVER


def is_kept(last: KeepLast, thread: Thread, views: Views | None, rank: int | None) -> bool:
    """Whether a thread is among the last ones, or cannot be ranked.

    A soft-deleted thread has left its group, so that it needs no rank to go on.
    """
    if rank is not None:
        return rank < last.count
    unranked = thread.last_active_at is None or not has_group(last, views)
    return unranked or not is_marked(thread)


def has_group(last: KeepLast, views: Views | None) -> bool:
    """Whether a thread carries the key by which `keep_last` groups."""
    return last.per is None or (views is not None and last.per in views.union)


def _why_kept(thread: Thread) -> Reason:
    return Reason.UNKNOWN_ACTIVITY if thread.last_active_at is None else Reason.KEEP_LAST
