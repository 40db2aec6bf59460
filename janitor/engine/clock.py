"""Checks whether this machine's clock can be trusted. With a wrong clock, new threads look old.

It is compared with the time since boot, which no one sets, and with the dates of the API's answers.
A mismatch with either stops everything until the clock is right again.
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
    """Measures how far the clock is off, which may be at most `step`.

    `uptime` returns `None` if the machine cannot tell.
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
        """Raise unless the clock can be trusted.

        Raises:
            LimitError: It cannot; the message says what to do.
        """
        if self.trouble is not None:
            raise LimitError(self.trouble)

    def compare(self, before: str | None) -> None:
        """Compare the clock with what earlier runs of this boot stored (`None`: nothing)."""
        uptime = self._uptime()
        if uptime is None:
            return
        booted_at = self._clock() - uptime.since
        known = _boots(before).get(uptime.boot, booted_at.timestamp())
        agreed = self._ahead is not None and abs(self._ahead) <= AGREEMENT
        self._stepped = timedelta() if agreed else booted_at - datetime.fromtimestamp(known, UTC)

    def remembered(self, before: str | None) -> str:
        """The record for the next run, added to `before`; store it only if the clock is trusted.

        It holds when each machine was booted, by the machine's own clock and under the id of the
        boot.
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
        """Compare the clock with the `Date` header of an answer that has just come.

        A date that agrees clears a step since the last run; one that cannot be read is ignored.
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
    """Compare the clock with earlier runs; `watch.trouble` then says what is wrong with it.

    If the clock stepped, the API is asked for its date: `drivers` are those of each project, by
    kind. A clock without trouble is stored for later runs.
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
    """Probe a thread of the project to get the answer's date; false if it has no thread."""
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
