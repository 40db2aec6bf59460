"""The HTTP face: metrics, health, readiness; nothing else answers without a token."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from janitor.errors import ConfigError

BEARER = "janitor.bearer"
"""Under which name a request's scope holds the token that it was let through by."""
HEALTH = "/healthz"
OPEN_PATHS = frozenset({HEALTH, "/metrics", "/readyz"})
READY_TURNS = 2
"""So many look at the registry at once for /readyz: connections are left for the sweep."""
MAX_BODY = 64 * 1024
LARGE_BODY = {"/api/threads": 1024 * 1024}
"""Where more than `MAX_BODY` may be sent: a batch."""
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


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

    `hosts` without ports. Addresses and localhost may always be named: a page of another site
    reaches us through a name of its own (DNS rebinding), and only so.
    """

    hosts: frozenset[str] = frozenset()
    tokens: tuple[Token, ...] = ()

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names us."""
        if (said := HOST.fullmatch(header)) is None:
            return False
        name = said[1].lower().removesuffix(".")
        return name == "localhost" or is_address(name) or name in map(str.lower, self.hosts)

    def bearer(self, headers: Iterable[bytes]) -> Token | None:
        """The token of the Authorization headers, compared in constant time; blocks."""
        scheme, _, given = b",".join(headers).strip().partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        matching = [token for token in self.tokens if _equal(token, given.strip())]
        return matching[0] if matching else None


def _equal(token: Token, given: bytes) -> bool:
    try:
        secret = token.reveal().encode()
    except ConfigError:
        return False  # a secret that cannot be read opens nothing
    return bool(secret) and hmac.compare_digest(secret, given)


@dataclass(frozen=True, slots=True)
class Health:
    """Asked on each request: `None` where all is well, else a sentence that says what is not.

    `alive` waits for nothing and nobody, `ready` may. `aside` tells, of a service that is ready,
    what is down and concerns nobody else.
    """

    alive: Callable[[], str | None]
    ready: Callable[[], str | None]
    aside: Callable[[], Sequence[str]] = tuple


def is_address(name: str) -> bool:
    """Whether a host is given as an address, in brackets or without."""
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def application(
    metrics: ASGIApp, health: Health, access: Access, more: Sequence[BaseRoute] = ()
) -> Starlette:
    """The whole HTTP face as one ASGI application; `more` are routes that ask for a token."""
    routes = [
        Route(HEALTH, _answering_at_once(health.alive)),
        Route("/readyz", _answering(health.ready, health.aside)),
        Route("/metrics", Exposition(metrics)),
        *more,
    ]
    made = Starlette(routes=routes, middleware=[Middleware(Gate, access=access)])
    made.router.redirect_slashes = False
    return made


class Exposition:
    """An ASGI application as a route's endpoint, which a bare function cannot be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        await self._app(scope, receive, send)


def _answering(
    ask: Callable[[], str | None], aside: Callable[[], Sequence[str]]
) -> Callable[[Request], Awaitable[Response]]:
    turns = asyncio.Semaphore(READY_TURNS)

    def look() -> Response:
        return _verdict(ask(), aside)

    async def answer(_: Request) -> Response:
        async with turns:
            return await run_in_threadpool(look)

    return answer


def _answering_at_once(ask: Callable[[], str | None]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return _verdict(ask())

    return answer


def _verdict(wrong: str | None, aside: Callable[[], Sequence[str]] = tuple) -> Response:
    if wrong:
        return PlainTextResponse(wrong, status_code=503)
    return PlainTextResponse("\n".join(["ok", *aside()]))


class Gate:
    """Refuses foreign Host headers, large bodies, and whatever has no token where one is needed.

    It judges the path that is routed, never a URL put together from what the client said.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "http":
            refusal = await self._refusal(scope, Headers(scope=scope))
            await (refusal or self._app)(scope, receive, send)

    async def _refusal(self, scope: Connection, headers: Headers) -> Response | None:
        if not self._access.knows_host(headers.get("host", "")):
            message = "this host name is not ours: add it to service.hosts"
            return PlainTextResponse(message, status_code=421)
        if (refusal := _body(scope["path"], headers)) is not None:
            return refusal
        if scope["path"] in OPEN_PATHS:
            return None if scope["method"] in ("GET", "HEAD") else _not_allowed()
        given = [value for name, value in headers.raw if name == b"authorization"]
        scope[BEARER] = await run_in_threadpool(self._access.bearer, given)
        if scope[BEARER] is None:
            wanted = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse("a token is needed", status_code=401, headers=wanted)
        return None


def _body(path: str, headers: Headers) -> Response | None:
    """A body must say its length, and be short."""
    most = LARGE_BODY.get(path, MAX_BODY)
    if "transfer-encoding" in headers:
        return PlainTextResponse("say Content-Length", status_code=411)
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > most:
        return PlainTextResponse(f"at most {most} bytes", status_code=413)
    return None


def _not_allowed() -> Response:
    return PlainTextResponse("GET only", status_code=405, headers={"Allow": "GET, HEAD"})
