"""How answers are unpacked: block by block, and only if they are complete."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import httpx2

ACCEPTED = "gzip"
"""The only coding asked for: it ends with a checksum and the content's length."""
GZIP = frozenset({"gzip", "x-gzip"})
PLAIN = frozenset({"", "identity"})
BLOCK = 1 << 20
GZIP_FORMAT = zlib.MAX_WBITS | 16


class Unpacker:
    """Unpacks one body, block by block; every method raises `httpx2.DecodingError`.

    `received` counts the bytes that came in.

    A coding that was not requested is refused, as is more than one: httpx would take an unknown
    coding for plain text, and a truncated gzip stream for a complete one.
    """

    def __init__(self, headers: httpx2.Headers) -> None:
        self._length = _length(headers)
        coding = headers.get("content-encoding", "").strip().lower()
        if coding not in GZIP | PLAIN:
            raise httpx2.DecodingError("a content coding that was not requested")
        self._stream = zlib.decompressobj(GZIP_FORMAT) if coding in GZIP else None
        self.received = 0

    def unpack(self, block: bytes) -> Iterator[bytes]:
        """The content of the next block, in parts of at most 1 MiB."""
        self.received += len(block)
        stream, part = self._stream, b""
        if stream is None:
            yield block
            return
        while block or len(part) == BLOCK:
            if stream.eof:  # another member follows
                stream = self._stream = zlib.decompressobj(GZIP_FORMAT)
            try:
                part = stream.decompress(block, BLOCK)
            except zlib.error as error:
                raise httpx2.DecodingError("damaged gzip") from error
            yield part
            block = stream.unused_data if stream.eof else stream.unconsumed_tail

    def finish(self) -> None:
        """Check that the body is complete: no more blocks follow."""
        if self._length not in (None, self.received):
            raise httpx2.DecodingError("a body that is not as long as announced")
        if self._stream is not None and self.received and not self._stream.eof:
            raise httpx2.DecodingError("truncated gzip")


def _length(headers: httpx2.Headers) -> int | None:
    """The announced length of the body; `None` if it ends by itself (chunked, or on close)."""
    lengths = set(headers.get_list("content-length", split_commas=True))
    if not lengths:
        return None
    value = lengths.pop()
    if lengths or "transfer-encoding" in headers or not (value.isascii() and value.isdecimal()):
        raise httpx2.DecodingError("an ambiguous or invalid length")
    return int(value)
