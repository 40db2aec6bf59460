"""The last check before a request is sent: one that may no longer change anything is held back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field

import httpx2

from janitor.errors import BusyError

LOOK_LASTS = 5.0
"""Seconds for which a look is valid: a request that relies on it must be sent by then.

They count from before its first call; if it has to be taken again, from its end, since its calls
may have to wait for their own turns.
"""
RENEWED_AFTER = 0.8 * LOOK_LASTS
"""Seconds after which a look is taken again: what is left is for the request to be sent."""
TRIES = 8

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
    def age(self) -> float:
        """Seconds since the look."""
        return self.guard.now() - self.at

    async def renew(self) -> None:
        """Look again if the look is older than `RENEWED_AFTER`."""
        async with self._one_at_a_time:
            if not self.guard.is_fresh(self.at):
                await self.again()
                self.at = self.guard.now()


_RESTING_ON: ContextVar[Look | None] = ContextVar("resting_on", default=None)


@contextmanager
def resting_on(look: Look) -> Iterator[None]:
    """Let every changing request in the `with` block rely on this look."""
    token = _RESTING_ON.set(look)
    try:
        yield
    finally:
        _RESTING_ON.reset(token)


class FreshTransport(httpx2.AsyncBaseTransport):
    """Waits for a request's turn first, then renews its look, so that the look is not too old.

    It wraps the transport that paces: `reserve` waits for a method's turn, which the request then
    takes. If the request had to wait too long for something else, it tries again, `TRIES` times.
    """

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        reserve: Callable[[str], AbstractAsyncContextManager[None]],
    ) -> None:
        self._inner = inner
        self._reserve = reserve

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, or raise `StaleError` or what the look raises."""
        look = _RESTING_ON.get()
        if request.method == "GET" or look is None:
            return await self._inner.handle_async_request(request)
        for _ in range(TRIES):
            async with self._reserve(request.method):
                await look.renew()
                with suppress(StaleError):
                    return await self._inner.handle_async_request(request)
        raise StaleError("each check was too old by the time it could be used; kept")

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends reads; refuses other requests, unsent, if the guard or an old look forbids them.

    It is next to the network, inside the transports that pace and retry, so that no request that
    waited there slips through.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, guard: SendGuard) -> None:
        self._inner = inner
        self._guard = guard

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; raises `httpx2.ConnectError`, `StaleError` or what `certify` raises."""
        if request.method != "GET":
            await self._guard.certify()
            if not self._guard.may_change():
                why = "not sent: the lease has expired, or the clock is wrong"
                raise httpx2.ConnectError(why, request=request)
            if (look := _RESTING_ON.get()) is not None:
                if look.age > LOOK_LASTS:
                    raise StaleError("not sent: the check is too old")
                look.is_begun = True
        response = await self._inner.handle_async_request(request)
        self._guard.dated(response.headers.get("date"))
        return response

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()
