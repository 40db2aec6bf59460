"""How long calls will take at a project's rates. Pure.

`auto` changes its rate as it goes, so the forecast steps through the minutes like a bucket.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from janitor.rate_limit.limiter import (
    FLOOR,
    GROWTH,
    MINUTE,
    STRICT,
    Allowance,
    Level,
    Verb,
    bucket_rate,
)

PUBLISHED: Mapping[Verb, float] = {Verb.DELETE: 300.0, Verb.READ: 1000.0, Verb.WRITE: 300.0}
"""The provider's published rates, in calls a minute; it publishes none for writes."""
LATENCY = 0.2
"""Seconds of one call if none was measured."""


class Origin(StrEnum):
    """Where a rate comes from: the configuration, what the server let through, or a first guess."""

    CONFIGURED = "configured"
    FOUND = "found"
    START = "start"

    @property
    def words(self) -> str:
        """The same in words for a person."""
        match self:
            case Origin.CONFIGURED:
                return "configured"
            case Origin.FOUND:
                return "found by itself"
            case Origin.START:
                return "`auto`, no limit met yet"


class View(Enum):
    """How `auto` develops: it grows without end, up to the published rate, or not at all."""

    BEST = auto()
    LIKELY = auto()
    WORST = auto()


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast calls of one verb may leave: the configured allowance and the bucket's level."""

    verb: Verb
    allowance: Allowance
    level: Level

    @property
    def per_minute(self) -> float | None:
        """The rate now, in calls a minute; `None` if unlimited."""
        match self.allowance:
            case "unlimited":
                return None
            case "auto":
                return self.level.rate
            case _:
                return self.allowance

    @property
    def origin(self) -> Origin:
        """Where the rate comes from."""
        if self.allowance != "auto":
            return Origin.CONFIGURED
        known = (self.level.cap, self.level.found, self.level.halved_at or None)
        return Origin.START if known == (None, None, None) else Origin.FOUND


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long calls take, in seconds, and what limits them.

    `binds` is the verb whose rate limits them; `None` if the time of the answers does.
    """

    seconds: float
    binds: Verb | None


def forecast(
    calls: Mapping[Verb, float],
    paces: Mapping[Verb, Pace],
    *,
    now: float,
    concurrency: int,
    latency: float = LATENCY,
    longest: float = 0.0,
    view: View = View.LIKELY,
) -> Forecast:
    """How long the calls of one project take, made `concurrency` at once.

    `now` is the time of the levels, in seconds since the epoch, `latency` the seconds of one call,
    and `longest` the most calls that have to be made one after the other.
    """
    waits = {verb: seconds_for(number, paces[verb], now, view) for verb, number in calls.items()}
    answers = latency * max(longest, sum(calls.values()) / max(1, concurrency))
    slowest = max(waits, key=lambda verb: waits[verb], default=None)
    if slowest is None or waits[slowest] <= answers:
        return Forecast(answers, None)
    return Forecast(waits[slowest], slowest)


def seconds_for(calls: float, pace: Pace, now: float, view: View = View.LIKELY) -> float:
    """Seconds until so many calls are sent: what the bucket holds at once, the rest by its rate."""
    if pace.allowance == "unlimited":
        return 0.0
    left = calls - tokens(pace.level, pace.allowance, now)
    if left <= 0:
        return 0.0
    if pace.allowance != "auto":
        return left * MINUTE / (pace.allowance * STRICT)
    rate, top, passed = pace.level.rate, _top(pace, view), 0.0
    while left > rate and rate < top:
        left, passed = left - rate, passed + MINUTE
        grown = max(rate * GROWTH, pace.level.found or 0.0)
        rate = min(grown, top)
    return passed + left * MINUTE / rate


def tokens(level: Level, allowance: Allowance, now: float) -> float:
    """The calls that may leave at once."""
    if allowance == "unlimited":
        return math.inf
    rate = bucket_rate(level, allowance)
    per_token = rate.interval * 1000 / rate.limit  # microseconds
    owed = max(0.0, level.owed - now * 1e6) / per_token
    return max(0.0, rate.burst - owed)


def _top(pace: Pace, view: View) -> float:
    """The rate at which `auto` stops growing."""
    level = pace.level
    if view is View.WORST:
        return max(FLOOR, level.rate)
    bounds = [bound for bound in (level.cap, level.found) if bound is not None]
    if not bounds and view is View.LIKELY:
        bounds = [PUBLISHED[pace.verb]]
    return max(level.rate, min(bounds, default=math.inf))
