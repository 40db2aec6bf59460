"""The transport that a tracked client's requests pass on their way to the client's own."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import httpx2

from janitor.tracking.calls import Call, Decode, ReplyReader
from janitor.tracking.observer import CallObserver, InFlight, TrackedRequest

DIGESTS = frozenset({b"content-md5", b"digest", b"content-digest", b"x-amz-content-sha256"})


class Connections:
    """The HTTP client that a tracked one shares its connections with.

    It is closed with the tracked one if nobody holds the SDK's client that it came from, as in
    `track(OpenAI(), ...)`, or a tracked one in between. Otherwise whoever holds that closes it.
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
        """Close it if nobody else will."""
        if not self._are_held:
            self._http.close()

    async def aclose(self) -> None:
        """Close it if nobody else will."""
        if not self._are_held:
            await self._http.aclose()


class WatchedTransport(httpx2.BaseTransport):
    """Hands requests to the inner transport and lets the observer see them; it does not own it."""

    def __init__(
        self, inner: httpx2.BaseTransport, observer: CallObserver, connections: Connections
    ) -> None:
        self._inner = inner
        self._observer = observer
        self._connections = connections

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the inner transport's answer; its stream is observed while it is read."""
        tracked, sent = _on_request(self._observer, request)
        if tracked is None:
            return self._inner.handle_request(sent)
        try:
            response = self._inner.handle_request(sent)
        except BaseException:
            _on_response(self._observer, tracked, None)
            raise
        passing = _on_response(self._observer, tracked, response)
        if passing is not None and isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _Stream(response.stream, passing)
        return response

    def close(self) -> None:
        """Close the client that this was made from, unless it is still held."""
        self._connections.close()


class AsyncWatchedTransport(httpx2.AsyncBaseTransport):
    """The same for async clients; never blocks the event loop."""

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, observer: CallObserver, connections: Connections
    ) -> None:
        self._inner = inner
        self._observer = observer
        self._connections = connections

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the inner transport's answer; its stream is observed while it is read."""
        tracked, sent = _on_request(self._observer, request)
        if tracked is None:
            return await self._inner.handle_async_request(sent)
        try:
            response = await self._inner.handle_async_request(sent)
        except BaseException:
            _on_response(self._observer, tracked, None)
            raise
        passing = _on_response(self._observer, tracked, response)
        if passing is not None and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _AsyncStream(response.stream, passing)
        return response

    async def aclose(self) -> None:
        """Close the client that this was made from, unless it is still held."""
        await self._connections.aclose()


def watched(inner: Any, observer: CallObserver, connections: Connections) -> Any:  # noqa: ANN401  likewise
    """A transport around `inner`, replacing one that reports to the same registry."""
    kind = AsyncWatchedTransport if connections.are_async else WatchedTransport
    return kind(_without(inner, observer), observer, connections)


def _without(transport: Any, observer: CallObserver) -> Any:  # noqa: ANN401  likewise
    if not isinstance(transport, WatchedTransport | AsyncWatchedTransport):
        return transport
    inner = _without(transport._inner, observer)
    if transport._observer.tells_the_same(observer):
        return inner
    return type(transport)(inner, transport._observer, transport._connections)


class _Stream(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, passing: InFlight) -> None:
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
    def __init__(self, inner: httpx2.AsyncByteStream, passing: InFlight) -> None:
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


def _on_request(
    observer: CallObserver, request: httpx2.Request
) -> tuple[TrackedRequest | None, httpx2.Request]:
    """What a request is about, and the request to send in its place."""
    path = request.url.raw_path.decode("ascii", "replace")
    tracked = observer.on_request(request.method, path, lambda: _body(request))
    if tracked is None or tracked.body is None or _is_signed(request):
        return tracked, request
    # With `stream=` the headers stay as they are; it also costs a fraction of `content=`.
    sent = httpx2.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=httpx2.ByteStream(tracked.body),
        extensions=request.extensions,
    )
    sent.headers["content-length"] = str(len(tracked.body))
    sent.read()
    return tracked, sent


def _body(request: httpx2.Request) -> bytes | None:
    """The body if it is in memory and not encoded; a stream is left alone."""
    if "content-encoding" in request.headers:
        return None
    try:
        return request.content
    except httpx2.RequestNotRead:
        return None


def _is_signed(request: httpx2.Request) -> bool:
    """Whether the body is part of a signature, so that nothing may be added to it."""
    headers = _by_name(request.headers)
    return headers.get(b"authorization", b"").startswith(b"AWS4-") or not DIGESTS.isdisjoint(
        headers
    )


def _by_name(headers: httpx2.Headers) -> dict[bytes, bytes]:
    """The headers by lower-case name; asking `httpx2` for them one by one costs far more."""
    return {name.lower(): value for name, value in headers.raw}


def _on_response(
    observer: CallObserver, tracked: TrackedRequest, response: httpx2.Response | None
) -> InFlight | None:
    """Report an answer; returns a reader if its stream must be read as it passes."""
    if response is None:
        observer.on_response(
            tracked, None, lambda call: ReplyReader(call, is_stream=False, decode=_whole)
        )
        return None
    passing = observer.on_response(
        tracked, response.status_code, lambda call: _reading(call, response)
    )
    content = _content(response)
    if passing is None or content is None:
        return passing
    passing.feed(content)
    passing.end()
    return None


def _content(response: httpx2.Response) -> bytes | None:
    """The whole answer, decoded, if an inner transport has read it."""
    try:
        return response.content
    except httpx2.ResponseNotRead:
        return None


def _reading(call: Call, response: httpx2.Response) -> ReplyReader:
    headers = _by_name(response.headers)
    decode: Decode = _whole
    if b"content-encoding" in headers and _content(response) is None:
        # A separate decoder: the response's own is stateful and belongs to the application.
        decode = httpx2.Response(200, headers=response.headers)._get_content_decoder().decode
    length = headers.get(b"content-length", b"")
    return ReplyReader(
        call,
        is_stream=headers.get(b"content-type", b"").startswith(b"text/event-stream"),
        decode=decode,
        length=int(length) if length.isdigit() else None,
    )


def _whole(raw: bytes) -> tuple[bytes, ...]:
    return (raw,)
