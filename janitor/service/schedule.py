"""When to sweep: cron text as cron means it, or an interval, on APScheduler."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim

JOB = "sweep"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either `cron` in `timezone` or `every`; each time is delayed by up to `jitter`."""

    cron: str | None = None
    every: timedelta | None = None
    timezone: str = "UTC"
    jitter: timedelta = timedelta(0)


class Trigger(BaseTrigger):
    """The fire times of a schedule, in UTC.

    Cron times are found in local time and only then turned into UTC, so that a night in which
    the clocks change has each of them once. `every` begins at once: a service that is restarted
    more often than it sweeps would never sweep otherwise.
    """

    __slots__ = ("_schedule",)

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """The first time after the previous one, or after now where there was none."""
        at = self._after(previous, now)
        seconds = self._schedule.jitter.total_seconds()
        return at + timedelta(seconds=random.uniform(0, seconds))  # noqa: S311 - spreads load

    def _after(self, previous: datetime | None, now: datetime) -> datetime:
        every, cron = self._schedule.every, self._schedule.cron
        if every is not None:
            return now.astimezone(UTC) if previous is None else previous.astimezone(UTC) + every
        local = (previous or now).astimezone(ZoneInfo(self._schedule.timezone))
        return next(CronSim(cron or "", local)).astimezone(UTC)


def next_times(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The next times without jitter, for whoever wants to see what a schedule means."""
    plain = Trigger(Schedule(schedule.cron, schedule.every, schedule.timezone))

    def times() -> Iterator[datetime]:
        at: datetime | None = None
        while True:
            at = plain.get_next_fire_time(at, after)
            yield at

    return list(islice(times(), count))


def scheduler(schedule: Schedule, job: Callable[[], None]) -> BackgroundScheduler:
    """A scheduler, not started, that runs `job` in a thread of its own.

    A late run is run once (no grace, coalesced), and never beside itself.
    """
    made = BackgroundScheduler(timezone=UTC)
    made.add_job(
        job,
        Trigger(schedule),
        id=JOB,
        misfire_grace_time=None,
        coalesce=True,
        max_instances=1,
    )
    return made
