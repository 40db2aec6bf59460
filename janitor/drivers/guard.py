"""The last look before a request leaves: whoever may no longer change anything sends nothing."""

from __future__ import annotations

from collections.abc import Callable

import httpx2


class Guard:
    """Whether changing requests may leave at this moment; whoever works the run says so."""

    def __init__(self) -> None:
        self.may_change: Callable[[], bool] = lambda: True


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends what only reads; refuses the rest as unsent once the guard says no.

    It stands next to the network, inside of what paces and retries, so that no request that
    waited there slips through.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, or raise `httpx2.ConnectError`."""
        if request.method != "GET" and not self._guard.may_change():
            raise httpx2.ConnectError("not sent: the lease is over", request=request)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()
