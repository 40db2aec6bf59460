"""The last check before a request is sent: one that may no longer change anything is held back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from janitor.errors import BusyError

LOOK_LASTS = 5.0
"""Seconds for which a look is valid: a request that relies on it must be sent by then.

They count from before its first call; if it has to be taken again, from its end, since its calls
may have to wait for their own turns.
"""
RENEWED_AFTER = 0.8 * LOOK_LASTS
"""Seconds after which a look is taken again: what is left is for the request to be sent."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # a machine may be suspended


class StaleError(BusyError):
    """The look that a removal relies on is too old: nothing was sent."""


async def _certified() -> None:
    """Allow everything."""


class SendGuard:
    """Whether changing requests may be sent now; the run that uses it decides.

    `now` returns seconds of a clock that keeps running while the machine sleeps. `dated` gets the
    `Date` header of every answer. `certify` raises a JanitorError if what was decided is no longer
    valid; it is asked right before each changing request.
    """

    def __init__(self, now: Callable[[], float] = lambda: time.clock_gettime(_CLOCK)) -> None:
        self.may_change: Callable[[], bool] = lambda: True
        self.dated: Callable[[str | None], None] = lambda _: None
        self.certify: Callable[[], Awaitable[None]] = _certified
        self.now = now

    def is_fresh(self, looked_at: float) -> bool:
        """Whether a look taken then need not be taken again before a request relies on it."""
        return self.now() - looked_at <= RENEWED_AFTER


@dataclass(slots=True)
class Look:
    """The look that changing requests about a thread rely on, taken `at` and renewed in time.

    `again` reads everything again and raises `BusyError` if nothing more is to be changed.
    `is_begun` says whether any request that relies on it was sent.
    """

    guard: SendGuard
    at: float
    again: Callable[[], Awaitable[None]]
    is_begun: bool = False
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_expired(self) -> bool:
        """Whether no request may rely on it any more."""
        return self.guard.now() - self.at > LOOK_LASTS

    async def renew(self) -> None:
        """Look again if the look is older than `RENEWED_AFTER`."""
        async with self._one_at_a_time:
            if not self.guard.is_fresh(self.at):
                await self.again()
                self.at = self.guard.now()


RESTING_ON: ContextVar[Look | None] = ContextVar("resting_on", default=None)
"""The look that the changing requests of this task rely on."""


@contextmanager
def resting_on(look: Look) -> Iterator[None]:
    """Let every changing request in the `with` block rely on this look."""
    token = RESTING_ON.set(look)
    try:
        yield
    finally:
        RESTING_ON.reset(token)
