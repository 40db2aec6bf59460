"""Whether this machine's clock can be believed: by a wrong one, what is of today looks old.

It is held against the time since boot, which no one sets, and against the dates of the API's
answers. Either one alone stops everything until the clock is right again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import orjson

from janitor.config.durations import format_duration
from janitor.errors import LimitError

AGREEMENT = timedelta(minutes=5)
BOOTS = 16


@dataclass(frozen=True, slots=True)
class Uptime:
    """Which start of the machine this is, and how long ago that was, sleep included."""

    boot: str
    since: timedelta


class ClockWatch:
    """Knows how far the clock is off by all that can tell; `step` is how far it may be.

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
        """Whether an answer of the API has told its date."""
        return self._ahead is not None

    @property
    def trouble(self) -> str | None:
        """What is wrong and what to do, in a sentence; `None` while nothing is known to be."""
        if self._ahead is not None and abs(self._ahead) > self._step:
            told = f"is {_told(self._ahead)} the dates of the API's answers"
        elif self.is_suspected:
            told = (
                f"went {_told(self._stepped)} the time since the machine's boot, and no answer of "
                "the API confirms it"
            )
        else:
            return None
        limit = f"limits.clock_step {format_duration(self._step)}"
        return (
            f"the clock says {self._clock():%Y-%m-%d %H:%M} UTC; it {told} ({limit}). Nothing is "
            "removed by a clock that may be wrong: set it (`timedatectl`), then run `janitor plan`"
        )

    def check(self) -> None:
        """Do nothing where the clock can be believed.

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
        """Let a step pass where there is nobody to confirm it, and nothing to be removed."""
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


def _boots(remembered: str | None) -> dict[str, float]:
    return dict(orjson.loads(remembered or "{}"))


def _date(header: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _told(off: timedelta) -> str:
    where = "ahead of" if off > timedelta() else "behind"
    return f"{format_duration(timedelta(minutes=round(abs(off) / timedelta(minutes=1))))} {where}"
