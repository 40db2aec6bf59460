"""Everything that bears on one thread now, gathered before anything is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from janitor.model import Hold, Reason, Stage, Thread
from janitor.policy.expiry import VANISHED, doubts, expiry_of, hastened
from janitor.policy.matching import views_of
from janitor.policy.protections import Guard, Ranks, above_ceiling, below_ceiling, future_until
from janitor.policy.rulebook import Matched, rulebook
from janitor.policy.rules import Policies
from janitor.policy.schedule import (
    ALWAYS,
    NEVER,
    Due,
    Times,
    ceiling_of,
    floor_of,
    is_marked,
    put_off,
    schedule,
    undo_until,
)

CEILING = "lifetime.max"
"""The name under which a thread is deleted when the ceiling alone asks for it."""

APART = (CEILING, VANISHED)
"""What removes without being a policy; it is counted, limited, paused and named like one."""


@dataclass(frozen=True, slots=True)
class Case:
    """What matched, when each stage falls due, and what keeps the thread.

    `times` are final: protections, floor and ceiling are in them. `guards` stand against the
    removing stages, the first the one to be named. `floor` is `lifetime.min` as a moment, `start`
    the first moment at which any stage may happen, `expiry` when a vanished row alone asks for
    removal.
    """

    thread: Thread
    now: datetime
    matched: Matched
    guards: tuple[Guard, ...]
    times: Times
    floor: datetime
    start: datetime
    at_ceiling: bool
    expiry: Due | None = None

    def pending(self) -> list[tuple[Stage, Due]]:
        """The stages still ahead, in order, with their times."""
        # At the ceiling a thread is deleted at once, unless `delete: never` takes that away.
        marked = is_marked(self.thread) or (self.at_ceiling and self.times.delete is not None)
        ahead = (
            (Stage.ARCHIVE, None if self.thread.copy_is_current else self.times.archive),
            (Stage.SOFT_DELETE, None if marked else self.times.soft_delete),
            (Stage.TRIM, self.times.trim),
            (Stage.DELETE, self.times.delete),
        )
        return [(stage, due) for stage, due in ahead if due is not None and due.at != NEVER]

    def of_each(self) -> dict[str, Times]:
        """The times that each speaking policy, and an expiry, would have alone, by its name."""
        each = {
            one.name: schedule((one,), self.thread, self.start, self.now)
            for one in self.matched.speaking
        }
        if self.expiry is not None:
            each[VANISHED] = hastened(Times(), self.expiry, self.start)
        return each


def weigh(
    thread: Thread, policies: Policies, holds: Sequence[Hold], ranks: Ranks, now: datetime
) -> Case:
    """Gather what bears on a thread; the arguments are those of `decide`."""
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
        above.append(Guard(Reason.FUTURE_DATED, None, future))
    spared_until = thread.spared_until
    if spared_until is not None and spared_until > now and (concerned or ceiling != NEVER):
        above.append(Guard(Reason.RELEASED, None, spared_until))
    below = below_ceiling(thread, views, matched, ranks, now, concerned=concerned)

    start = max(floor, future or ALWAYS)
    times = hastened(schedule(matched.speaking, thread, start, now), expiry, start)
    times = _spared(times, below)
    undo = undo_until(matched.speaking, thread, times.soft_delete, now)
    times = _under(ceiling, start, thread, _not_deleted(times, undo))
    times = _spared(times, above)
    if never:
        times = times._replace(delete=None)
    at_ceiling = ceiling <= now
    guards = above if at_ceiling else above + below + doubts(expiry)
    return Case(thread, now, matched, tuple(guards), times, floor, start, at_ceiling, expiry)


def never_deleted(matched: Matched) -> str | None:
    """The policy that says `delete: never`, if any does."""
    for policy in matched.protecting:
        if policy.delete is not None and policy.delete.after is None:
            return policy.name
    return None


def _spared(times: Times, guards: list[Guard]) -> Times:
    """Nothing is removed before every guard has ended; a copy is still allowed."""
    if not guards:
        return times
    until = max(guard.ends_at for guard in guards)
    return Times(times.archive, *(due and put_off(due, until) for due in times[1:]))


def _not_deleted(times: Times, until: datetime) -> Times:
    return times._replace(delete=times.delete and put_off(times.delete, until))


def _under(ceiling: datetime, start: datetime, thread: Thread, times: Times) -> Times:
    """At the ceiling delete is due, whatever was said before, and archive with it if named."""
    if ceiling == NEVER:
        return times
    archive, delete = times.archive, times.delete
    if archive is not None and archive.at > ceiling:
        archive = archive._replace(at=max(ceiling, start))
    if delete is None or delete.at > ceiling:
        delete = Due(ceiling, CEILING, thread.created_at)
    return times._replace(archive=archive, delete=delete)
