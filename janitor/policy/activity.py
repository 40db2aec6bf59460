"""What counts as activity of a thread, and when it was last active."""

from __future__ import annotations

from dataclasses import field, replace
from datetime import datetime

from janitor.model import Probe, dataclass


@dataclass(frozen=True, slots=True)
class Sightings:
    """The dates from which a thread's activity is computed; `None` means never.

    `reported_at` comes from whoever registered the thread or from an operator, `upstream_at` from
    the API. `baseline_at` is the first look at the newest item, `changed_at` the last look that
    found a different one. `touched_at` is the latest activity that an application reported of a
    thread already registered: it adds to what is known and replaces nothing. `alive_at`, the last
    look that found the thread at all, dates nothing and does not count in comparisons.
    """

    reported_at: datetime | None = None
    upstream_at: datetime | None = None
    baseline_at: datetime | None = None
    changed_at: datetime | None = None
    newest_item: str | None = None
    alive_at: datetime | None = field(default=None, compare=False)
    touched_at: datetime | None = None


def last_activity(
    created_at: datetime | None, seen: Sightings, *, trust_reported: bool = True
) -> datetime | None:
    """The latest known activity, or `None` if nobody ever dated the thread.

    The baseline dates a thread only if neither a report nor the API nor a later change does. A
    creation time or a touch alone dates nothing: neither says what came before the first look.
    """
    reported = seen.reported_at if trust_reported else None
    times = [at for at in (reported, seen.upstream_at, seen.changed_at) if at is not None]
    if not times and seen.baseline_at is not None:
        times = [seen.baseline_at]
    if not times:
        return None
    more = (created_at, seen.touched_at if trust_reported else None)
    return max(times + [at for at in more if at is not None])


def observe(seen: Sightings, probe: Probe, now: datetime) -> Sightings:
    """The sightings after one more look at the server.

    A different newest item at a later look is activity at the time of that look; the first look
    is only a baseline.
    """
    first = seen.baseline_at is None
    changed = not first and probe.newest_item != seen.newest_item
    return replace(
        seen,
        upstream_at=probe.last_active_at or seen.upstream_at,
        baseline_at=now if first else seen.baseline_at,
        changed_at=now if changed else seen.changed_at,
        newest_item=probe.newest_item,
        alive_at=now,
    )
