"""The HTTP face: metrics, health, readiness; nothing else answers without a token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

OPEN_PATHS = frozenset({"/metrics", "/healthz", "/readyz"})


class Scope(StrEnum):
    """What a token may do."""

    REGISTER = "register"
    OPERATE = "operate"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Token:
    """A named token; its value is revealed anew for each comparison, so that it can be rotated."""

    name: str
    scope: Scope
    reveal: Callable[[], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """Which hosts a request may name, and which tokens it may carry.

    `hosts` without ports; loopback names are always allowed.
    """

    hosts: frozenset[str] = frozenset()
    tokens: tuple[Token, ...] = ()

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names us; keeps other sites' pages from reaching us by DNS."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name in self.hosts or is_loopback(name)

    def bearer(self, header: str | None) -> Token | None:
        """The token of an Authorization header, compared in constant time."""
        given = (header or "").removeprefix("Bearer ").encode()
        matching = [
            token for token in self.tokens if hmac.compare_digest(token.reveal().encode(), given)
        ]
        return matching[0] if matching and given else None


@dataclass(frozen=True, slots=True)
class Health:
    """Asked on each request: `None` where all is well, else a sentence that says what is not."""

    alive: Callable[[], str | None]
    ready: Callable[[], str | None]


def is_loopback(name: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if name == "localhost":
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def application(metrics: ASGIApp, health: Health, access: Access) -> Starlette:
    """The whole HTTP face as one ASGI application."""
    routes = [
        Route("/healthz", _answering(health.alive)),
        Route("/readyz", _answering(health.ready)),
        Mount("/metrics", metrics),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Gate, access=access)])


def _answering(ask: Callable[[], str | None]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        wrong = await run_in_threadpool(ask)
        return PlainTextResponse(wrong or "ok", status_code=503 if wrong else 200)

    return answer


class Gate:
    """Refuses foreign Host headers, and everything but the open paths without a token."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        refusal = self._refusal(request)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        if not self._access.knows_host(request.headers.get("host", "")):
            return PlainTextResponse("unknown host", status_code=421)
        if request.url.path.rstrip("/") in OPEN_PATHS:
            return None if request.method in ("GET", "HEAD") else _not_allowed()
        if self._access.bearer(request.headers.get("authorization")) is None:
            headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse("a token is needed", status_code=401, headers=headers)
        return None


def _not_allowed() -> Response:
    return PlainTextResponse("GET only", status_code=405, headers={"Allow": "GET, HEAD"})
