"""The transport that every request passes: it counts, waits as told, and tries again.

Only what cannot have taken effect is tried again: any request answered 429, and reads that met a
gateway's error or a broken connection. A DELETE whose answer was lost is left to recovery.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

PASSING = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and how it was answered; `status` is `None` where no answer came."""

    method: str
    path: str
    status: int | None
    seconds: float


class PacedTransport(httpx2.AsyncBaseTransport):
    """Counts each request, pauses the whole project on a 429, and retries with a bound.

    `tries` bounds the attempts of one request and `longest` (seconds) the pause that a server may
    ask for; a longer one is not waited for, the answer goes to the caller as it is. `waited` is
    told by how many seconds the project's pause grew.
    """

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        notify: Callable[[Exchange], None],
        *,
        tries: int = 4,
        longest: float = 60.0,
        waited: Callable[[float], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._notify = notify
        self._tries = tries
        self._longest = longest
        self._sleep = sleep
        self._clock = clock
        self._waited = waited
        self._resume_at = 0.0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, again where that is safe, and give back the last answer."""
        for attempt in range(1, self._tries):
            await self._wait()
            try:
                response = await self._send(request)
            except httpx2.TransportError:
                if request.method != "GET":
                    raise
                self._pause(backoff(attempt))
                continue
            pause = await self._pause_asked(request, response, attempt)
            if pause is None:
                return response
            await response.aclose()
            self._pause(pause)
        await self._wait()
        return await self._send(request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        started = time.monotonic()
        status: int | None = None
        try:
            response = await self._inner.handle_async_request(request)
            status = response.status_code
        finally:
            seconds = time.monotonic() - started
            self._notify(Exchange(request.method, request.url.path, status, seconds))
        return response

    async def _wait(self) -> None:
        while (left := self._resume_at - self._clock()) > 0:
            await self._sleep(left)

    def _pause(self, seconds: float) -> None:
        now = self._clock()
        begins, ends = max(self._resume_at, now), max(self._resume_at, now + seconds)
        self._waited(ends - begins)
        self._resume_at = ends

    async def _pause_asked(
        self, request: httpx2.Request, response: httpx2.Response, attempt: int
    ) -> float | None:
        limited = response.status_code == httpx2.codes.TOO_MANY_REQUESTS
        if not limited and not (request.method == "GET" and response.status_code in PASSING):
            return None
        if limited and b"insufficient_quota" in await response.aread():
            return None  # a 429 that waiting does not cure
        asked = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
        pause = backoff(attempt) if asked is None else asked
        return pause if pause <= self._longest else None


def backoff(attempt: int) -> float:
    """Seconds before try `attempt + 1`: doubling from half a second, with jitter."""
    return min(2.0 ** (attempt - 2), 8.0) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


def retry_after(header: str | None, now: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks for, or `None` where it says nothing."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(header) - now).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
