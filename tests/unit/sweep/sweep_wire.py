"""A transport that lets something happen right before or after a chosen request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import httpx2

from janitor.drivers import Outbound


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
        if self.happened or request.method != self.method:
            return False
        if not fnmatchcase(request.url.path, f"*{self.path}"):
            return False
        self.skip -= 1
        self.happened = self.skip < 0
        return self.happened


class Wire(httpx2.AsyncBaseTransport):
    """Passes every request on and lets the hooks act around it."""

    def __init__(self, hooks: list[Hook], concurrency: int) -> None:
        self._inner = Outbound(concurrency)
        self._hooks = hooks

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        struck = [hook for hook in self._hooks if hook.strikes(request)]
        for hook in struck:
            if not hook.after:
                hook.act()
        response = await self._inner.handle_async_request(request)
        for hook in struck:
            if hook.after:
                hook.act()
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()
