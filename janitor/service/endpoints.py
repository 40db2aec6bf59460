"""The HTTP endpoints: metrics, health, and the calls that need a token.

Each call takes one JSON object, returns one, and needs a token of its scope. A client's mistake is
answered with a 4xx and one sentence; if the registry does not answer, the call returns a 503.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Generic

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from janitor.errors import ConfigError, JanitorError
from janitor.model import NoticeEvent
from janitor.registry import InboxNotice, Pause, RefusedRegistration
from janitor.service.bodies import (
    SHOWN,
    Answer,
    AskedWrongError,
    B,
    Body,
    ChangeBody,
    ErrorAnswer,
    MalformedThreadError,
    PauseAnswer,
    PauseBody,
    RefusedAnswer,
    ResumeAnswer,
    ResumeBody,
    TakenAnswer,
    ThreadPath,
    ThreadRemark,
    ToldBody,
    ToldThread,
    parsed,
)
from janitor.sources.files import registration

BEARER = "janitor.bearer"
"""The key in a request's scope for the token that let it through."""
HEALTH = "/healthz"
OPEN_PATHS = frozenset({HEALTH, "/metrics", "/readyz"})
READY_TURNS = 2
"""How many /readyz requests use the registry at once, to leave connections for the sweep."""
MAX_BODY = 64 * 1024
LARGE_BODY = {"/api/threads": 1024 * 1024}
"""Limits of the paths that accept more than `MAX_BODY` bytes: a batch."""
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


class TokenScope(StrEnum):
    """What a token may do."""

    REGISTER = "register"
    OPERATE = "operate"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Token:
    """A named token; its value is read again for each comparison, so that it can be rotated."""

    name: str
    scope: TokenScope
    reveal: Callable[[], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """Which hosts a request may name, and which tokens it may carry.

    `hosts` have no ports. Addresses and localhost are always allowed: a page of another site can
    reach us only through a host name of its own (DNS rebinding).
    """

    hosts: frozenset[str] = frozenset()
    tokens: tuple[Token, ...] = ()

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names us."""
        if (matched := HOST.fullmatch(header)) is None:
            return False
        name = matched[1].lower().removesuffix(".")
        return name == "localhost" or is_address(name) or name in map(str.lower, self.hosts)

    def bearer(self, headers: Iterable[bytes]) -> Token | None:
        """The token in the Authorization headers, compared in constant time; blocks."""
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
    """Checks for each request: `None` if all is well, else a sentence that says what is wrong.

    `alive` never blocks, `ready` may. For a service that is ready, `aside` lists what is down
    without affecting the rest.
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
    """The whole HTTP interface as one ASGI application; `more` are routes that need a token."""
    routes = [
        Route(HEALTH, _answering_at_once(health.alive)),
        Route("/readyz", _answering(health.ready, health.aside)),
        Route("/metrics", Exposition(metrics)),
        *more,
    ]
    made = Starlette(routes=routes, middleware=[Middleware(AccessGate, access=access)])
    made.router.redirect_slashes = False
    return made


class Exposition:
    """Makes an ASGI application a route's endpoint, which a bare function cannot be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request on."""
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


class AccessGate:
    """Refuses unknown Host headers, large bodies, and requests that lack a token and need one.

    It checks the path that is routed, never a URL built from what the client sent.
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
            message = "unknown host name: add it to service.hosts"
            return PlainTextResponse(message, status_code=421)
        if (refusal := _body(scope["path"], headers)) is not None:
            return refusal
        if scope["path"] in OPEN_PATHS:
            return None if scope["method"] in ("GET", "HEAD") else _not_allowed()
        given = [value for name, value in headers.raw if name == b"authorization"]
        scope[BEARER] = await run_in_threadpool(self._access.bearer, given)
        if scope[BEARER] is None:
            refusal = _failed(401, "a token is required")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        return None


def _body(path: str, headers: Headers) -> Response | None:
    """The refusal of a body that does not state its length or is too long; else `None`."""
    most = LARGE_BODY.get(path, MAX_BODY)
    if "transfer-encoding" in headers:
        return PlainTextResponse("Content-Length is required", status_code=411)
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > most:
        return PlainTextResponse(f"at most {most} bytes", status_code=413)
    return None


def _not_allowed() -> Response:
    return PlainTextResponse("GET only", status_code=405, headers={"Allow": "GET, HEAD"})


TURNS = 8
"""How many calls of a route wait for the registry at once, to leave threads for other requests."""


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[B]):
    """A request: its body, its token, and what the path names."""

    body: B
    token: Token
    path: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiOperation:
    """A call that a token of this scope may make, with all that a client needs to know about it.

    `call` blocks. `finds` means that it looks up what a body names, and may not find it.
    """

    path: str
    scope: TokenScope
    summary: str
    call: Callable[[ApiRequest[Any]], Answer]
    body: type[BaseModel]
    answer: type[Answer]
    method: str = "POST"
    status: int = 200
    refusals: tuple[type[ErrorAnswer], ...] = (ErrorAnswer,)
    names: type[Body] | None = None
    finds: bool = False

    def route(self) -> Route:
        """The route that serves it."""
        turns = asyncio.Semaphore(TURNS)

        async def answer(request: Request) -> Response:
            token: Token = request.scope[BEARER]
            try:
                require(self.scope, token)
                body = await request.body()
                async with turns:  # which bounds the memory for parsed bodies
                    taken = await run_in_threadpool(self._carry_out, body, token, request)
                    return _answered(self.status, taken)
            except AskedWrongError as error:
                return _answered(error.status, error.answer)
            except ClientDisconnect:
                return _failed(400, "the body is shorter than its Content-Length")
            except JanitorError:
                return _failed(503, "the registry does not answer; try again")

        endpoint: Callable[[Request], Awaitable[Response]] = answer
        return Route(self.path, endpoint, methods=[self.method])

    def _carry_out(self, body: bytes, token: Token, request: Request) -> Answer:
        return self.call(ApiRequest(parsed(self.body, body), token, request.path_params))


def require(scope: TokenScope, token: Token) -> None:
    """Raise AskedWrongError for a token of another scope."""
    if token.scope is not scope:
        raise AskedWrongError(f"this needs a token of the scope {scope}", 403)


def _answered(status: int, answer: Answer) -> Response:
    body = answer.model_dump_json(by_alias=True)
    return Response(body, status_code=status, media_type="application/json")


def _failed(status: int, message: str) -> Response:
    return _answered(status, ErrorAnswer(error=message))


@dataclass(frozen=True, slots=True)
class Operations:
    """What an operator may do to the registry, and the names in the configuration."""

    pause: Callable[[Pause], None]
    resume: Callable[[str], bool]
    projects: Callable[[], frozenset[str]]
    policies: Callable[[], frozenset[str]]
    now: Callable[[], datetime]

    def api(self) -> list[ApiOperation]:
        """The calls for a token of the scope `operate`."""
        return [
            ApiOperation(
                "/api/pause",
                TokenScope.OPERATE,
                "Pause everything, a project or a policy.",
                self._pause,
                PauseBody,
                PauseAnswer,
                finds=True,
            ),
            ApiOperation(
                "/api/resume",
                TokenScope.OPERATE,
                "End a pause.",
                self._resume,
                ResumeBody,
                ResumeAnswer,
                finds=True,
            ),
        ]

    def _pause(self, asked: ApiRequest[PauseBody]) -> PauseAnswer:
        body, at = asked.body, self.now()
        for word, name, names in (
            ("project", body.project, self.projects()),
            ("policy", body.policy, self.policies()),
        ):
            if name is not None and name not in names:
                raise AskedWrongError(f"no {word} of this name", 404)
        until = None if body.for_ is None else at + body.for_
        pause = Pause(body.scope, body.reason, asked.token.name, at, until)
        self.pause(pause)
        return PauseAnswer(
            scope=pause.scope,
            reason=pause.reason,
            actor=pause.actor,
            until=until.isoformat() if until else None,
        )

    def _resume(self, asked: ApiRequest[ResumeBody]) -> ResumeAnswer:
        scope = asked.body.scope
        if not self.resume(scope):
            raise AskedWrongError(f"there is no pause of the scope {scope}", 404)
        return ResumeAnswer(scope=scope, actor=asked.token.name)


@dataclass(frozen=True, slots=True)
class Threads:
    """The inbox, the names of the configured projects, and the clock."""

    append: Callable[[Iterable[InboxNotice]], int]
    projects: Callable[[], frozenset[str]]
    now: Callable[[], datetime]

    def api(self) -> list[ApiOperation]:
        """The calls for a token of the scope `register`."""
        return [
            ApiOperation(
                "/api/threads",
                TokenScope.REGISTER,
                "Report a thread, or many. Adds and updates times; never shortens or overwrites.",
                self._add,
                ToldBody,
                TakenAnswer,
                status=202,
                refusals=(ErrorAnswer, RefusedAnswer),
            ),
            ApiOperation(
                "/api/threads/{project}/{kind}/{id}",
                TokenScope.REGISTER,
                "Report one thread, known or not, in the form that /api/threads takes.",
                self._change,
                ChangeBody,
                TakenAnswer,
                method="PATCH",
                status=202,
                refusals=(ErrorAnswer, RefusedAnswer),
                names=ThreadPath,
            ),
        ]

    def _add(self, asked: ApiRequest[ToldBody]) -> TakenAnswer:
        return self._take(asked.body.threads)

    def _change(self, asked: ApiRequest[ChangeBody]) -> TakenAnswer:
        return self._take([asked.body.thread(asked.path)])

    def _take(self, threads: Sequence[ToldThread]) -> TakenAnswer:
        projects, now = tuple(sorted(self.projects())), self.now()
        notices: list[InboxNotice] = []
        refused: list[ThreadRemark] = []
        remarks: list[ThreadRemark] = []
        for index, thread in enumerate(threads):
            try:
                notice, odd = notice_of(thread, projects, now)
                notices.append(notice)
                remarks += [ThreadRemark(index=index, id=notice.id, reason=one) for one in odd]
            except (RefusedRegistration, ValueError) as error:
                named = thread.id and thread.id[:SHOWN]
                refused.append(ThreadRemark(index=index, id=named, reason=str(error)))
        taken = TakenAnswer(accepted=len(notices), refused=refused, remarks=remarks)
        if refused and not notices:
            raise AskedWrongError(refused[0].reason, taken=taken)
        self.append(notices)
        return taken


def notice_of(
    thread: ToldThread, projects: tuple[str, ...], now: datetime
) -> tuple[InboxNotice, tuple[str, ...]]:
    """The notice for one thread of a request, and remarks on times that were never set.

    Raises:
        ValueError: A value is missing, malformed, not a time, or not configured; the message says
            which.
        RefusedRegistration: The registry would not accept it.
    """
    if isinstance(thread, MalformedThreadError):
        raise thread
    row = {
        "project": thread.project,
        "kind": thread.kind,
        "id": thread.id,
        "created_at": thread.created_at,
        "last_active_at": thread.last_active_at if thread.at is None else thread.at,
        "keep_until": thread.keep_until,
        "metadata": thread.metadata,
    }
    known = registration(row, projects, strict=True)
    notice = InboxNotice(
        known.key.project,
        known.key.kind.value,
        known.key.id,
        known.last_active_at or now,
        (thread.event or NoticeEvent.REGISTER).value,
        known.created_at,
        known.metadata,
        known.keep_until,
    )
    return notice, known.remarks
