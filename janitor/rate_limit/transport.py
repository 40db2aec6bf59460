"""The transport that every request goes through: it counts, waits its turn, and retries.

Only what cannot have taken effect is retried: any request answered with 429, and reads that met a
gateway's error or a broken connection. A DELETE whose answer was lost is left to recovery.
"""

from __future__ import annotations

import json
import math

import httpx2

from janitor.errors import JanitorError
from janitor.rate_limit.limiter import Urgency, Verb, call_backoff, retry_after, verb_of
from janitor.rate_limit.project_limiter import Exchange, ProjectLimiter

PASSING = frozenset({502, 503, 504})
TOO_MANY = httpx2.codes.TOO_MANY_REQUESTS.value
TRIES = 8
FAILURES = 4
PATIENCE = 600.0


class PacedTransport(httpx2.AsyncBaseTransport):
    """Sends requests at a project's pace, with a limited number of retries.

    `tries` limits the attempts at one request, of which `FAILURES` may end in something other than
    a 429; after `patience` seconds it makes no further attempt. While the project is stopped, a
    request is answered with 429 without being sent.
    """

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        limiter: ProjectLimiter,
        *,
        urgency: Urgency = Urgency.SWEEP,
        tries: int = TRIES,
        patience: float = PATIENCE,
    ) -> None:
        self._inner = inner
        self._limiter = limiter
        self._urgency = urgency
        self._tries = tries
        self._patience = patience

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, retry it where that is safe, and return the last answer."""
        verb, begun, failures = verb_of(request.method), self._limiter.clock(), 0
        for attempt in range(1, self._tries):
            try:
                response, again = await self._attempt(request, verb)
            except httpx2.TransportError:
                failures += 1
                if verb is not Verb.READ or self._is_over(begun, failures):
                    raise
            else:
                failures += response.status_code != TOO_MANY
                if not again or self._is_over(begun, failures):
                    return response
                await response.aclose()
            if not self._limiter.paused:
                await self._limiter.sleep(call_backoff(attempt))
        response, _ = await self._attempt(request, verb)
        return response

    async def aclose(self) -> None:
        """Save what was learned, and close the inner transport."""
        self._limiter.save()
        await self._inner.aclose()

    def _is_over(self, begun: float, failures: int) -> bool:
        return failures >= FAILURES or self._limiter.clock() - begun >= self._patience

    async def _attempt(self, request: httpx2.Request, verb: Verb) -> tuple[httpx2.Response, bool]:
        """One answer, and whether a retry may bring a better one."""
        async with self._limiter.admitted(verb, self._urgency) as sent_at:
            if left := self._limiter.stopped:
                return _stopped(request, left), False
            started = self._limiter.clock()
            response = await self._send(request, verb, started)
            return response, await self._learn(response, verb, sent_at)

    async def _send(self, request: httpx2.Request, verb: Verb, started: float) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except JanitorError:
            raise  # held back: nothing was sent, and nothing is learned
        except BaseException:
            self._measured(request, verb, None, started)
            raise
        self._measured(request, verb, response.status_code, started)
        return response

    def _measured(
        self, request: httpx2.Request, verb: Verb, status: int | None, started: float
    ) -> None:
        seconds = self._limiter.clock() - started
        failed = status is None or status >= httpx2.codes.INTERNAL_SERVER_ERROR
        self._limiter.measured(verb, seconds, failed=failed)
        self._limiter.tell(Exchange(request.method, request.url.path, status, seconds))

    async def _learn(self, response: httpx2.Response, verb: Verb, sent_at: float) -> bool:
        asked = retry_after(response.headers.get("retry-after"), self._limiter.clock())
        if response.status_code == TOO_MANY:
            if b"insufficient_quota" in await response.aread():
                return False  # a 429 that waiting does not fix
            return await self._limiter.refused(verb, sent_at, asked)
        if response.status_code < httpx2.codes.INTERNAL_SERVER_ERROR:
            await self._limiter.passed(verb, response, sent_at)
        if response.status_code not in PASSING:
            return False
        waits = asked is None or await self._limiter.asked(sent_at, asked)
        return waits and verb is Verb.READ


def _stopped(request: httpx2.Request, seconds: float) -> httpx2.Response:
    """The answer given in place of the server's while it does not want to be called."""
    left = math.ceil(seconds)
    message = f"the server asked for no calls for another {left} s; not sent"
    error = {"message": message, "type": "requests", "code": "rate_limit_exceeded"}
    return httpx2.Response(
        TOO_MANY,
        headers={"retry-after": str(left), "content-type": "application/json"},
        content=json.dumps({"error": error}).encode(),
        request=request,
    )
