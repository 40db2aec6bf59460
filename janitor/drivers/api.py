"""One project's calls: raw answers, every failure translated, nothing taken for granted."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import orjson
from openai import AsyncOpenAI

from janitor.drivers.endpoint import Endpoint
from janitor.drivers.failures import failure
from janitor.errors import JanitorError, RefusedError

# A whole number of 19 digits or more may not fit 64 bits, where the parser rounds without a word.
WIDE_NUMBER = re.compile(rb"[\s:,\[]-?[1-9][0-9]{18}")
REQUEST_ID = re.compile(r"[!-~]{1,200}")

Body = dict[str, Any]
Query = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON object that the server answered, and the id that it gave to the request."""

    body: Body
    request_id: str | None


class Api:
    """The calls of one project over one client.

    Paths are relative to the endpoint's base URL; `subject` names the container in errors. Each
    call raises `AccessError`, a `DriverError`, or what the transport raises as a `JanitorError`.
    """

    def __init__(self, client: AsyncOpenAI, endpoint: Endpoint) -> None:
        self._client = client
        self.endpoint = endpoint

    async def get(
        self, path: str, *, subject: str, headers: Mapping[str, str], query: Query
    ) -> Reply:
        """Read an object or a page of a list."""
        call = self._client.get(
            path,
            cast_to=httpx2.Response,
            options={"headers": headers, "params": query, "security": {"bearer_auth": True}},
        )
        return await self._reply(call, subject)

    async def post(
        self, path: str, body: Mapping[str, object], *, subject: str, headers: Mapping[str, str]
    ) -> Reply:
        """Change an object."""
        call = self._client.post(
            path,
            cast_to=httpx2.Response,
            body=body,
            options={"headers": headers, "security": {"bearer_auth": True}},
        )
        return await self._reply(call, subject)

    async def delete(self, path: str, *, subject: str, headers: Mapping[str, str]) -> Reply:
        """Remove an object."""
        call = self._client.delete(
            path,
            cast_to=httpx2.Response,
            options={"headers": headers, "security": {"bearer_auth": True}},
        )
        return await self._reply(call, subject)

    async def _reply(self, call: Awaitable[httpx2.Response], subject: str) -> Reply:
        try:
            response = await call
        except JanitorError:
            raise
        except Exception as error:
            if isinstance(error.__cause__, JanitorError):
                # The SDK calls whatever its transport raises a broken connection.
                raise error.__cause__ from None
            now = datetime.now(UTC)
            raise failure(error, endpoint=self.endpoint, subject=subject, now=now) from error
        return read_reply(response, subject)


def read_reply(response: httpx2.Response, subject: str) -> Reply:
    """The answer to a call that the server calls a success; `RefusedError` unless an object."""
    status = response.status_code
    try:
        body = _parsed(response.content)
    except (ValueError, RecursionError):
        raise RefusedError(
            f"{subject}: HTTP {status} whose body is not JSON; kept", status=status
        ) from None
    if not _is_exact(response.content, body):
        raise RefusedError(
            f"{subject}: a number too wide to be copied exactly; kept", status=status
        )
    if not isinstance(body, dict):
        raise RefusedError(f"{subject}: HTTP {status} without an object; kept", status=status)
    request_id = response.headers.get("x-request-id", "")
    return Reply(body, request_id if REQUEST_ID.fullmatch(request_id) else None)


def _parsed(content: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        if b"\\ud" not in content.lower():
            raise
    # Half of a surrogate pair, which models do emit and only the standard library reads.
    return json.loads(content, parse_constant=_refuse)


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _is_exact(content: bytes, body: object) -> bool:
    if WIDE_NUMBER.search(content) is None:
        return True
    try:
        return bool(json.loads(content) == body)
    except (ValueError, RecursionError):
        return False
