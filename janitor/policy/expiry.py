"""When a thread is to go because its row is gone from the application's own table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from janitor.model import Reason, Thread
from janitor.policy.protections import Guard
from janitor.policy.schedule import NEVER, Due, Times, after

VANISHED = "sources.on_vanish"
"""The name under which a thread is removed when its vanished row alone asks for it."""


def expiry_of(thread: Thread, expire: Mapping[str, timedelta]) -> Due | None:
    """When a vanished thread is to be deleted; `None`: its row is there, or its source keeps.

    It counts from the vanishing, and from activity after that, since somebody still uses it.
    Unknown activity may be such: then the time does not come until somebody has looked.
    """
    expire_after = None if thread.source is None else expire.get(thread.source)
    if thread.vanished_at is None or expire_after is None:
        return None
    if thread.last_active_at is None:
        return Due(NEVER, VANISHED, None)
    base = max(thread.vanished_at, thread.last_active_at)
    return Due(after(base, expire_after), VANISHED, base)


def hastened(times: Times, expiry: Due | None, start: datetime) -> Times:
    """At the expiry delete is due, and with it, as far as they are named, archive and soft_delete.

    Nothing is due before `start`. What a soft delete leaves to undo it is not the expiry's to end.
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


def doubts(expiry: Due | None) -> list[Guard]:
    """What is to be named where an expiry waits for a look; it keeps nothing else."""
    if expiry is None or expiry.base is not None:
        return []
    return [Guard(Reason.UNKNOWN_ACTIVITY, VANISHED, NEVER)]
