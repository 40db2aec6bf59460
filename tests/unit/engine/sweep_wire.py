"""A transport that lets something happen right before or after a chosen request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase

import httpx2
from sweep_time import WatchedLoop

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class CrashError(BaseException):
    """The process dies here: nothing of the program catches it."""


def crash() -> None:
    raise CrashError


@dataclass(slots=True)
class Hook:
    """`act` happens once, at the first request that fits after `skip` others did."""

    method: str
    path: str
    act: Callable[[], object]
    skip: int = 0
    after: bool = False
    happened: bool = False

    def strikes(self, request: httpx2.Request) -> bool:
        if self.happened or not fnmatchcase(request.method, self.method):
            return False
        if not fnmatchcase(request.url.path, f"*{self.path}"):
            return False
        self.skip -= 1
        self.happened = self.skip < 0
        return self.happened


class Wire(httpx2.AsyncBaseTransport):
    """Passes every request on and lets the hooks act around it."""

    def __init__(self, hooks: list[Hook], concurrency: int) -> None:
        limits = httpx2.Limits(max_connections=concurrency)
        # Loopback speaks no TLS, and the certificates of the world take longer than a sweep.
        self._inner = httpx2.AsyncHTTPTransport(verify=NO_TLS, limits=limits)
        self._hooks = hooks

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        struck = [hook for hook in self._hooks if hook.strikes(request)]
        for hook in struck:
            if not hook.after:
                hook.act()
        loop = asyncio.get_running_loop()
        with loop.at_work() if isinstance(loop, WatchedLoop) else nullcontext():
            response = await self._inner.handle_async_request(request)
            await response.aread()
        for hook in struck:
            if hook.after:
                hook.act()
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()
