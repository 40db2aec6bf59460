"""Assistants threads: dated by their newest message or run, busy while a run is active."""

from __future__ import annotations

from janitor.drivers.container import Activity, ContainerDriver, Seen
from janitor.drivers.responses import read_moment
from janitor.model import Kind

# Unknown means busy: a status that is not known to be final keeps the thread.
ENDED = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
RUNS = "runs"


class ThreadDriver(ContainerDriver):
    """`client.beta.threads` in the SDK; its methods are deprecated there, but not the calls."""

    kind = Kind.THREAD
    item_noun = "thread.message"
    follows_last_id = False
    parts = (RUNS,)
    probed_part = RUNS

    def _activity(self, seen: Seen) -> Activity:
        runs = seen.inside
        inside = [*runs, *([seen.newest] if seen.newest else [])]
        subject = self._subject(seen.id)
        dates = [read_moment(body, "created_at", subject) for body in inside or [seen.container]]
        return Activity(
            # One without a date may be the latest: then the time is unknown.
            max((at for at in dates if at is not None), default=None) if all(dates) else None,
            busy=any(run.get("status") not in ENDED for run in runs),
        )
