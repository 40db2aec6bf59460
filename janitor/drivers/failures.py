"""One mapping from what the SDK raises to what a person or a later sweep does about it."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from openai import APIConnectionError, APIStatusError

from janitor.causes import cause, is_scarce
from janitor.drivers.answers import LIVING, read_json
from janitor.drivers.endpoint import Endpoint
from janitor.drivers.environment import proxy_variable
from janitor.errors import (
    AccessError,
    BareGoneError,
    BusyError,
    DriverError,
    GoneError,
    RefusedError,
    TransientError,
)
from janitor.model import NotFound

ACTIVE_RUN = re.compile(r"\bactive run\b|\brun\b.*\bactive\b", re.IGNORECASE | re.DOTALL)
SAFE_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
PASSING = frozenset({408, 429})
SUCCESS_FIELDS = LIVING | {"id", "deleted"}
LONGEST_WAIT = timedelta(days=365)
GATEWAYS = frozenset(
    {
        "no route matched with those values",  # Kong
        "not found",  # Amazon API Gateway
        "resource not found",  # Azure API Management
        "no matching route",
    }
)
"""What gateways say as `message` of a request that they do not pass on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that is no success; `proper` when its body is an API error and not a gateway's.

    `own` when its body is a JSON object that an application may have written, in a form of its own.
    """

    status: int
    headers: Mapping[str, str]
    code: str = ""
    type: str = ""
    message: str = ""
    proper: bool = False
    own: bool = False

    def __str__(self) -> str:
        named = [token for token in (self.type, self.code) if SAFE_TOKEN.fullmatch(token)]
        return " ".join([f"HTTP {self.status}", *named])


def failure(
    error: Exception, *, endpoint: Endpoint, subject: str, now: datetime
) -> AccessError | DriverError:
    """The error to raise instead of `error`.

    `subject` names the container for people; `now` dates a `Retry-After` that is a date. The
    message carries status, code and type at most: the server's sentences may quote conversations.
    """
    match error:
        case APIStatusError(response=response):
            return _from_fault(read_fault(response), endpoint, subject, now)
        case APIConnectionError() if isinstance(error.__cause__, httpx2.DecodingError):
            return RefusedError(f"{subject}: the answer cannot be decoded; kept")
        case APIConnectionError() | httpx2.TransportError() | OSError():
            why = _silence(error, endpoint)
            return TransientError(
                f"{subject}: no answer from {endpoint.host}: {why}; tried again at a later sweep"
            )
        case _:
            return RefusedError(
                f"{subject}: the call failed in a way nobody expects ({type(error).__name__}); kept"
            )


def _silence(error: Exception, endpoint: Endpoint) -> str:
    """Why there was no answer; the transport calls much a time-out that has a cause of its own."""
    behind = list(_behind(error))
    place = f"check base_url of project {endpoint.name}"
    proxy = proxy_variable(endpoint.azure_endpoint or endpoint.base_url)
    for why in filter(None, (_cause(found, place, proxy) for found in behind)):
        return why
    is_late = any(isinstance(one, httpx2.TimeoutException | TimeoutError) for one in behind)
    return f"none came within {endpoint.timeout:g} s" if is_late else "the connection broke"


def _cause(error: BaseException, place: str, proxy: str | None) -> str | None:
    match error:
        case ssl.SSLError():
            why = getattr(error, "verify_message", None)
            trust = f"its certificate is not trusted here ({why})"
            return f"{trust if why else 'it does not speak TLS as this machine does'}; {place}"
        case socket.gaierror() | ConnectionRefusedError() if proxy:
            return f"the proxy in {proxy} is not there; correct {proxy}, or unset it"
        case socket.gaierror():
            return f"its name is not known; {place} and the DNS"
        case ConnectionRefusedError():
            return f"it refused the connection; is it running? If so, {place}"
        case OSError() if is_scarce(error):
            return cause(error, place)
        case _:
            return None


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that led to it."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):  # one for each of the host's addresses
            for one in error.exceptions:
                yield from _behind(one)
        error = error.__cause__ or error.__context__


def read_fault(response: httpx2.Response) -> Fault:
    """The status, and what the body says where it is an API error."""
    try:
        body = read_json(response.content)
    except ValueError:
        body = None
    error = body.get("error") if isinstance(body, dict) else None
    own = _is_own(body, response.headers)
    # What shows a container or a deletion beside its error contradicts itself: no API's error.
    if not isinstance(error, dict) or SUCCESS_FIELDS & body.keys():
        return Fault(response.status_code, response.headers, own=own)
    return Fault(
        response.status_code,
        response.headers,
        code=_text(error, "code"),
        type=_text(error, "type"),
        message=_text(error, "message"),
        proper=bool(_text(error, "type") and _text(error, "message")),
        own=own,
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long the server asks to wait: seconds or an HTTP date; `None` where it says nothing."""
    value = headers.get("retry-after", "")
    try:
        wait = timedelta(seconds=float(value))
    except OverflowError:
        return None
    except ValueError:
        wait = _until(value, now)
    return wait if timedelta(0) <= wait <= LONGEST_WAIT else None


def _from_fault(
    fault: Fault, endpoint: Endpoint, subject: str, now: datetime
) -> AccessError | DriverError:
    match fault.status:
        case 401 | 403:
            return _access(fault, endpoint)
        case 429 if "insufficient_quota" in (fault.code, fault.type):
            return _quota(endpoint)
        case 404:
            return _not_found(fault, endpoint, subject)
        case _:
            return _of_this_call(fault, subject, now)


def _not_found(fault: Fault, endpoint: Endpoint, subject: str) -> DriverError:
    status = fault.status
    if fault.proper or (fault.own and endpoint.not_found is NotFound.ANY_JSON):
        return GoneError(f"{subject}: the server does not know it ({fault})", status=status)
    own = (
        ". If that is how this server says that it does not know an id: "
        f"projects.{endpoint.name}.not_found: any_json"
    )
    return BareGoneError(
        f"{subject}: a 404 that is not the API's; kept. Check base_url of project "
        f"{endpoint.name} and what stands in front of {endpoint.host}{own if fault.own else ''}",
        status=status,
    )


def _is_own(body: object, headers: Mapping[str, str]) -> bool:
    """Whether a body is an application's JSON object, as far as can be told from a gateway's."""
    if not isinstance(body, dict) or not body or "json" not in headers.get("content-type", ""):
        return False
    said = body.get("message")
    by_route = isinstance(said, str) and said.strip(" .").lower() in GATEWAYS
    by_gateway = by_route or "fault" in body or {"timestamp", "path", "status"} <= body.keys()
    return not by_gateway and not SUCCESS_FIELDS & body.keys()


def _of_this_call(fault: Fault, subject: str, now: datetime) -> DriverError:
    status = fault.status
    if status in PASSING or httpx2.codes.is_server_error(status):
        return TransientError(
            f"{subject}: the server cannot answer now ({fault}); tried again at a later sweep",
            status=status,
            retry_after=retry_after(fault.headers, now),
        )
    if _is_busy(fault):
        return BusyError(f"{subject}: in use ({fault}); kept until a later sweep", status=status)
    return RefusedError(f"{subject}: the server refused the call ({fault}); kept", status=status)


def _is_busy(fault: Fault) -> bool:
    if fault.status == httpx2.codes.BAD_REQUEST:
        return fault.code == "conversation_locked" or bool(ACTIVE_RUN.search(fault.message))
    return fault.status == httpx2.codes.CONFLICT


def _access(fault: Fault, endpoint: Endpoint) -> AccessError:
    return AccessError(
        f"project {endpoint.name}: {endpoint.host} refused the credential ({fault}). The project "
        f"stops and nothing more is removed. Check api_key, organization, project and base_url "
        f"under projects.{endpoint.name}, then run: janitor plan"
    )


def _quota(endpoint: Endpoint) -> AccessError:
    return AccessError(
        f"project {endpoint.name}: {endpoint.host} answers 429 insufficient_quota, which waiting "
        "does not cure. The project stops and nothing more is removed. Settle the account's "
        "billing, then run: janitor plan"
    )


def _until(value: str, now: datetime) -> timedelta:
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return timedelta.max
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(aware - now, timedelta(0))


def _text(error: dict[str, Any], key: str) -> str:
    value = error.get(key)
    return value if isinstance(value, str) else ""
