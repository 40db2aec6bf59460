"""When to sweep: by cron text, with cron's meaning, or at an interval, on APScheduler."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim

from janitor.config.fields import format_duration

JOB = "sweep"
ERRAND = "errand"
ERRANDS_EVERY = 2.0
"""Seconds."""

# Longer than clocks are ever put forward: a search that begins this much earlier finds cron times
# that were lost in such a gap, at its end.
GAP = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either `cron` in `timezone` or `every`; each time is delayed by up to `jitter`."""

    cron: str | None = None
    every: timedelta | None = None
    timezone: str = "UTC"
    jitter: timedelta = timedelta(0)

    def __str__(self) -> str:
        every = format_duration(self.every) if self.every else None
        times = f"every {every}" if every else f"cron {self.cron} {self.timezone}"
        return f"{times}, up to {format_duration(self.jitter)} later" if self.jitter else times


class Trigger(BaseTrigger):
    """The fire times of a schedule, in UTC; a function of the schedule, the start and a seed.

    Cron times are computed in local time and then converted to UTC, so that each occurs once in a
    night when the clocks change. `every` begins at once: otherwise a service that is restarted
    more often than it sweeps would never sweep. Times that were missed (while the machine slept)
    are skipped: APScheduler runs the one that it was waiting for.
    """

    __slots__ = ("_began_at", "_schedule", "_seed")

    def __init__(self, schedule: Schedule, seed: float | None = None) -> None:
        self._schedule = schedule
        self._seed = random.random() if seed is None else seed  # noqa: S311 - spreads load
        self._began_at: datetime | None = None

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """The first time after now and after the previous one."""
        if self._began_at is None:
            self._began_at = now.astimezone(UTC)
            if self._schedule.every is not None:
                return self._began_at
        after = max(previous or now, now).astimezone(UTC)
        times = (at + self._delay(at) for at in self._times(after - self._schedule.jitter))
        return next(at for at in times if at > after)

    def _times(self, after: datetime) -> Iterator[datetime]:
        """The schedule's own times, in order; `every` counts from the beginning."""
        every, began_at = self._schedule.every, self._began_at or after
        if every is None:
            yield from self._cron_times(after)
        else:
            first = max((after - began_at) // every, 0) + 1
            yield from (began_at + number * every for number in count(first))

    def _cron_times(self, after: datetime) -> Iterator[datetime]:
        local = (after - GAP).astimezone(ZoneInfo(self._schedule.timezone))
        for found in CronSim(self._schedule.cron or "", local):
            if (at := found.astimezone(UTC)) > after:
                yield at

    def _delay(self, at: datetime) -> timedelta:
        """The delay of a time, which is the same however often it is asked for."""
        share = random.Random(f"{self._seed} {at.timestamp()}").random()  # noqa: S311
        return share * self._schedule.jitter


def scheduler(
    schedule: Schedule,
    job: Callable[[], None],
    skipped: Callable[[], None],
    errand: Callable[[], None] | None = None,
) -> BackgroundScheduler:
    """A scheduler, not started, that runs `job`, and `errand` at short intervals, in threads.

    A late run happens once (however late, coalesced), and never overlaps another: `skipped` is
    called if a run of `job` falls due while the one before is still going on.
    """
    made = BackgroundScheduler(timezone=UTC)
    made.add_listener(
        lambda event: skipped() if event.job_id == JOB else None, EVENT_JOB_MAX_INSTANCES
    )
    made.add_job(
        job,
        Trigger(schedule),
        id=JOB,
        misfire_grace_time=None,
        coalesce=True,
        max_instances=1,
    )
    if errand is not None:
        made.add_job(
            errand, "interval", seconds=ERRANDS_EVERY, id=ERRAND, coalesce=True, max_instances=1
        )
    return made
