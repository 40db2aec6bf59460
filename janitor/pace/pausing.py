"""The pause that a whole project makes when its server asks for one."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 300.0
FIRST = 1.0
DOUBLINGS = 6
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody calls before `until`; before `stopped_until` nobody even waits for it to end.

    Times are seconds since the epoch, `begun_at` that of the present pause's first refusal.
    Where the server does not say how long, pauses double from one 429 to the next until anything
    is let through again: `streak` counts them.
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


def asked(pause: Pause, seconds: float | None, sent_at: float, now: float, longest: float) -> Pause:
    """The pause after a server asked for `seconds`, or did not say for how many.

    `sent_at` is when the refused call was sent: one sent before the pause began extends it only by
    what it asks for. What is longer than `longest` is a stop, of a day at most: then one call
    hears it anew.
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


def ended(pause: Pause) -> Pause:
    """The pause after something was let through: the next one begins short again."""
    return replace(pause, streak=0)


def backoff(attempt: int) -> float:
    """Seconds before try `attempt + 1`: doubling from half a second, with jitter."""
    return jittered(min(2.0 ** (attempt - 2), 8.0))


def jittered(seconds: float) -> float:
    """The seconds, a quarter more or less."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


def retry_after(header: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for, or `None` where it says nothing.

    `now` is seconds since the epoch.
    """
    if header is None:
        return None
    try:
        asked = float(header)
    except ValueError:
        return _seconds_to(header, now)
    return max(asked, 0.0) if asked == asked else None  # noqa: PLR0124 - not a number


def _seconds_to(date: str, now: float) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((aware - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0)
