"""One project's calls: raw answers, every failure translated, nothing taken for granted."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx2
from openai import AsyncOpenAI

from janitor.drivers.answers import Body, ContradictionError, read_json
from janitor.drivers.budget import Budget, Share, counted_in, weight
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

    def __init__(self, client: AsyncOpenAI, endpoint: Endpoint, budget: Budget) -> None:
        self._client = client
        self._budget = budget
        self.endpoint = endpoint

    def share(self, subject: str) -> Share:
        """For the answer to a call that asks for items, which is let go at the end of a `with`."""
        return self._budget.large(subject)

    async def get(
        self,
        path: str,
        *,
        subject: str,
        headers: Mapping[str, str],
        query: Query,
        share: Share | None = None,
    ) -> Reply:
        """Read an object or a page of a list; an answer without a `share` must be small."""
        call = self._client.get(
            path,
            cast_to=httpx2.Response,
            options={"headers": headers, "params": query, "security": {"bearer_auth": True}},
        )
        return await self._reply(call, subject, share)

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

    async def _reply(
        self, call: Awaitable[httpx2.Response], subject: str, share: Share | None = None
    ) -> Reply:
        with nullcontext(share) if share else self._budget.small(subject) as held:
            response = await self._answer(call, subject, held)
            await held.grow(weight(response.content, held.most))
            return read_reply(response, subject)

    async def _answer(
        self, call: Awaitable[httpx2.Response], subject: str, share: Share
    ) -> httpx2.Response:
        try:
            with counted_in(share):
                return await call
        except JanitorError:
            raise
        except Exception as error:
            if not isinstance(error.__cause__, JanitorError):
                now = datetime.now(UTC)
                raise failure(error, endpoint=self.endpoint, subject=subject, now=now) from error
            raised = error.__cause__
        # The SDK calls whatever its transport raises a broken connection. Raised while that one
        # is handled, the two would hold each other and all that was read.
        raised.__context__ = None
        raise raised


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
