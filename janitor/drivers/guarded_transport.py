"""The transports around the last check: one renews an old look, one holds a request back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import httpx2

from janitor.drivers.send_guard import RESTING_ON, SendGuard, StaleError

TRIES = 8


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
        look = RESTING_ON.get()
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
            if (look := RESTING_ON.get()) is not None:
                if look.is_expired:
                    raise StaleError("not sent: the check is too old")
                look.is_begun = True
        response = await self._inner.handle_async_request(request)
        self._guard.dated(response.headers.get("date"))
        return response

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()
