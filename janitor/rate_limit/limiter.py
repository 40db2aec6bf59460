"""The arithmetic of rates: verbs, token levels, pauses, backoff. Pure.

The bucket is pyrate-limiter's generic cell rate algorithm (ITU-T I.371), whose whole state is one
number. Times are seconds since the epoch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import IntEnum, StrEnum
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import httpx2
    from pyrate_limiter import Rate, TokenBucket

Allowance = float | Literal["auto", "unlimited"]
"""Calls a minute; or what the server lets through, found by trying; or no limit."""


class Verb(StrEnum):
    """What a request does; servers limit each verb separately."""

    DELETE = "delete"
    READ = "read"
    WRITE = "write"


class Urgency(IntEnum):
    """Who goes first if several wait; the numbers are stored in claims on shared tokens."""

    APPLY = 1
    SWEEP = 2


AUTO: Mapping[Verb, Allowance] = dict.fromkeys(Verb, "auto")


def verb_of(method: str) -> Verb:
    """The verb of an HTTP method; anything but DELETE and the reading methods is a write."""
    match method:
        case "DELETE":
            return Verb.DELETE
        case "GET" | "HEAD" | "OPTIONS":
            return Verb.READ
        case _:
            return Verb.WRITE


def told_limit(headers: httpx2.Headers) -> float | None:
    """The smallest limit on requests that an answer's `x-ratelimit-limit...` headers name."""
    limits = (
        value.partition(",")[0].partition(";")[0].strip()
        for name, value in headers.items()
        if name.startswith("x-ratelimit-limit") and name.rpartition("-")[2] in {"limit", "requests"}
    )
    return min((float(one) for one in limits if one.isdecimal() and int(one)), default=None)


START = 120.0
FLOOR = 6.0
GROWTH = 1.2  # from 120 to the published 300 deletes within five minutes
# A plan is mostly reads, and a person waits for it. The provider publishes 1000 reads a minute.
STARTS: Mapping[Verb, float] = {Verb.DELETE: START, Verb.READ: 500.0, Verb.WRITE: START}
MINUTE = 60.0
SETTLED = 3600.0
IDLE = 30.0
SHARE = 0.5  # of a limit that the server names; the live application needs the other half
BELOW = 0.96  # of what was let through, so that a delayed call does not hit the limit again
EASED = 0.9
STRICT = 0.98  # of a fixed rate; with the burst of 1 %, no minute ever has more calls than the rate
BURST = 0.01

_SCALE = 1000


@cache
def token_bucket() -> TokenBucket:
    """The algorithm, imported when it is first asked for: many commands make no call."""
    from pyrate_limiter import TokenBucket  # noqa: PLC0415

    return TokenBucket()


@dataclass(frozen=True, slots=True)
class Level:
    """The state of a bucket.

    `owed` is the algorithm's theoretical arrival time in microseconds. The rest is what `auto`
    knows: its `rate` a minute, the rate `found` to be sustainable, the `cap` from a limit that the
    server named, when the rate last changed, when a token was last asked for, whether any call has
    had to wait since the change, when a 429 last halved the rate, whether any call has been let
    through since the change, and the answers let through in this minute and the one before.
    """

    owed: int = 0
    rate: float = START
    found: float | None = None
    cap: float | None = None
    changed_at: float = 0.0
    asked_at: float = 0.0
    waited: bool = False
    halved_at: float = 0.0
    passed: bool = True
    minute_at: float = 0.0
    minute: int = 0
    minute_before: int = 0


def started(level: Level, verb: Verb) -> Level:
    """The level of a verb's bucket; a rate that nothing has limited is at least its start rate."""
    is_bounded = level.cap is not None or level.found is not None or level.halved_at > 0
    return level if is_bounded else replace(level, rate=max(level.rate, STARTS[verb]))


def take(level: Level, allowance: Allowance, now: float, tokens: int = 1) -> tuple[Level, float]:
    """Take tokens, or return the seconds to wait before asking again."""
    if allowance == "unlimited":
        return level, 0.0
    if allowance == "auto":
        level = _grown(_resumed(level, now), now)
    rate = bucket_rate(level, allowance)
    per_token = -(-rate.interval * 1000 // rate.limit)  # microseconds, rounded up
    full = int(now * 1e6) + rate.burst * per_token
    # After the clock was set back, or the burst got smaller, the debt must not last too long.
    owed = min(level.owed, full)
    state, decision = token_bucket().step([rate], (owed,), int(now * 1000), tokens)
    if decision.allowed:
        return replace(level, owed=int(state[0])), 0.0
    # Growth counts from the first call that had to wait: an idle minute proves nothing.
    begun = level.changed_at if level.waited else now
    level = replace(level, owed=owed, waited=True, changed_at=begun)
    return level, (decision.retry_after_ms or 1) / 1000


def passed(level: Level, told: float | None, now: float, answers: int = 1) -> Level:
    """The level after successful answers; `told` is a limit that their headers named."""
    level = _turned(level, now)
    cap = level.cap if told is None else max(told * SHARE, FLOOR)
    rate = level.rate if cap is None else min(level.rate, cap)
    return replace(level, cap=cap, rate=rate, passed=True, minute=level.minute + answers)


def refused(level: Level, sent_at: float, now: float) -> Level:
    """The level after a 429 on a call that was sent at `sent_at`.

    The rate is halved once per pause: calls that were already on their way, and tries before any
    call was let through again, tell nothing new. If the bucket was in full use, the calls let
    through in the last minute measure the quota; the rate returns to a little less than that.
    """
    in_pause = level.halved_at == level.changed_at and not level.passed
    if sent_at < level.halved_at or in_pause:
        return level
    level = _turned(level, now)
    left = max(0.0, 1 - (now - level.minute_at) / MINUTE)
    through = level.minute + level.minute_before * left
    found = level.found
    if through >= level.rate / 2:
        found = max(FLOOR, through * BELOW)
        if level.found is not None and level.rate <= level.found:
            found = max(FLOOR, min(found, level.found * EASED))
    halved = max(FLOOR, level.rate / 2)
    return replace(
        level,
        rate=halved,
        found=found,
        changed_at=now,
        waited=True,
        halved_at=now,
        passed=False,
    )


def per_minute(level: Level, allowance: Allowance) -> float | None:
    """The rate of a bucket, in calls a minute; `None` if unlimited."""
    match allowance:
        case "auto":
            return level.rate
        case "unlimited":
            return None
        case _:
            return allowance


def bucket_rate(level: Level, allowance: Allowance) -> Rate:
    """The bucket's rate in thousandths of calls, and how many calls may go at once."""
    from pyrate_limiter import Rate  # noqa: PLC0415 - see `token_bucket`

    fixed = not isinstance(allowance, str)
    per_minute = level.rate if isinstance(allowance, str) else allowance * STRICT
    explored = fixed or level.cap is not None or level.halved_at > 0
    burst = max(1, int(per_minute * BURST)) if explored else int(START)
    return Rate(max(1, int(per_minute * _SCALE)), int(MINUTE * 1000) * _SCALE, burst)


def _grown(level: Level, now: float) -> Level:
    """Raise the rate by a fifth after each minute in which calls had to wait and went through.

    After a minute at half the rate it returns to the rate that was found. It tries more than that
    only once an hour, and keeps growing from there if nothing is refused.
    """
    elapsed = now - level.changed_at
    if not (level.waited and level.passed) or 0 <= elapsed < MINUTE:
        return level
    rate, found = level.rate * GROWTH, level.found
    if found is not None and level.rate < found:
        rate = found
    elif found is not None and level.rate == found and 0 <= elapsed < SETTLED:
        return level
    elif found is not None and level.rate > found:
        found = None
    if level.cap is not None:
        rate = min(rate, level.cap)
    return replace(level, rate=rate, found=found, changed_at=now, waited=False, passed=False)


def _resumed(level: Level, now: float) -> Level:
    """The level, asked for now; after an idle time, a rate still being tried is timed anew."""
    exploring = level.found is None or level.rate > level.found
    if exploring and not 0 <= now - level.asked_at < IDLE:
        return replace(level, asked_at=now, changed_at=now, waited=False)
    return replace(level, asked_at=now)


def _turned(level: Level, now: float) -> Level:
    """The level, with a new count if the minute is over."""
    elapsed = now - level.minute_at
    if 0 <= elapsed < MINUTE:
        return level
    before = level.minute if MINUTE <= elapsed < 2 * MINUTE else 0
    at = level.minute_at + MINUTE if before else now
    return replace(level, minute_at=at, minute=0, minute_before=before)


LONGEST = 300.0
FIRST = 1.0
DOUBLINGS = 6
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class RatePause:
    """No calls before `until`; before `stopped_until` no call even waits for the end.

    Times are seconds since the epoch; `begun_at` is when the current pause was first asked for. If
    the server does not say how long, pauses double from one 429 to the next until a call is let
    through again: `streak` counts them.
    """

    until: float = 0.0
    begun_at: float = 0.0
    stopped_until: float = 0.0
    streak: int = 0

    def left(self, now: float) -> float:
        """The seconds until calls may go on."""
        return max(0.0, self.until - now)

    def stopped(self, now: float) -> float:
        """The seconds for which the project is not called at all."""
        return max(0.0, self.stopped_until - now)


def asked(
    pause: RatePause, seconds: float | None, sent_at: float, now: float, longest: float
) -> RatePause:
    """The pause after a server asked for `seconds`, or (`None`) did not say how many.

    `sent_at` is when the refused call was sent: a call sent before the pause began extends it only
    by the seconds its answer asks for. More than `longest` is a stop, for a day at most: after
    that one call asks the server again.
    """
    if seconds is not None and seconds > longest:
        return replace(pause, stopped_until=max(pause.stopped_until, now + min(seconds, DAY)))
    if seconds is None:
        if sent_at < pause.begun_at:
            return pause
        pause = replace(pause, streak=pause.streak + 1)
        seconds = jittered(FIRST * 2.0 ** min(pause.streak - 1, DOUBLINGS))
    begun_at = now if now >= pause.until else pause.begun_at
    return replace(pause, begun_at=begun_at, until=max(pause.until, now + seconds))


def ended(pause: RatePause) -> RatePause:
    """The pause after a call was let through: the next one starts short again."""
    return replace(pause, streak=0)


def call_backoff(attempt: int) -> float:
    """Seconds before try `attempt + 1`: doubling from half a second up to 8, with jitter."""
    return jittered(min(2.0 ** (attempt - 2), 8.0))


def jittered(seconds: float) -> float:
    """The seconds, up to a quarter more or less."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


def retry_after(header: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for; `None` if absent or unreadable.

    `now` is in seconds since the epoch.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
        return None if math.isnan(seconds) else max(seconds, 0.0)
    except ValueError:
        pass  # it may be a date
    try:
        at = parsedate_to_datetime(header)
    except (TypeError, ValueError, OverflowError):
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((aware - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0)
