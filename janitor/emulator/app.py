"""One emulated server, from HTTP request to HTTP answer, and its faults."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from functools import cached_property
from typing import assert_never
from urllib.parse import parse_qsl

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from janitor.emulator import responses
from janitor.emulator.errors import (
    ApiError,
    Json,
    beta_required,
    invalid,
    not_allowed,
    unauthorized,
    unknown_path,
)
from janitor.emulator.faults import Fault, Faults, How
from janitor.emulator.kind import emulated
from janitor.emulator.limits import Quota
from janitor.emulator.routes import Route, RoutedCall, Table
from janitor.emulator.state import Log, LogEntry, World, deleted
from janitor.kinds import CATALOGUE, Kind

BASE = "/v1"
KINDS = tuple(emulated(kind) for kind in Kind)
TABLE = Table((*responses.ROUTES, *(route for kind in KINDS for route in kind.routes)))
WIDER = Table((*TABLE.routes, *(kind.list_route() for kind in KINDS if not kind.trait.listable)))
"""With the lists that the API does not have, for a server that has them."""


def table_of(world: World) -> Table:
    """The calls that the server has."""
    return WIDER if world.lists_all else TABLE


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """What goes back: `content` as JSON, or as it is if it is text or bytes."""

    status: int
    content: object
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WireRequest:
    """A request as it came in; `betas` is its `OpenAI-Beta` header."""

    entry: LogEntry
    route: Route | None
    params: Mapping[str, str]
    query: Mapping[str, str]
    key: str | None
    betas: str
    raw: bytes

    @cached_property
    def body(self) -> Json:
        """The JSON object that was sent."""
        if not self.raw:
            return {}
        try:
            body = orjson.loads(self.raw)
        except orjson.JSONDecodeError as error:
            raise invalid("We could not parse the JSON body of your request.") from error
        if not isinstance(body, dict):
            raise invalid("The body of your request must be a JSON object.")
        return body


@dataclass(slots=True)
class Site:
    """One emulated server: what it holds, who may call it, and what was requested."""

    world: World
    keys: Mapping[str, str]
    quota: Quota
    latency: float = 0.0
    faults: Faults = field(default_factory=Faults)
    log: Log = field(default_factory=Log)

    def perform(self, asked: WireRequest) -> WireAnswer:
        """Carry the request out as the API would."""
        headers: dict[str, str] = {}
        with self.world.lock:
            try:
                content = self._perform(asked, headers)
            except ApiError as error:
                return WireAnswer(error.status, error.body, headers)
        return WireAnswer(200, content, headers)

    def _perform(self, asked: WireRequest, headers: dict[str, str]) -> Json | str:
        project, entry = asked.entry.project, asked.entry
        if project is None:
            raise unauthorized(asked.key)
        told, refusal = self.quota.take(project, entry.method)
        headers |= told
        if refusal is not None:
            raise refusal
        route = _allowed(asked)
        content = route.handler(
            RoutedCall(self.world, project, asked.params, asked.query, asked.body)
        )
        if entry.method == "DELETE":
            self.log.deletes[entry.id] += 1
        if isinstance(content, str):
            headers["content-type"] = "text/event-stream"
        return content


def _allowed(asked: WireRequest) -> Route:
    route = asked.route
    if route is None:
        method, path = asked.entry.method, asked.entry.path
        wrong = not_allowed if TABLE.methods(path) else unknown_path
        raise wrong(method, BASE + path)
    if route.beta is not None and route.beta not in asked.betas:
        raise beta_required(route.beta)
    if asked.body.get("stream") and route.kind != "response":
        raise invalid("The emulator streams nothing but responses.", param="stream")
    return route


HTML = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>"
GZIP_TRAILER = 8

Perform = Callable[[WireRequest], WireAnswer]


def answer(fault: Fault, asked: WireRequest, perform: Perform) -> WireAnswer:
    """The faulty answer to a request, which is carried out first if the fault says so."""
    match how := How(fault.how):
        case How.STATUS | How.EMPTY_OBJECT | How.NULL | How.HTML | How.LOCKED:
            _carried_out(fault, asked, perform)
            return _instead(how, fault, asked)
        case How.IGNORE_AFTER | How.ENDS_EARLY:
            return _mispaged(how, asked, perform)
        case How.ACKNOWLEDGED:
            return _acknowledged(asked, perform)
        case How.DRESSED:
            true = _believed(fault, asked, perform)
            status = fault.status or true.status
            return replace(true, status=status, headers={**true.headers, **fault.headers})
        case (
            How.TRUNCATED
            | How.CUT_BODY
            | How.NO_LAST_ID
            | How.DELETED_FALSE
            | How.WRONG_ID
            | How.REPEATED
            | How.NOT_UTF8
            | How.HUGE
            | How.DUPLICATE_KEYS
            | How.WITH_ERROR
            | How.NEVER_ENDS
            | How.CUT_GZIP
            | How.BOMB
            | How.NESTED
            | How.LONG_NUMBER
        ):
            return _changed(how, fault, _believed(fault, asked, perform))
        case How.RESET | How.HANG | How.DELAY:
            return _carried_out(fault, asked, perform)
        case _:
            assert_never(how)


def _mispaged(how: How, asked: WireRequest, perform: Perform) -> WireAnswer:
    """Always the first page; or a page of a list asked for oldest first, marked as the last."""
    if how is How.IGNORE_AFTER:
        query = {name: value for name, value in asked.query.items() if name != "after"}
        return perform(replace(asked, query=query))
    true = perform(asked)
    if asked.query.get("order") != "asc" or not isinstance(true.content, dict):
        return true
    return replace(true, content=true.content | {"has_more": False})


def _carried_out(fault: Fault, asked: WireRequest, perform: Perform) -> WireAnswer:
    """The true answer if the call is to be carried out, else an empty one and nothing done."""
    if fault.applied or How(fault.how) is How.DELAY:
        return perform(asked)
    return WireAnswer(200, {})


def _believed(fault: Fault, asked: WireRequest, perform: Perform) -> WireAnswer:
    """The true answer; a DELETE that is not to be carried out is only acknowledged."""
    return perform(asked) if fault.applied else _acknowledged(asked, perform)


def _acknowledged(asked: WireRequest, perform: Perform) -> WireAnswer:
    """The answer of a success, without any deletion."""
    if asked.entry.method != "DELETE":
        return perform(asked)
    trait = CATALOGUE[_kind(asked)]
    if asked.entry.call == "items.delete" and trait.item_delete_returns_container:
        path = f"{trait.path}/{asked.params['id']}"
        route, params = TABLE.find("GET", path) or (None, {})
        entry = replace(asked.entry, method="GET")
        return perform(replace(asked, entry=entry, route=route, params=params))
    return WireAnswer(200, deleted(asked.entry.id, trait.noun))


def _kind(asked: WireRequest) -> Kind:
    """The kind that a call is about; a response is about the conversation that it writes to."""
    return Kind(asked.entry.kind) if asked.entry.kind in set(Kind) else responses.WRITES_TO


def _instead(how: How, fault: Fault, asked: WireRequest) -> WireAnswer:
    status = fault.status or 200
    match how:
        case How.EMPTY_OBJECT:
            return WireAnswer(status, {}, fault.headers)
        case How.NULL:
            return WireAnswer(status, None, fault.headers)
        case How.HTML:
            return WireAnswer(status, HTML, {"content-type": "text/html", **fault.headers})
        case How.LOCKED:
            error = emulated(_kind(asked)).locked(asked.params.get("id", ""))
            return WireAnswer(error.status, error.body, fault.headers)
        case _:
            return _status(fault)


def _status(fault: Fault) -> WireAnswer:
    status = fault.status or 500
    if fault.body is not None:
        return WireAnswer(status, fault.body, fault.headers)
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
    error = ApiError(status, "The server had an error while processing your request.", type=kind)
    return WireAnswer(status, error.body, fault.headers)


def _changed(how: How, fault: Fault, true: WireAnswer) -> WireAnswer:
    if not isinstance(true.content, dict):
        return true
    content: Json = true.content
    match how:
        case How.CUT_BODY | How.NOT_UTF8 | How.DUPLICATE_KEYS | How.NESTED | How.LONG_NUMBER:
            return replace(true, content=_respelled(how, fault, content))
        case How.TRUNCATED:
            return replace(true, content=_halved(content))
        case How.CUT_GZIP | How.BOMB:
            headers = {**true.headers, "content-encoding": "gzip"}
            return WireAnswer(true.status, _packed(how, fault, content), headers)
        case _:
            return replace(true, content=content | _instead_of(how, fault, content))


def _packed(how: How, fault: Fault, content: Json) -> bytes:
    if how is How.BOMB:
        return gzip.compress(_padded(how, fault, content))
    return gzip.compress(orjson.dumps(content))[:-GZIP_TRAILER]


def _padded(how: How, fault: Fault, content: Json) -> bytes:
    """The JSON of the true answer, after one more field."""
    padding = {
        How.BOMB: b"[" + b"[]," * fault.padding + b"[]]",
        How.NESTED: b"[" * fault.padding + b"]" * fault.padding,
        How.LONG_NUMBER: b"9" * fault.padding,
    }
    return b'{"padding":' + padding[how] + b"," + orjson.dumps(content)[1:]


def _respelled(how: How, fault: Fault, content: Json) -> bytes:
    """The JSON of the true answer, corrupted."""
    if how in {How.NESTED, How.LONG_NUMBER}:
        return _padded(how, fault, content)
    whole = orjson.dumps(content)
    if how is How.CUT_BODY:
        return whole[: len(whole) // 2]
    if how is How.NOT_UTF8:
        return whole[:-1] + b',"byte":"\xff"}'
    return orjson.dumps(dict.fromkeys(content))[:-1] + b"," + whole[1:]


def _instead_of(how: How, fault: Fault, content: Json) -> Json:
    """The fields that are sent instead of those of the true answer."""
    data = content.get("data", [])
    fields: dict[How, Json] = {
        How.NO_LAST_ID: {"has_more": True, "last_id": None},
        How.DELETED_FALSE: {"deleted": False},
        How.WRONG_ID: {"id": f"{content.get('id')}0"},
        How.REPEATED: {"data": [*data, *data[-1:]]},
        How.NEVER_ENDS: {"has_more": True},
        How.WITH_ERROR: {"error": {"message": "Something.", "type": "server_error"}},
        How.HUGE: {"padding": "x" * fault.padding},
    }
    return fields[how]


def _halved(page: Json) -> Json:
    data = page.get("data", [])
    kept = data[: len(data) // 2]
    last = kept[-1]["id"] if kept else None
    return page | {"data": kept, "last_id": last, "has_more": False}


class WireGate:
    """The ASGI application of one site's API."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the request, carry it out or apply a fault, and answer."""
        asked = self._asked(scope, await _body(receive))
        if self._site.latency:
            await asyncio.sleep(self._site.latency)
        with self._site.world.lock:
            fault = self._site.faults.pick(asked.entry)
        answer = await self._answer(asked, fault)
        if fault is not None and not await _sendable(fault, scope, receive):
            return
        asked.entry.status = answer.status
        await self._response(asked.entry, answer)(scope, receive, send)

    def _asked(self, scope: Scope, raw: bytes) -> WireRequest:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        key = _key(headers)
        path, method = scope["path"][len(BASE) :], scope["method"]
        route, params = table_of(self._site.world).find(method, path) or (None, {})
        entry = self._log(method, path, key)
        if route is not None:
            entry.kind, entry.call = route.kind, route.call
        if method == "DELETE":
            entry.id = params.get("item") or params.get("id", "")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        return WireRequest(entry, route, params, query, key, headers.get(b"openai-beta", ""), raw)

    def _log(self, method: str, path: str, key: str | None) -> LogEntry:
        site = self._site
        project = site.keys.get(key) if key is not None else None
        with site.world.lock:
            order = len(site.log.entries) + 1
            entry = LogEntry(order, site.world.clock.now(), method, path, project, "", "")
            site.log.entries.append(entry)
        return entry

    async def _answer(self, asked: WireRequest, fault: Fault | None) -> WireAnswer:
        if fault is None:
            return self._site.perform(asked)
        asked.entry.fault = How(fault.how).value
        if fault.delay:
            await asyncio.sleep(fault.delay)
        return answer(fault, asked, self._site.perform)

    def _response(self, entry: LogEntry, answer: WireAnswer) -> Response:
        headers = {
            "date": format_datetime(self._site.world.clock.now(), usegmt=True),
            "x-request-id": f"req_{entry.order:032x}",
            "content-type": "application/json",
            **answer.headers,
        }
        content = answer.content
        body = content if isinstance(content, (bytes, str)) else orjson.dumps(content)
        return Response(body, answer.status, headers)


def _key(headers: dict[bytes, str]) -> str | None:
    """The API key; Azure's clients send it in a header of their own."""
    scheme, _, key = headers.get(b"authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key
    return headers.get(b"api-key")


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _sendable(fault: Fault, scope: Scope, receive: Receive) -> bool:
    """Whether an answer goes out; otherwise wait until the connection is gone."""
    how = How(fault.how)
    if how not in {How.RESET, How.HANG}:
        return True
    if how is How.RESET:
        _reset(scope["state"]["transport"])
    while (await receive())["type"] != "http.disconnect":
        pass
    return False


def _reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN, as a crashed server or a firewall does."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
