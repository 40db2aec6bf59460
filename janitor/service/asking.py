"""How the HTTP API is asked: one JSON object in, one out, each call by a token of a scope.

Whatever a client got wrong is answered 4xx with one sentence; only a registry that does not answer
is a 503.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from janitor.errors import JanitorError
from janitor.service.http import BEARER, Scope, Token
from janitor.texts import TwiceError, once

TURNS = 8
"""So many calls of a route wait for the registry at once: threads are left for /healthz."""
Answer = dict[str, Any]


class AskedWrongError(Exception):
    """A request that cannot be done; the message says what to send instead, `more` what was."""

    def __init__(self, message: str, status: int = 422, more: Answer | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.more = more or {}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: the body's object, by whom, and what the path names."""

    said: Mapping[str, Any]
    token: Token
    path: Mapping[str, str] = field(default_factory=dict)


Call = Callable[[Asked], Answer]
"""From what is asked to what is answered; blocks."""


def operation(
    path: str, scope: Scope, call: Call, *, method: str = "POST", status: int = 200
) -> Route:
    """A call that a token of this scope may make."""
    turns = asyncio.Semaphore(TURNS)

    async def answer(request: Request) -> Response:
        token: Token = request.scope[BEARER]
        try:
            require(scope, token)
            body = await request.body()
            async with turns:  # what a body takes once it is parsed is bounded by the turns
                asked = Asked(_object(body), token, request.path_params)
                return _answered(status, await run_in_threadpool(call, asked))
        except AskedWrongError as error:
            return _answered(error.status, {"error": str(error), **error.more})
        except ClientDisconnect:
            return _answered(400, {"error": "the body is shorter than it was said to be"})
        except JanitorError:
            return _answered(503, {"error": "the registry does not answer; try again"})

    endpoint: Callable[[Request], Awaitable[Response]] = answer
    return Route(path, endpoint, methods=[method])


def require(scope: Scope, token: Token) -> None:
    """Raises AskedWrongError for a token of another scope."""
    if token.scope is not scope:
        raise AskedWrongError(f"this needs a token of the scope {scope}", 403)


def know(said: Mapping[str, Any], *names: str) -> None:
    """Raises AskedWrongError for a field of another name."""
    if unknown := sorted(said.keys() - set(names)):
        shown = ascii(unknown[0])[:80]
        raise AskedWrongError(f"{shown} is not known here; known: {', '.join(names)}")


def _answered(status: int, document: Answer) -> Response:
    body = orjson.dumps({"schema": 1, **document})
    return Response(body, status_code=status, media_type="application/json")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        said = orjson.loads(body or b"{}")
        json.loads(body or b"{}", object_pairs_hook=once)
    except TwiceError as error:
        raise AskedWrongError(str(error), 400) from error
    except (ValueError, RecursionError) as error:
        raise AskedWrongError("the body is not JSON", 400) from error
    if not isinstance(said, dict):
        raise AskedWrongError("the body must be one JSON object", 400)
    return said
