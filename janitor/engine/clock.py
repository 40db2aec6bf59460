"""Whether this machine's clock can be believed. With a wrong clock, today's threads look old.

It is held against the time since boot, which no one sets, and against the dates of the API's
answers. Either one alone stops everything until the clock is right again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import orjson

from janitor.config.fields import format_duration
from janitor.drivers import Driver
from janitor.errors import AccessError, DriverError, LimitError
from janitor.model import Kind
from janitor.registry import Registry

AGREEMENT = timedelta(minutes=5)
BOOTS = 16
CLOCK = "clock"
"""The key under which the registry keeps what `ClockWatch` remembers for later runs."""


@dataclass(frozen=True, slots=True)
class Uptime:
    """The id of the machine's boot, and the time since then, sleep included."""

    boot: str
    since: timedelta


class ClockWatch:
    """Knows how far the clock is off; `step` is how far it may be.

    `uptime` gives `None` where the machine cannot tell.
    """

    def __init__(
        self,
        step: timedelta = timedelta.max,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        uptime: Callable[[], Uptime | None] = lambda: None,
    ) -> None:
        self._step = step
        self._clock = clock
        self._uptime = uptime
        self._stepped = timedelta()
        self._ahead: timedelta | None = None

    @property
    def is_suspected(self) -> bool:
        """Whether the clock stepped, and no answer of the API has confirmed it yet."""
        return abs(self._stepped) > self._step

    @property
    def is_heard(self) -> bool:
        """Whether an answer of the API had a date."""
        return self._ahead is not None

    @property
    def trouble(self) -> str | None:
        """What is wrong and what to do, in a sentence; `None` if nothing is known to be wrong."""
        if self._ahead is not None and abs(self._ahead) > self._step:
            fault = f"is {_off(self._ahead)} the dates of the API's answers"
        elif self.is_suspected:
            fault = (
                f"went {_off(self._stepped)} the time since the machine booted, and no answer of "
                "the API confirms it"
            )
        else:
            return None
        limit = f"limits.clock_step {format_duration(self._step)}"
        return (
            f"the clock says {self._clock():%Y-%m-%d %H:%M} UTC; it {fault} ({limit}). Nothing is "
            "removed while the clock may be wrong: set it (`timedatectl`), then run `janitor "
            "plan`"
        )

    def check(self) -> None:
        """Raise unless the clock can be believed.

        Raises:
            LimitError: It cannot, with what to do about it.
        """
        if self.trouble is not None:
            raise LimitError(self.trouble)

    def compare(self, before: str | None) -> None:
        """Hold the clock against what earlier runs of this boot remembered (`None`: nothing)."""
        uptime = self._uptime()
        if uptime is None:
            return
        booted_at = self._clock() - uptime.since
        known = _boots(before).get(uptime.boot, booted_at.timestamp())
        agreed = self._ahead is not None and abs(self._ahead) <= AGREEMENT
        self._stepped = timedelta() if agreed else booted_at - datetime.fromtimestamp(known, UTC)

    def remembered(self, before: str | None) -> str:
        """What the next run needs, added to what others remembered; only of a trusted clock.

        It is when the machines last started, by their clocks and told apart by the boots' ids.
        """
        uptime, boots = self._uptime(), _boots(before)
        if uptime is not None:
            boots.pop(uptime.boot, None)
            boots[uptime.boot] = (self._clock() - uptime.since).timestamp()
        return orjson.dumps(dict(list(boots.items())[-BOOTS:])).decode()

    def dismiss(self) -> None:
        """Accept a step: no thread can be probed to confirm it, so none can be removed either."""
        self._stepped = timedelta()

    def hear(self, date: str | None) -> None:
        """Hold the clock against the `Date` header of an answer that just came.

        One that agrees lets a step since the last run pass; one that cannot be read says nothing.
        """
        at = _date(date)
        if at is None or (self._ahead is not None and abs(self._ahead) > self._step):
            return
        self._ahead = self._clock() - at
        if abs(self._ahead) <= AGREEMENT:
            self._stepped = timedelta()


async def look_at_clock(
    watch: ClockWatch, registry: Registry, drivers: Mapping[str, Mapping[Kind, Driver]]
) -> None:
    """Hold the clock against earlier runs; `watch.trouble` then tells what is wrong with it.

    Where the clock stepped, the API is asked for its date: `drivers` are those of each project, by
    kind. A clock in order is remembered.
    """
    watch.compare(await asyncio.to_thread(registry.key_values.recall, CLOCK))
    if watch.is_suspected:
        asked = [await _hear(registry, *project) for project in drivers.items()]
        if not any(asked):
            watch.dismiss()
    if watch.trouble is None:
        await asyncio.to_thread(
            registry.key_values.alter, CLOCK, lambda before, _: watch.remembered(before)
        )


async def _hear(registry: Registry, project: str, drivers: Mapping[Kind, Driver]) -> bool:
    """Ask for a thread of the project, for the date of any answer; false where it has none."""
    for kind, driver in drivers.items():
        for entry in await asyncio.to_thread(registry.threads.canaries, (project, kind), 1):
            with suppress(AccessError, DriverError):
                await driver.probe(entry.thread.key.id)
            return True
    return False


def _boots(remembered: str | None) -> dict[str, float]:
    return dict(orjson.loads(remembered or "{}"))


def _date(header: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _off(off: timedelta) -> str:
    where = "ahead of" if off > timedelta() else "behind"
    return f"{format_duration(timedelta(minutes=round(abs(off) / timedelta(minutes=1))))} {where}"
