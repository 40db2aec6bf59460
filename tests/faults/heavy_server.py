"""A server of conversations whose items are large, or few bytes that become many in memory."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import orjson

MIB = 1 << 20
ITEMS = 2


def text(of: str, size: int) -> bytes:
    return b'"' + (of * (size // len(of.encode()))).encode() + b'"'


def many(of: bytes, size: int) -> bytes:
    return b"[" + (of + b",") * (size // len(of)) + of + b"]"


KINDS: Mapping[str, partial[bytes]] = MappingProxyType(
    {
        "usual": partial(text, "word, ", 2000),
        "text": partial(text, "1, 2, 3, ", 10 * MIB),
        "emoji": partial(text, "word 😀", 5 * MIB),
        "lists": partial(many, b"[]", 700_000),
        "huge": partial(text, "word, ", 16 * MIB),
        "bomb": partial(many, b"[]", 16 * MIB),
        "zeros": partial(many, b"0", 24 * MIB),
    }
)
"""What an item of each conversation holds."""


@cache
def packed(kind: str, first: int, last: int) -> bytes:
    items = b",".join(b'{"id":"item_%d","x":%b}' % (n, KINDS[kind]()) for n in range(first, last))
    more = b"true" if last < ITEMS else b"false"
    body = b'{"object":"list","data":[%b],"has_more":%b,"last_id":"item_%d"}' % (
        items,
        more,
        last - 1,
    )
    return gzip.compress(body, 1)


def answer(target: str) -> bytes:
    url = urlsplit(target)
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    name, *part = url.path.removeprefix("/v1/conversations/").split("/")
    if not part:
        box = {"id": name, "object": "conversation", "created_at": 1_700_000_000, "metadata": {}}
        return gzip.compress(orjson.dumps(box), 1)
    first = int(query["after"].removeprefix("item_")) + 1 if "after" in query else 0
    return packed(name.split("-")[0], first, min(ITEMS, first + int(query["limit"])))


class Service:
    """Serves until it is asked to stop, and then closes every connection."""

    def __init__(self) -> None:
        self.port: Future[int] = Future()
        self.stop: Callable[[], object] = lambda: None
        self._served: set[asyncio.Task[None] | None] = set()

    async def run(self) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self.stop = partial(loop.call_soon_threadsafe, stopped.set)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port.set_result(server.sockets[0].getsockname()[1])
        await stopped.wait()
        server.close()
        await asyncio.gather(*(task for task in self._served if task))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await asyncio.to_thread(answer, head.split()[1].decode())
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n")
                writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@contextmanager
def heavy_server() -> Iterator[str]:
    """Its base URL, while it runs; whoever calls it is to be gone at the end."""
    service = Service()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(lambda: asyncio.run(service.run()))
        try:
            yield f"http://127.0.0.1:{service.port.result()}/v1"
        finally:
            service.stop()
            running.result()
    packed.cache_clear()
