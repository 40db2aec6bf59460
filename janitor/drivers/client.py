"""One project's calls: the endpoint, raw answers, and errors for every failure."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx2

from janitor.causes import cause, is_scarce
from janitor.drivers.endpoint import Endpoint
from janitor.drivers.environment import proxy_variable
from janitor.drivers.response_memory import Budget, Share, counted_in, weight
from janitor.drivers.responses import LIVING, Body, ContradictionError, read_json
from janitor.errors import (
    AccessError,
    BareGoneError,
    BusyError,
    DriverError,
    GoneError,
    JanitorError,
    RefusedError,
    TransientError,
)
from janitor.model import NotFound

if TYPE_CHECKING:
    from openai import AsyncOpenAI

ACTIVE_RUN = re.compile(r"\bactive run\b|\brun\b.*\bactive\b", re.IGNORECASE | re.DOTALL)
SAFE_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
PASSING = frozenset({408, 429})
SUCCESS_FIELDS = LIVING | {"id", "deleted"}
GATEWAYS = frozenset(
    {
        "no route matched with those values",  # Kong
        "not found",  # Amazon API Gateway
        "resource not found",  # Azure API Management
        "no matching route",
    }
)
"""The `message` with which gateways answer requests that they do not pass on."""


@dataclass(frozen=True, slots=True)
class CallFault:
    """An answer other than success; `proper` if its body is an error of the API, not of a gateway.

    `own` if its body is a JSON object that an application may have written in a form of its own.
    """

    status: int
    code: str = ""
    type: str = ""
    message: str = ""
    proper: bool = False
    own: bool = False

    def __str__(self) -> str:
        named = [token for token in (self.type, self.code) if SAFE_TOKEN.fullmatch(token)]
        return " ".join([f"HTTP {self.status}", *named])


def failure(error: Exception, *, endpoint: Endpoint, subject: str) -> AccessError | DriverError:
    """The error to raise instead of `error`.

    `subject` names the container for people. The message contains at most status, code and type:
    the server's text may quote conversations.
    """
    from openai import APIConnectionError, APIStatusError  # noqa: PLC0415 - the call imported it

    match error:
        case APIStatusError(response=response):
            return _from_fault(read_fault(response), endpoint, subject)
        case APIConnectionError() if isinstance(error.__cause__, httpx2.DecodingError):
            return RefusedError(f"{subject}: the answer cannot be decoded; kept")
        case APIConnectionError() | httpx2.TransportError() | OSError():
            why = _why_no_answer(error, endpoint)
            return TransientError(
                f"{subject}: no answer from {endpoint.host}: {why}; retried by a later sweep"
            )
        case _:
            return RefusedError(
                f"{subject}: the call failed unexpectedly ({type(error).__name__}); kept"
            )


def _why_no_answer(error: Exception, endpoint: Endpoint) -> str:
    """Why there was no answer; the transport reports many other causes as a time-out."""
    errors = list(_error_chain(error))
    place = f"check base_url of project {endpoint.name}"
    proxy = proxy_variable(endpoint.azure_endpoint or endpoint.base_url)
    for why in filter(None, (_cause(earlier, place, proxy) for earlier in errors)):
        return why
    is_late = any(isinstance(earlier, httpx2.TimeoutException | TimeoutError) for earlier in errors)
    return f"none came within {endpoint.timeout:g} s" if is_late else "the connection broke"


def _cause(error: BaseException, place: str, proxy: str | None) -> str | None:
    match error:
        case ssl.SSLError():
            why = getattr(error, "verify_message", None)
            trust = f"its certificate is not trusted here ({why})"
            return f"{trust if why else 'it does not speak TLS as this machine does'}; {place}"
        case socket.gaierror() | ConnectionRefusedError() if proxy:
            return f"the proxy in {proxy} cannot be reached; correct {proxy}, or unset it"
        case socket.gaierror():
            return f"its name cannot be resolved; {place} and the DNS"
        case ConnectionRefusedError():
            return f"it refused the connection; is it running? If so, {place}"
        case OSError() if is_scarce(error):
            return cause(error, place)
        case _:
            return None


def _error_chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the errors behind it."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):  # one for each of the host's addresses
            for one in error.exceptions:
                yield from _error_chain(one)
        error = error.__cause__ or error.__context__


def read_fault(response: httpx2.Response) -> CallFault:
    """The status, and the fields of the body if it is an API error."""
    try:
        body = read_json(response.content)
    except ValueError:
        body = None
    error = body.get("error") if isinstance(body, dict) else None
    own = _is_own(body, response.headers)
    # An error next to a container or a deletion contradicts itself: it is not an API error.
    if not isinstance(error, dict) or SUCCESS_FIELDS & body.keys():
        return CallFault(response.status_code, own=own)
    return CallFault(
        response.status_code,
        code=_text(error, "code"),
        type=_text(error, "type"),
        message=_text(error, "message"),
        proper=bool(_text(error, "type") and _text(error, "message")),
        own=own,
    )


def _from_fault(fault: CallFault, endpoint: Endpoint, subject: str) -> AccessError | DriverError:
    """What a failed answer means, by its status: the project stops, or only this call failed."""
    status = fault.status
    match status:
        case 401 | 403:
            return _access(fault, endpoint)
        case 429 if "insufficient_quota" in (fault.code, fault.type):
            return _quota(endpoint)
        case 404:
            return _not_found(fault, endpoint, subject)
        case _ if status in PASSING or httpx2.codes.is_server_error(status):
            return TransientError(
                f"{subject}: the server cannot answer now ({fault}); retried by a later sweep",
                status=status,
            )
        case _ if _is_busy(fault):
            return BusyError(
                f"{subject}: in use ({fault}); kept until a later sweep", status=status
            )
        case _:
            return RefusedError(
                f"{subject}: the server refused the call ({fault}); kept", status=status
            )


def _not_found(fault: CallFault, endpoint: Endpoint, subject: str) -> DriverError:
    status = fault.status
    if fault.proper or (fault.own and endpoint.not_found is NotFound.ANY_JSON):
        return GoneError(f"{subject}: the server does not know it ({fault})", status=status)
    own = (
        ". If that is how this server answers for an unknown id, set "
        f"projects.{endpoint.name}.not_found: any_json"
    )
    return BareGoneError(
        f"{subject}: a 404 that is not from the API; kept. Check base_url of project "
        f"{endpoint.name} and any gateway in front of {endpoint.host}{own if fault.own else ''}",
        status=status,
    )


def _is_own(body: object, headers: Mapping[str, str]) -> bool:
    """Whether a body looks like an application's own JSON object rather than a gateway's."""
    if not isinstance(body, dict) or not body or "json" not in headers.get("content-type", ""):
        return False
    message = body.get("message")
    by_route = isinstance(message, str) and message.strip(" .").lower() in GATEWAYS
    by_gateway = by_route or "fault" in body or {"timestamp", "path", "status"} <= body.keys()
    return not by_gateway and not SUCCESS_FIELDS & body.keys()


def _is_busy(fault: CallFault) -> bool:
    if fault.status == httpx2.codes.BAD_REQUEST:
        return fault.code == "conversation_locked" or bool(ACTIVE_RUN.search(fault.message))
    return fault.status == httpx2.codes.CONFLICT


def _access(fault: CallFault, endpoint: Endpoint) -> AccessError:
    return AccessError(
        f"project {endpoint.name}: {endpoint.host} refused the credential ({fault}). The project "
        "is stopped and nothing more is removed. Check api_key, organization, project and "
        f"base_url under projects.{endpoint.name}, then run: janitor plan"
    )


def _quota(endpoint: Endpoint) -> AccessError:
    return AccessError(
        f"project {endpoint.name}: {endpoint.host} answers 429 insufficient_quota, which waiting "
        "does not fix. The project is stopped and nothing more is removed. Fix the account's "
        "billing, then run: janitor plan"
    )


def _text(error: dict[str, Any], key: str) -> str:
    value = error.get(key)
    return value if isinstance(value, str) else ""


SUCCESS = frozenset({200, 201})
REQUEST_ID = re.compile(r"[!-~]{1,200}")

Query = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON object that the server answered with, and the server's id of the request."""

    body: Body
    request_id: str | None


class Api:
    """The calls of one project over one client, which is made for the first call.

    Paths are relative to the endpoint's base URL; `subject` names the container in errors. Each
    call raises `AccessError`, a `DriverError`, or what the transport raises as a `JanitorError`.
    """

    def __init__(
        self, new_client: Callable[[], AsyncOpenAI], endpoint: Endpoint, budget: Budget
    ) -> None:
        self._new_client = new_client
        self._budget = budget
        self.endpoint = endpoint

    @cached_property
    def _client(self) -> AsyncOpenAI:
        return self._new_client()

    def share(self, subject: str) -> Share:
        """Memory for an answer with items; given back at the end of a `with`."""
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
                raise failure(error, endpoint=self.endpoint, subject=subject) from error
            raised = error.__cause__
        # The SDK reports whatever its transport raises as a broken connection. If this were raised
        # while that one is handled, the two would reference each other and keep all that was read.
        raised.__context__ = None
        raise raised


def read_reply(response: httpx2.Response, subject: str) -> Reply:
    """The object in an answer that the server calls a success.

    Raises `RefusedError` unless the status is 200 or 201 and the body is one JSON object that can
    be read in only one way. "Accepted" (202) or a partial answer (206) proves nothing.
    """
    status = response.status_code
    if status not in SUCCESS:
        raise RefusedError(
            f"{subject}: HTTP {status} does not confirm the call; kept",
            status=status,
        )
    try:
        body = read_json(response.content)
    except ContradictionError as error:
        raise RefusedError(
            f"{subject}: HTTP {status} with an ambiguous body: {error}; kept",
            status=status,
        ) from None
    except ValueError:
        raise RefusedError(
            f"{subject}: HTTP {status} with a body that is not JSON; kept", status=status
        ) from None
    if not isinstance(body, dict):
        raise RefusedError(f"{subject}: HTTP {status} without an object; kept", status=status)
    request_id = response.headers.get("x-request-id", "")
    return Reply(body, request_id if REQUEST_ID.fullmatch(request_id) else None)
