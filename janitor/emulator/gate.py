"""The door under `/v1`: from a request on the wire to an answer on the wire."""

from __future__ import annotations

import asyncio
import socket
import struct
from email.utils import format_datetime
from urllib.parse import parse_qsl

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from janitor.emulator import strikes
from janitor.emulator.faults import Fault, How
from janitor.emulator.log import Entry
from janitor.emulator.site import BASE, Answer, Asked, Site, table_of


class Gate:
    """The ASGI application of one site's API."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the request, carry it out or let it go wrong, and answer."""
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

    def _asked(self, scope: Scope, raw: bytes) -> Asked:
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
        return Asked(entry, route, params, query, key, headers.get(b"openai-beta", ""), raw)

    def _log(self, method: str, path: str, key: str | None) -> Entry:
        site = self._site
        project = site.keys.get(key) if key is not None else None
        with site.world.lock:
            order = len(site.log.entries) + 1
            entry = Entry(order, site.world.clock.now(), method, path, project, "", "")
            site.log.entries.append(entry)
        return entry

    async def _answer(self, asked: Asked, fault: Fault | None) -> Answer:
        if fault is None:
            return self._site.perform(asked)
        asked.entry.fault = How(fault.how).value
        if fault.delay:
            await asyncio.sleep(fault.delay)
        return strikes.answer(fault, asked, self._site.perform)

    def _response(self, entry: Entry, answer: Answer) -> Response:
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
    """The API key; Azure's clients send it under a header of its own."""
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
