"""The level of a token bucket and the rate that `auto` has found: frozen, and pure functions.

The bucket is the generic cell rate algorithm (ITU-T I.371) of pyrate-limiter, whose whole state is
one number. Times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyrate_limiter import Rate, TokenBucket

from janitor.pace.rates import Allowance

START = 120.0
FLOOR = 6.0
GROWTH = 1.1
MINUTE = 60.0
SETTLED = 3600.0
IDLE = 30.0
SHARE = 0.5  # of a limit that the server names; the live application needs the other half
BELOW = 0.96  # of what was let through, so that a delayed call does not meet the edge again
EASED = 0.9
STRICT = 0.98  # of a fixed rate; with the burst of 1 % no minute ever holds more than the rate
BURST = 0.01

_BUCKET = TokenBucket()
_SCALE = 1000


@dataclass(frozen=True, slots=True)
class Level:
    """Where a bucket stands.

    `owed` is the algorithm's theoretical arrival time in microseconds. The rest is what `auto`
    knows: its `rate` a minute, the rate `found` to hold, the `cap` that the server named, when the
    rate last changed, when a token was last asked for, whether since the change anything had to
    wait, when a 429 last halved it, whether since the change anything was let through, and the
    answers let through in this minute and the one before.
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


def take(level: Level, allowance: Allowance, now: float, tokens: int = 1) -> tuple[Level, float]:
    """Take tokens; or leave the bucket and tell how many seconds to wait before asking again."""
    if allowance == "unlimited":
        return level, 0.0
    if allowance == "auto":
        level = _grown(_resumed(level, now), now)
    rate = _rate(level, allowance)
    full = int(now * 1e6) + rate.burst * _emission(rate)
    # After the clock was set back, or the burst got smaller, the debt must not outlive its time.
    owed = min(level.owed, full)
    state, decision = _BUCKET.step([rate], (owed,), int(now * 1000), tokens)
    if decision.allowed:
        return replace(level, owed=int(state[0])), 0.0
    # Growth counts from the first call that had to wait: an idle minute proves nothing.
    begun = level.changed_at if level.waited else now
    level = replace(level, owed=owed, waited=True, changed_at=begun)
    return level, (decision.retry_after_ms or 1) / 1000


def passed(level: Level, told: float | None, now: float, answers: int = 1) -> Level:
    """The level after answers that were no failure; `told` is a limit that their headers named."""
    level = _turned(level, now)
    cap = level.cap if told is None else max(told * SHARE, FLOOR)
    rate = level.rate if cap is None else min(level.rate, cap)
    return replace(level, cap=cap, rate=rate, passed=True, minute=level.minute + answers)


def refused(level: Level, sent_at: float, now: float) -> Level:
    """The level after a 429 on a call that was sent at `sent_at`.

    The rate is halved once per pause: calls that were already on their way, and tries before
    anything was let through again, tell nothing new. Where the bucket was in full use, what was
    let through in the last minute measures the quota; a little less is the rate to return to.
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
    """The rate that a bucket is kept at; `None` where there is no bound."""
    match allowance:
        case "auto":
            return level.rate
        case "unlimited":
            return None
        case _:
            return allowance


def _rate(level: Level, allowance: Allowance) -> Rate:
    fixed = not isinstance(allowance, str)
    per_minute = level.rate if isinstance(allowance, str) else allowance * STRICT
    explored = fixed or level.cap is not None or level.halved_at > 0
    burst = max(1, int(per_minute * BURST)) if explored else int(START)
    return Rate(max(1, int(per_minute * _SCALE)), int(MINUTE * 1000) * _SCALE, burst)


def _emission(rate: Rate) -> int:
    return -(-rate.interval * 1000 // rate.limit)


def _grown(level: Level, now: float) -> Level:
    """Up a tenth after each minute in which calls had to wait, and went through.

    After a halved minute the rate returns to what was found to hold; beyond that it tries only
    once an hour, and goes on from there where nothing is refused.
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
    """The same, asked now; after an idle time a rate not known to hold has its minute anew."""
    exploring = level.found is None or level.rate > level.found
    if exploring and not 0 <= now - level.asked_at < IDLE:
        return replace(level, asked_at=now, changed_at=now, waited=False)
    return replace(level, asked_at=now)


def _turned(level: Level, now: float) -> Level:
    """The same with the minute's count begun anew where a minute is over."""
    elapsed = now - level.minute_at
    if 0 <= elapsed < MINUTE:
        return level
    before = level.minute if MINUTE <= elapsed < 2 * MINUTE else 0
    at = level.minute_at + MINUTE if before else now
    return replace(level, minute_at=at, minute=0, minute_before=before)
