"""Unpacking an answer's body: its length and its checksum must confirm that it came whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import httpx2

ACCEPTED = "gzip"
"""The one coding that is asked for: it ends with a checksum and the length of the content."""
GZIP = frozenset({"gzip", "x-gzip"})
PLAIN = frozenset({"", "identity"})
BLOCK = 1 << 20
GZIP_FORMAT = zlib.MAX_WBITS | 16


class Unpacker:
    """Unpacks one body, block by block; every method raises `httpx2.DecodingError`.

    `received` counts the bytes that came in.

    A coding that was not asked for is refused, as is more than one: httpx would take what it does
    not know for plain text, and a gzip stream without its end for a whole one.
    """

    def __init__(self, headers: httpx2.Headers) -> None:
        self._length = _length(headers)
        coding = headers.get("content-encoding", "").strip().lower()
        if coding not in GZIP | PLAIN:
            raise httpx2.DecodingError("a content coding that was not asked for")
        self._stream = zlib.decompressobj(GZIP_FORMAT) if coding in GZIP else None
        self.received = 0

    def unpack(self, block: bytes) -> Iterator[bytes]:
        """The content of the next block, in parts of at most 1 MiB."""
        self.received += len(block)
        if self._stream is None:
            yield block
            return
        try:
            yield from self._inflate(block)
        except zlib.error as error:
            raise httpx2.DecodingError("damaged gzip") from error

    def _inflate(self, block: bytes) -> Iterator[bytes]:
        stream, part = self._stream, b""
        while stream is not None and (block or len(part) == BLOCK):
            if stream.eof:  # another member follows
                stream = self._stream = zlib.decompressobj(GZIP_FORMAT)
            part = stream.decompress(block, BLOCK)
            yield part
            block = stream.unused_data if stream.eof else stream.unconsumed_tail

    def finish(self) -> None:
        """The body ends here."""
        if self._length not in (None, self.received):
            raise httpx2.DecodingError("a body that is not as long as announced")
        if self._stream is not None and self.received and not self._stream.eof:
            raise httpx2.DecodingError("gzip without its end")


def _length(headers: httpx2.Headers) -> int | None:
    """How long the body is said to be; `None` where it ends by itself (chunked, or closing)."""
    said = set(headers.get_list("content-length", split_commas=True))
    if not said:
        return None
    value = said.pop()
    if said or "transfer-encoding" in headers or not (value.isascii() and value.isdecimal()):
        raise httpx2.DecodingError("a length that is said in two ways, or is none")
    return int(value)
