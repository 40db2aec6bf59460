"""When each stage of a thread falls due, by its policies alone, without holds, limits or keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, assert_never

from janitor.kinds import CATALOGUE
from janitor.model import State, Thread
from janitor.policy.rules import AgeFrom, ArchiveRule, Lifetime, Policy, Trim

NEVER = datetime.max.replace(tzinfo=UTC)
ALWAYS = datetime.min.replace(tzinfo=UTC)
UNDO_WINDOW = timedelta(hours=24)


class Due(NamedTuple):
    """When a stage falls due, by which policy, and from when it counts.

    `NEVER` means that the time does not come unless something changes.
    """

    at: datetime
    policy: str
    base: datetime | None


class Times(NamedTuple):
    """When each stage falls due; `None` if no policy names it."""

    archive: Due | None = None
    soft_delete: Due | None = None
    trim: Due | None = None
    delete: Due | None = None


def after(at: datetime, by: timedelta) -> datetime:
    """`at + by`, and `NEVER` beyond the calendar."""
    try:
        return at + by
    except OverflowError:
        return NEVER


def base_of(policy: Policy, thread: Thread) -> datetime | None:
    """The moment from which a policy counts a thread's age, `None` if it is unknown."""
    match policy.age_from:
        case AgeFrom.CREATED:
            return thread.created_at
        case AgeFrom.LAST_ACTIVITY:
            active, created = thread.last_active_at, thread.created_at
            return active if active is None or created is None else max(active, created)
        case never:
            assert_never(never)


def floor_of(thread: Thread, lifetime: Lifetime) -> datetime:
    """Nothing is done before this moment; `NEVER` if the floor counts from an unknown creation."""
    if lifetime.min is None:
        return ALWAYS
    return NEVER if thread.created_at is None else after(thread.created_at, lifetime.min)


def ceiling_of(thread: Thread, lifetime: Lifetime) -> datetime:
    """When a thread is deleted whatever its policies say."""
    if lifetime.max is None or thread.created_at is None:
        return NEVER
    return after(thread.created_at, lifetime.max)


def undated(policies: Iterable[Policy], thread: Thread) -> str | None:
    """The first policy that needs an age that is unknown."""
    return next((one.name for one in policies if _ages(one) and base_of(one, thread) is None), None)


def _ages(policy: Policy) -> bool:
    archived_by_age = policy.archive is not None and policy.archive.after is not None
    return archived_by_age or _first_removal(policy) is not None or policy.trim is not None


def _first_removal(policy: Policy) -> timedelta | None:
    if policy.soft_delete is not None:
        return policy.soft_delete.after
    return policy.delete.after if policy.delete is not None else None


def schedule(policies: Sequence[Policy], thread: Thread, floor: datetime, now: datetime) -> Times:
    """The latest time per stage that any policy naming it allows, in the order of the stages."""

    def aged(policy: Policy, age: timedelta) -> Due:
        base = base_of(policy, thread)
        return Due(NEVER if base is None else max(after(base, age), floor), policy.name, base)

    def archived(policy: Policy, archive: ArchiveRule) -> Due:
        full_at, items = archive.items, thread.items
        if full_at is not None and items is not None and items >= full_at:
            base = base_of(policy, thread)
            return Due(max(base or now, floor), policy.name, base)
        age = _first_removal(policy) if archive.after is None else archive.after
        return aged(policy, age) if age is not None else Due(NEVER, policy.name, None)

    times = Times(
        _latest([archived(one, one.archive) for one in policies if one.archive]),
        _latest([aged(one, one.soft_delete.after) for one in policies if one.soft_delete]),
        _latest([aged(one, trim.after or timedelta()) for one, trim in _trims(policies, thread)]),
        _latest(
            [aged(one, one.delete.after) for one in policies if one.delete and one.delete.after]
        ),
    )
    return _in_order(_with_removal(times) if undated(policies, thread) is None else times)


def _trims(policies: Iterable[Policy], thread: Thread) -> list[tuple[Policy, Trim]]:
    """The policies that trim a thread which has more items than the largest window among them."""
    trims = [(one, one.trim) for one in policies if one.trim]
    if not trims or thread.items is None or not CATALOGUE[thread.key.kind].items_deletable:
        return []
    window = max(trim.keep_items for _, trim in trims)
    return trims if thread.items > window else []


def _latest(dues: list[Due]) -> Due | None:
    """The latest; among equals the first by name, as the policies come sorted."""
    return max(dues, key=lambda due: due.at, default=None)


def _with_removal(times: Times) -> Times:
    """An archive without a date of its own falls due with the first removal that has one."""
    if times.archive is None or times.archive.at != NEVER:
        return times
    first = min((due.at for due in times[1:] if due is not None), default=NEVER)
    return times._replace(archive=times.archive._replace(at=first))


def _in_order(times: Times) -> Times:
    """Make each stage wait for the one before it, where their times are crossed."""
    soft_delete = not_before(times.soft_delete, times.archive)
    return Times(
        times.archive,
        soft_delete,
        not_before(times.trim, times.archive),
        not_before(not_before(times.delete, times.archive), soft_delete),
    )


def not_before(due: Due | None, other: Due | None) -> Due | None:
    """`due`, put off until `other` where that is later."""
    return due if due is None or other is None else put_off(due, other.at)


def put_off(due: Due, until: datetime) -> Due:
    """`due`, put off until a moment where that is later."""
    return due if due.at >= until else due._replace(at=until)


def revived(thread: Thread) -> bool:
    """Whether activity after a soft delete has undone it."""
    marked, active = thread.soft_deleted_at, thread.last_active_at
    if thread.state is not State.SOFT_DELETED or marked is None or active is None:
        return False
    return active > marked


def is_marked(thread: Thread) -> bool:
    """Whether a soft delete is in force."""
    return thread.state is State.SOFT_DELETED and not revived(thread)


def undo_until(
    policies: Iterable[Policy], thread: Thread, soft_delete: Due | None, now: datetime
) -> datetime:
    """Until when a soft delete can be undone, even if it was carried out late.

    The longest window among the policies that delete: `delete.after - soft_delete.after`, 24 h
    for one without soft_delete, so that one more policy never shortens it.
    """
    if is_marked(thread):
        marked_at = thread.soft_deleted_at or now
    elif soft_delete is not None:
        marked_at = max(soft_delete.at, now)
    else:
        return ALWAYS
    windows = [
        one.delete.after - one.soft_delete.after if one.soft_delete else UNDO_WINDOW
        for one in policies
        if one.delete and one.delete.after
    ]
    return after(marked_at, max(windows, default=UNDO_WINDOW))
