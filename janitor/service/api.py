"""What may be asked of a running service over HTTP: JSON in, JSON out, each call by a token's name.

Whatever a client got wrong is answered 4xx with one sentence; only a registry that does not answer
is a 503.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from janitor.config.durations import parse_duration
from janitor.errors import JanitorError
from janitor.registry import Pause
from janitor.service.http import BEARER, Scope, Token

LONGEST_REASON = 500
Answer = dict[str, Any]
Call = Callable[[Mapping[str, Any], Token], Answer]
"""From what the body says, and who asks, to what is answered; blocks."""


class AskedWrongError(Exception):
    """A request that cannot be done; the message says what to send instead."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Operations:
    """What an operator may do to the registry, and the names that the configuration knows."""

    pause: Callable[[Pause], None]
    resume: Callable[[str], bool]
    projects: Callable[[], frozenset[str]]
    policies: Callable[[], frozenset[str]]
    now: Callable[[], datetime]

    def routes(self) -> list[Route]:
        """What a token of the scope `operate` opens."""
        return [
            operation("/api/pause", Scope.OPERATE, self._pause),
            operation("/api/resume", Scope.OPERATE, self._resume),
        ]

    def _pause(self, said: Mapping[str, Any], token: Token) -> Answer:
        _know(said, "project", "policy", "for", "reason")
        at, span = self.now(), _text(said, "for")
        reason = _text(said, "reason")
        if reason is None:
            raise AskedWrongError("say a reason: everybody who looks is told")
        pause = Pause(self._scope(said), reason, token.name, at, _until(at, span))
        self.pause(pause)
        until = pause.until.isoformat() if pause.until else None
        return {"scope": pause.scope, "reason": reason, "actor": pause.actor, "until": until}

    def _resume(self, said: Mapping[str, Any], token: Token) -> Answer:
        _know(said, "project", "policy")
        scope = self._scope(said, known=False)
        if not self.resume(scope):
            raise AskedWrongError(f"nothing is paused as {scope}", 404)
        return {"scope": scope, "actor": token.name}

    def _scope(self, said: Mapping[str, Any], *, known: bool = True) -> str:
        project, policy = _text(said, "project"), _text(said, "policy")
        if project and policy:
            raise AskedWrongError("name a project or a policy, not both")
        for word, name, names in (
            ("project", project, self.projects()),
            ("policy", policy, self.policies()),
        ):
            if name is None:
                continue
            if known and name not in names:
                raise AskedWrongError(f"there is no {word} of this name", 404)
            return f"{word}:{name}"
        return "all"


def operation(path: str, scope: Scope, call: Call) -> Route:
    """A POST of one JSON object that a token of this scope may send."""

    async def answer(request: Request) -> Response:
        token: Token = request.scope[BEARER]
        try:
            _require(scope, token)
            said = _object(await request.body())
            return _answered(200, await run_in_threadpool(call, said, token))
        except AskedWrongError as error:
            return _answered(error.status, {"error": str(error)})
        except JanitorError:
            return _answered(503, {"error": "the registry does not answer; nothing was changed"})

    endpoint: Callable[[Request], Awaitable[Response]] = answer
    return Route(path, endpoint, methods=["POST"])


def _require(scope: Scope, token: Token) -> None:
    if token.scope is not scope:
        raise AskedWrongError(f"this needs a token of the scope {scope}", 403)


def _answered(status: int, document: Answer) -> Response:
    body = orjson.dumps({"schema": 1, **document})
    return Response(body, status_code=status, media_type="application/json")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        said = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise AskedWrongError("the body is not JSON", 400) from error
    if not isinstance(said, dict):
        raise AskedWrongError("the body is to be one JSON object", 400)
    return said


def _know(said: Mapping[str, Any], *names: str) -> None:
    if unknown := sorted(said.keys() - set(names)):
        shown = ascii(unknown[0])[:80]
        raise AskedWrongError(f"{shown} is not known here; known: {', '.join(names)}")


def _text(said: Mapping[str, Any], name: str) -> str | None:
    """A value as text, `None` where it is absent or null."""
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_REASON:
        raise AskedWrongError(f"{name} is to be a text of 1 to {LONGEST_REASON} characters")
    return value


def _until(at: datetime, span: str | None) -> datetime | None:
    if span is None:
        return None
    try:
        return at + parse_duration(span)
    except (ValueError, OverflowError) as error:
        raise AskedWrongError("for is to be a duration, for example 12h or 30m") from error
