"""One project's calls: raw answers, every failure translated, nothing taken for granted."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx2
from openai import AsyncOpenAI

from janitor.drivers.answers import Body, ContradictionError, read_json
from janitor.drivers.endpoint import Endpoint
from janitor.drivers.failures import failure
from janitor.errors import JanitorError, RefusedError

SUCCESS = frozenset({200, 201})
REQUEST_ID = re.compile(r"[!-~]{1,200}")

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
    """The object in the answer to a call that the server calls a success.

    Raises `RefusedError` unless the status is 200 or 201 and the body is one JSON object that can
    only be read in one way. "Accepted" (202) or a part (206) proves nothing.
    """
    status = response.status_code
    if status not in SUCCESS:
        raise RefusedError(
            f"{subject}: HTTP {status} does not say that the call was carried out; kept",
            status=status,
        )
    try:
        body = read_json(response.content)
    except ContradictionError as error:
        raise RefusedError(
            f"{subject}: HTTP {status} whose body can be read in two ways: {error}; kept",
            status=status,
        ) from None
    except ValueError:
        raise RefusedError(
            f"{subject}: HTTP {status} whose body is not JSON; kept", status=status
        ) from None
    if not isinstance(body, dict):
        raise RefusedError(f"{subject}: HTTP {status} without an object; kept", status=status)
    request_id = response.headers.get("x-request-id", "")
    return Reply(body, request_id if REQUEST_ID.fullmatch(request_id) else None)
