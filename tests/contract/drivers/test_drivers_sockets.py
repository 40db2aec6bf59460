from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from container_server import ID, VERB_NAMES, VERBS, Act, delete, probe

from janitor.drivers import Endpoint
from janitor.drivers.connect import connect
from janitor.errors import (
    AccessError,
    BareGoneError,
    BusyError,
    JanitorError,
    RefusedError,
    TransientError,
)
from janitor.model import Kind

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(peer: Peer, asked: bytearray | None = None) -> AsyncIterator[Endpoint]:
    """A loopback server that hands each request to `peer` and then closes the connection.

    The heads of the requests are added to `asked`.
    """

    served: set[asyncio.Task[object] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.extend(head)
        await peer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Endpoint("main", "sk-x", base_url=f"http://127.0.0.1:{port}/v1", timeout=0.3)
    finally:
        server.close()
        await asyncio.gather(*(task for task in served if task))


def raised_by(kind: Kind, verb: Act, peer: Peer) -> JanitorError:
    async def main() -> None:
        async with listening(peer) as endpoint, connect(endpoint) as drivers:
            await verb(drivers[kind])

    with pytest.raises(JanitorError) as caught:
        asyncio.run(main())
    return caught.value


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"id":')
    await writer.drain()


async def stalls_in_the_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"id":')
    await reader.read()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    closed = asyncio.ensure_future(reader.read())
    while not closed.done():
        writer.write(b" ")
        await asyncio.wait([closed], timeout=0.1)


async def speaks_no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01 not http at all\r\n\r\n")
    await writer.drain()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "verb"), VERBS, ids=VERB_NAMES)
@pytest.mark.parametrize("peer", [resets, breaks_off])
def test_a_broken_connection_is_transient(kind: Kind, verb: Act, peer: Peer) -> None:
    assert type(raised_by(kind, verb, peer)) is TransientError


@pytest.mark.parametrize(("kind", "verb"), [(kind, delete) for kind in Kind])
@pytest.mark.parametrize("peer", [says_nothing, stalls_in_the_body])
def test_a_server_that_says_nothing_is_given_up(kind: Kind, verb: Act, peer: Peer) -> None:
    assert type(raised_by(kind, verb, peer)) is TransientError


def test_a_server_that_drips_is_given_up_in_the_end() -> None:
    assert type(raised_by(Kind.CONVERSATION, probe, drips)) is TransientError


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


FAR = 64 << 20


class Endless:
    """A peer that sends more and more after a head, and gives up `FAR` away."""

    def __init__(self, head: bytes, more: bytes) -> None:
        self.head, self.more, self.sent = head, more, 0

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.head)
        with suppress(ConnectionError):
            while not writer.is_closing() and self.sent < FAR:
                writer.write(self.more)
                self.sent += len(self.more)
                await writer.drain()


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


ENDLESS: dict[str, Endless] = {
    "a body": Endless(HEAD + b"\r\n", chunk(b" " * 50_000)),
    "a packed body": Endless(
        HEAD + b"Content-Encoding: gzip\r\n\r\n", chunk(gzip.compress(bytes(1 << 22)))
    ),
    "a packed body that holds nothing": Endless(
        HEAD + b"Content-Encoding: gzip\r\n\r\n", chunk(gzip.compress(b"") * 2000)
    ),
    "headers": Endless(HEAD, b"X-More: more\r\n" * 1000),
    "one header": Endless(HEAD + b"X-More: ", b"more" * 10_000),
    "what follows the chunks": Endless(HEAD + b"\r\n0\r\n", b"X-More: more\r\n" * 1000),
}


@pytest.mark.parametrize("peer", ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_not_read_for_ever(peer: Endless) -> None:
    """It ends by its size, long before its time is over."""

    async def main() -> None:
        async with listening(peer) as endpoint, connect(replace(endpoint, timeout=600)) as drivers:
            await drivers[Kind.CONVERSATION].probe(ID)

    with pytest.raises((RefusedError, TransientError)):
        asyncio.run(main())
    assert peer.sent < FAR


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AccessError), (404, BareGoneError), (409, BusyError), (429, TransientError)],
)
def test_of_an_error_without_end_the_status_is_believed(
    status: int, error: type[JanitorError]
) -> None:
    head = HEAD.replace(b"200 OK", b"%d No" % status) + b"Content-Type: application/json\r\n\r\n"
    peer = Endless(head, chunk(b"[[]," * 10_000))

    async def main() -> None:
        async with listening(peer) as endpoint, connect(replace(endpoint, timeout=600)) as drivers:
            await drivers[Kind.CONVERSATION].probe(ID)

    with pytest.raises(error):
        asyncio.run(main())


@pytest.mark.parametrize("kind", Kind)
def test_what_is_no_http_is_one_of_our_errors(kind: Kind) -> None:
    assert isinstance(raised_by(kind, probe, speaks_no_http), TransientError | RefusedError)


@pytest.mark.parametrize("kind", Kind)
def test_nobody_listening_is_transient(kind: Kind) -> None:
    async def main() -> None:
        async with listening(resets) as endpoint:
            pass
        async with connect(endpoint) as drivers:
            await drivers[kind].probe(ID)

    with pytest.raises(TransientError):
        asyncio.run(main())


@pytest.mark.parametrize("kind", Kind)
def test_a_cancelled_call_is_cancelled(kind: Kind) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()

        async with listening(peer) as endpoint, connect(replace(endpoint, timeout=60)) as drivers:
            call = asyncio.ensure_future(drivers[kind].probe(ID))
            await asked.wait()
            call.cancel()
            await call

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
