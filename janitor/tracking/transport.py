"""The transport that a tracked client's requests pass on their way to the client's own."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import httpx2

from janitor.tracking.calls import Call
from janitor.tracking.replies import Decode, Reading
from janitor.tracking.watch import Asked, Passing, Watch

DIGESTS = frozenset({b"content-md5", b"digest", b"content-digest", b"x-amz-content-sha256"})


class Connections:
    """The HTTP client that a tracked one shares its connections with.

    It is closed with the tracked one where nobody holds the SDK's client that it came from, as in
    `track(OpenAI(), ...)`, nor a tracked one in between; else whoever holds that closes it.
    """

    def __init__(self, http: Any, *holders: object) -> None:  # noqa: ANN401  sync or async alike
        self._http = http
        self.are_async = isinstance(http, httpx2.AsyncClient)
        self._holders = [weakref.ref(one) for one in holders]

    def also_held_by(self, tracked: object) -> Connections:
        """The same for a client that is made from a tracked one."""
        alive = [one for holder in self._holders if (one := holder()) is not None]
        return Connections(self._http, *alive, tracked)

    @property
    def _are_held(self) -> bool:
        return any(holder() is not None for holder in self._holders)

    def close(self) -> None:
        """Close it where nobody else will."""
        if not self._are_held:
            self._http.close()

    async def aclose(self) -> None:
        """Close it where nobody else will."""
        if not self._are_held:
            await self._http.aclose()


class WatchedTransport(httpx2.BaseTransport):
    """Hands requests to the inner transport and lets the watch see them; it does not own it."""

    def __init__(self, inner: httpx2.BaseTransport, watch: Watch, connections: Connections) -> None:
        self._inner = inner
        self._watch = watch
        self._connections = connections

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """What the inner transport answers; its stream is looked at while it is read."""
        asked, sent = _asked(self._watch, request)
        if asked is None:
            return self._inner.handle_request(sent)
        try:
            response = self._inner.handle_request(sent)
        except BaseException:
            _answered(self._watch, asked, None)
            raise
        passing = _answered(self._watch, asked, response)
        if passing is not None and isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _Stream(response.stream, passing)
        return response

    def close(self) -> None:
        """Close the client that this was made from, unless it is still held."""
        self._connections.close()


class AsyncWatchedTransport(httpx2.AsyncBaseTransport):
    """The same for clients on an event loop, which is never blocked."""

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, watch: Watch, connections: Connections
    ) -> None:
        self._inner = inner
        self._watch = watch
        self._connections = connections

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """What the inner transport answers; its stream is looked at while it is read."""
        asked, sent = _asked(self._watch, request)
        if asked is None:
            return await self._inner.handle_async_request(sent)
        try:
            response = await self._inner.handle_async_request(sent)
        except BaseException:
            _answered(self._watch, asked, None)
            raise
        passing = _answered(self._watch, asked, response)
        if passing is not None and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _AsyncStream(response.stream, passing)
        return response

    async def aclose(self) -> None:
        """Close the client that this was made from, unless it is still held."""
        await self._connections.aclose()


def watched(inner: Any, watch: Watch, connections: Connections) -> Any:  # noqa: ANN401  likewise
    """A transport on the way to `inner`, in the place of one that tells the same registry."""
    kind = AsyncWatchedTransport if connections.are_async else WatchedTransport
    return kind(_without(inner, watch), watch, connections)


def _without(transport: Any, watch: Watch) -> Any:  # noqa: ANN401  likewise
    if not isinstance(transport, WatchedTransport | AsyncWatchedTransport):
        return transport
    inner = _without(transport._inner, watch)
    if transport._watch.tells_the_same(watch):
        return inner
    return type(transport)(inner, transport._watch, transport._connections)


class _Stream(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, passing: Passing) -> None:
        self._inner = inner
        self._passing = passing

    def __iter__(self) -> Iterator[bytes]:
        for raw in self._inner:
            self._passing.feed(raw)
            yield raw
        self._passing.end()

    def close(self) -> None:
        self._passing.end()
        self._inner.close()


class _AsyncStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, passing: Passing) -> None:
        self._inner = inner
        self._passing = passing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = self._inner.__aiter__()
        try:
            async for raw in stream:
                self._passing.feed(raw)
                yield raw
            self._passing.end()
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def aclose(self) -> None:
        self._passing.end()
        await self._inner.aclose()


def _asked(watch: Watch, request: httpx2.Request) -> tuple[Asked | None, httpx2.Request]:
    """What a request is about, and the request to be sent in its place."""
    path = request.url.raw_path.decode("ascii", "replace")
    asked = watch.asked(request.method, path, lambda: _body(request))
    if asked is None or asked.body is None or _is_signed(request):
        return asked, request
    # A stream has its headers left as they are, which also costs a fraction of `content=`.
    sent = httpx2.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=httpx2.ByteStream(asked.body),
        extensions=request.extensions,
    )
    sent.headers["content-length"] = str(len(asked.body))
    sent.read()
    return asked, sent


def _body(request: httpx2.Request) -> bytes | None:
    """The body where it is in memory; a stream is left alone."""
    if "content-encoding" in request.headers:
        return None
    try:
        return request.content
    except httpx2.RequestNotRead:
        return None


def _is_signed(request: httpx2.Request) -> bool:
    """Whether the body is part of a signature, so that nothing may be added to it."""
    said = _said(request.headers)
    return said.get(b"authorization", b"").startswith(b"AWS4-") or not DIGESTS.isdisjoint(said)


def _said(headers: httpx2.Headers) -> dict[bytes, bytes]:
    """The headers by their names in lower case: asking for one after the other costs far more."""
    return {name.lower(): value for name, value in headers.raw}


def _answered(watch: Watch, asked: Asked, response: httpx2.Response | None) -> Passing | None:
    """What of the answer is to be looked at as it passes."""
    if response is None:
        watch.answered(asked, None, lambda call: Reading(call, is_stream=False, decode=_whole))
        return None
    passing = watch.answered(asked, response.status_code, lambda call: _reading(call, response))
    content = _content(response)
    if passing is None or content is None:
        return passing
    passing.feed(content)
    passing.end()
    return None


def _content(response: httpx2.Response) -> bytes | None:
    """The whole answer, decoded, where an inner transport has read it."""
    try:
        return response.content
    except httpx2.ResponseNotRead:
        return None


def _reading(call: Call, response: httpx2.Response) -> Reading:
    said = _said(response.headers)
    decode: Decode = _whole
    if b"content-encoding" in said and _content(response) is None:
        # A decoder of its own: the response's has a state, and is the application's.
        decode = httpx2.Response(200, headers=response.headers)._get_content_decoder().decode
    length = said.get(b"content-length", b"")
    return Reading(
        call,
        is_stream=said.get(b"content-type", b"").startswith(b"text/event-stream"),
        decode=decode,
        length=int(length) if length.isdigit() else None,
    )


def _whole(raw: bytes) -> tuple[bytes, ...]:
    return (raw,)
