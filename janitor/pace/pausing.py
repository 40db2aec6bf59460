"""The pause that a whole project makes when its server asks for one."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from janitor.pace.queueing import Sleep

LONGEST = 300.0
FIRST = 1.0
DOUBLINGS = 6


class Pause:
    """Nobody calls while it lasts; after one that is longer than `longest` nobody waits for it.

    Where the server does not say how long, pauses double from one 429 to the next until anything
    is let through again. All times in seconds; `tell` is given what each one adds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Sleep,
        tell: Callable[[float], None],
        longest: float = LONGEST,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._tell = tell
        self._longest = longest
        self._until = 0.0
        self._begun = 0.0
        self._stopped_until = 0.0
        self._streak = 0

    @property
    def left(self) -> float:
        """The seconds until calls may go on."""
        return max(0.0, self._until - self._clock())

    @property
    def stopped(self) -> float:
        """The seconds for which the project is not called at all; nobody waits for their end."""
        return max(0.0, self._stopped_until - self._clock())

    async def over(self) -> None:
        """Wait for its end, or for a stop."""
        while self.left and not self.stopped:
            await self._sleep(self.left)

    def ended(self) -> None:
        """Something was let through: the next pause begins short again."""
        self._streak = 0

    def ask(self, asked: float | None, sent_at: float) -> bool:
        """Pause for `asked` seconds, or for what is usual; false where that is too long to wait.

        `sent_at` is when the refused call was sent: one sent before the pause began extends it
        only by what it asks for.
        """
        now = self._clock()
        if asked is not None and asked > self._longest:
            self._stopped_until = max(self._stopped_until, now + asked)
            return False
        if asked is None and sent_at < self._begun:
            return True
        seconds = self._usual() if asked is None else asked
        if now >= self._until:
            self._begun = now
        added = now + seconds - max(now, self._until)
        if added > 0:
            self._until = now + seconds
            self._tell(added)
        return True

    def _usual(self) -> float:
        self._streak += 1
        return jittered(FIRST * 2.0 ** min(self._streak - 1, DOUBLINGS))


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
    except (TypeError, ValueError):
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((aware - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0)
