"""What confirms that a body came whole: its length, and the checksum of what was packed."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Sequence
from itertools import pairwise

import httpx2
import pytest
from container_server import ID
from hypothesis import given
from hypothesis import strategies as st
from test_drivers_sockets import listening

from janitor.drivers.connect import connect
from janitor.drivers.unpacker import BLOCK, Unpacker
from janitor.errors import RefusedError
from janitor.model import Kind

BODY = b'{"id":"box_1","object":"chatkit.thread.deleted","deleted":true}'
PACKED = gzip.compress(BODY, mtime=0)
LENGTH = b"Content-Length: %d\r\n"
GZIP = b"Content-Encoding: gzip\r\n"


def delete_answered(headers: bytes, body: bytes, *, length: bool = True) -> bytes:
    """Delete a container at a server that answers this over a socket; the request's head."""
    asked = bytearray()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = LENGTH % len(body) if length else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + said + headers + b"\r\n" + body)
        await writer.drain()

    async def main() -> None:
        async with listening(peer, asked) as endpoint, connect(endpoint) as drivers:
            await drivers[Kind.CHATKIT_THREAD].delete(ID)

    asyncio.run(main())
    return bytes(asked)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (GZIP, PACKED),
        (b"Content-Encoding: X-GZip\r\n", PACKED),
        (GZIP, gzip.compress(BODY[:9], mtime=0) + gzip.compress(BODY[9:], mtime=0)),
        (b"Content-Encoding: identity\r\n", BODY),
        (b"", BODY),
    ],
)
def test_a_body_that_came_whole_is_believed(headers: bytes, body: bytes) -> None:
    asked = delete_answered(headers, body)
    assert b"accept-encoding: gzip\r\n" in asked.lower()


def test_a_body_that_ends_with_the_connection_is_believed_where_its_json_is_whole() -> None:
    delete_answered(b"", BODY, length=False)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        *((GZIP, PACKED[:-cut]) for cut in (1, 4, 8, 9)),
        (GZIP, PACKED[:-8] + bytes(8)),
        (GZIP, PACKED + b"more"),
        (GZIP, PACKED + PACKED[:-8]),
        (GZIP, BODY),
        (GZIP + GZIP, PACKED),
        (b"Content-Encoding: gzip, gzip\r\n", gzip.compress(PACKED, mtime=0)),
        (b"Content-Encoding: deflate\r\n", zlib.compress(BODY)),
        (b"Content-Encoding: deflate\r\n", zlib.compress(BODY, wbits=-15)),
        (b"Content-Encoding: br\r\n", BODY),
        (b"Content-Encoding: zstd\r\n", BODY),
        (b"Content-Encoding: utf-8\r\n", BODY),
    ],
)
def test_a_body_that_its_coding_does_not_confirm_is_refused(headers: bytes, body: bytes) -> None:
    with pytest.raises(RefusedError, match="cannot be decoded"):
        delete_answered(headers, body)


def unpacked(headers: Sequence[tuple[str, str]], blocks: Sequence[bytes]) -> bytes:
    unpacker = Unpacker(httpx2.Headers(list(headers)))
    content = b"".join(part for block in blocks for part in unpacker.unpack(block))
    unpacker.finish()
    return content


@pytest.mark.parametrize(
    "headers",
    [
        [("content-length", "3")],
        [("content-length", "2"), ("content-length", "3")],
        [("content-length", "2, 3")],
        [("content-length", "2"), ("transfer-encoding", "chunked")],
        [("content-length", "+2")],
        [("content-length", "2.0")],
        [("content-length", "")],
    ],
)
def test_a_length_that_is_another_or_none_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(httpx2.DecodingError):
        unpacked(headers, [b"{}"])


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=5), st.integers(1, 60))
def test_any_packed_body_is_believed_whole_in_any_blocks_and_never_in_part(
    content: bytes, cuts: list[int], missing: int
) -> None:
    packed = gzip.compress(content)
    edges = [0, *sorted(cut % len(packed) for cut in cuts), len(packed)]
    blocks = [packed[start:end] for start, end in pairwise(edges)]
    assert unpacked([("content-encoding", "gzip")], blocks) == content
    with pytest.raises(httpx2.DecodingError):
        unpacked([("content-encoding", "gzip")], [packed[: -min(missing, len(packed) - 1)]])


def test_what_unpacks_to_much_comes_in_parts() -> None:
    packed = gzip.compress(bytes(5 * BLOCK + 7))
    unpacker = Unpacker(httpx2.Headers({"content-encoding": "gzip"}))
    parts = [len(part) for part in unpacker.unpack(packed)]
    unpacker.finish()
    assert max(parts) == BLOCK
    assert sum(parts) == 5 * BLOCK + 7
