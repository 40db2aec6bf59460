"""The format of an object: lines of JSON, zstd level 3.

The first line is a header, the last a trailer with the sha256 of all lines before it. An item is a
line of its own, as the API sent it. The container comes before the items and its other parts after
them, each marked as `{"janitor_record": ..., "id": ..., "body": ...}`. An item that could be taken
for a mark, or whose body does not contain its id, is marked in the same way.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import zstandard

from janitor.archive.fingerprint import Fingerprint, canonical, parse
from janitor.errors import RefusedError
from janitor.model import Key, Kind, Record

VERSION = 1
LEVEL = 3

_MARKED = b'{"janitor_'
_HEADER, _TRAILER = b'{"janitor_header":', b'{"janitor_trailer":'
_RECORD = re.compile(
    rb'\{"janitor_record":"(item|other)","id":("(?:[^"\\]|\\.)*"),"body":(.*)\}', re.DOTALL
)
# A stored byte can expand to tens of thousands: feeding small pieces at first, and again after one
# that turned out to be large, keeps memory flat.
_NIBBLE, _BITE = 1 << 5, 1 << 10
_MUCH = 1 << 16
_STREAM = 1 << 18


# To make one takes three times as long as to compress a short object.
_COMPRESSORS: list[zstandard.ZstdCompressor] = []

LONG = 1 << 20
_ALONE = threading.Lock()
_PATIENCE = 60.0  # the lock only saves memory: nothing else depends on it


class MalformedError(ValueError):
    """Stored bytes that are not an object; the message quotes nothing from them."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: the thread, and the fields that its digest left out (`volatile`)."""

    key: Key
    created_at: datetime | None
    archived_at: datetime
    volatile: frozenset[str]


@dataclass(frozen=True, slots=True)
class Trailer:
    """The last line: a summary of the object. `sha256` covers all earlier lines, in hex."""

    items: int
    newest_item: str | None
    digest: str
    sha256: str


class ObjectWriter:
    """Writes records as an object to `sink`, piece by piece."""

    def __init__(self, sink: Callable[[bytes], object], header: Header) -> None:
        self.seen = Fingerprint(header.volatile)
        self._sink = sink
        self._key = header.key
        self._lines = hashlib.sha256()
        self._stream: zstandard.ZstdCompressionObj | None = None
        self._pending: list[bytes] = []
        self._waiting = 0
        self._put(_header_line(header))

    def add(self, records: Sequence[Record]) -> None:
        """Write the next records. Raises `RefusedError` if they cannot be believed."""
        if sum(len(record.body) for record in records) <= LONG:
            self._put(b"".join(map(self._line, records)))
            return
        for record in records:
            with _alone(len(record.body)):
                self._put(self._line(record))

    def close(self) -> bytes:
        """End with the trailer and return the last piece, which is not given to `sink`.

        Nothing may follow. Raises `RefusedError` if there is no container.
        """
        if self.seen.container is None:
            raise RefusedError(
                f"{self._key.id}: its export is empty: even the container is missing"
            )
        trailer = {
            "items": self.seen.count,
            "newest_item": self.seen.newest_item,
            "digest": self.seen.digest,
            "sha256": self._lines.hexdigest(),
        }
        self._put(_TRAILER + canonical(trailer) + b"}\n")
        rest = b"".join(self._pending)
        if self._stream is None:  # with a known size it needs a fraction of a stream's memory
            return _compressed(rest)
        return self._stream.compress(rest) + self._stream.flush()

    def _line(self, record: Record) -> bytes:
        if self.seen.container is None and record.id != self._key.id:
            raise RefusedError(
                f"{self._key.id}: its export belongs to another container, {record.id!r}"
            )
        if b"\n" in record.body:
            raise RefusedError(
                f"{self._key.id}: record {record.id!r} of its export is not minified"
            )
        body = self.seen.add(record)
        if record.is_item and body.get("id") == record.id and not record.body.startswith(_MARKED):
            return record.body + b"\n"
        mark = b"item" if record.is_item else b"other"
        name = canonical(record.id)
        return b'{"janitor_record":"%b","id":%b,"body":%b}\n' % (mark, name, record.body)

    def _put(self, data: bytes) -> None:
        self._lines.update(data)
        self._pending.append(data)
        self._waiting += len(data)
        if self._waiting >= _STREAM:
            self._stream = self._stream or _compressor().compressobj()
            self._sink(self._stream.compress(b"".join(self._pending)))
            self._pending, self._waiting = [], 0


def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)


def _compressed(content: bytes) -> bytes:
    """One whole frame, by a compressor that no other thread is using."""
    try:
        compressor = _COMPRESSORS.pop()
    except IndexError:
        compressor = _compressor()
    try:
        return compressor.compress(content)
    finally:
        _COMPRESSORS.append(compressor)


def read(stored: Iterable[bytes]) -> Iterator[Header | Record | Trailer]:
    """The header, the records and the trailer of an object, given its bytes.

    Raises `MalformedError` as soon as something is wrong. Trust nothing before the trailer has
    come and the iterator has ended.
    """
    with closing(_lines(_unpacked(stored))) as lines:
        digest = hashlib.sha256()
        line = next(lines, b"")
        header = _header(line)
        yield header
        seen = Fingerprint(header.volatile)
        while True:
            digest.update(line)
            line = next(lines, b"")
            if line.startswith(_TRAILER):
                break
            yield _record(line, seen)
        trailer = _trailer(line)
        if trailer != Trailer(seen.count, seen.newest_item, seen.digest, digest.hexdigest()):
            raise MalformedError("its content does not match its trailer")
        if next(lines, None) is not None:
            raise MalformedError("data follows its trailer")
        if seen.container != header.key.id:
            raise MalformedError("its header names another container")
        yield trailer


def read_lines(stored: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of an object as they are stored, the header and the trailer among them.

    Checks only that they can be decompressed. Raises `MalformedError`.
    """
    with closing(_lines(_unpacked(stored))) as lines:
        yield from lines


def verify(stored: Iterable[bytes]) -> tuple[Header, Trailer]:
    """The header and the trailer of an object that was read in full. Raises `MalformedError`."""
    header: Header | None = None
    for part in read(stored):
        match part:
            case Header():
                header = part
            case Trailer() if header is not None:
                return header, part
    raise MalformedError("it has no trailer")


def _unpacked(stored: Iterable[bytes]) -> Iterator[bytes]:
    zstd = zstandard.ZstdDecompressor().decompressobj()
    bite = _NIBBLE
    for block in stored:
        start = 0
        while start < len(block):
            if zstd.eof:
                raise MalformedError("data follows its end")
            try:
                content = zstd.decompress(block[start : start + bite])
            except zstandard.ZstdError as error:
                raise MalformedError("it cannot be decompressed") from error
            yield content
            start += bite
            bite = _NIBBLE if len(content) > _MUCH else min(2 * bite, _BITE)
    if not zstd.eof or zstd.unused_data:
        raise MalformedError("it is truncated, or data follows its end")


@contextmanager
def _alone(size: int) -> Iterator[None]:
    """Keep other threads from handling a long line meanwhile: each takes many times its size."""
    is_held = size > LONG and _ALONE.acquire(timeout=_PATIENCE)
    try:
        yield
    finally:
        if is_held:
            _ALONE.release()


def _lines(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    pending: list[bytes] = []
    waiting = 0
    with ExitStack() as long:
        for chunk in chunks:
            for line in chunk.splitlines(keepends=True):
                if waiting <= LONG < waiting + len(line):
                    long.enter_context(_alone(waiting + len(line)))
                waiting += len(line)
                pending.append(line)
                if line.endswith(b"\n"):
                    yield b"".join(pending)
                    pending.clear()
                    waiting = 0
                    long.close()
    if pending:
        raise MalformedError("its last line is truncated")


def _header_line(header: Header) -> bytes:
    fields = {
        "version": VERSION,
        "project": header.key.project,
        "kind": header.key.kind.value,
        "id": header.key.id,
        "created_at": header.created_at,
        "archived_at": header.archived_at,
        "volatile": sorted(header.volatile),
    }
    return _HEADER + orjson.dumps(fields) + b"}\n"


def _header(line: bytes) -> Header:
    fields = _fields(line, _HEADER, "header")
    if fields.get("version") != VERSION:
        raise MalformedError("its header names a version that this janitor cannot read")
    try:
        created_at = fields["created_at"]
        return Header(
            Key(_text(fields["project"]), Kind(fields["kind"]), _text(fields["id"])),
            None if created_at is None else _time(created_at),
            _time(fields["archived_at"]),
            frozenset(fields["volatile"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MalformedError("it has no valid header") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _time(value: str) -> datetime:
    """A time with a zone, which UTC can express."""
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError
    at.astimezone(UTC)
    return at


def _trailer(line: bytes) -> Trailer:
    try:
        return Trailer(**_fields(line, _TRAILER, "trailer"))
    except TypeError as error:
        raise MalformedError("it has no valid trailer") from error


def _fields(line: bytes, mark: bytes, name: str) -> dict[str, Any]:
    try:
        fields = parse(line.removeprefix(mark).removesuffix(b"}\n"))
    except ValueError as error:
        raise MalformedError(f"it has no valid {name}") from error
    if not line.startswith(mark) or not isinstance(fields, dict):
        raise MalformedError(f"it has no valid {name}")
    return fields


def _record(line: bytes, seen: Fingerprint) -> Record:
    body = line.removesuffix(b"\n")
    marked = _RECORD.fullmatch(body)
    try:
        if marked is not None:
            record = Record(parse(marked[2]), marked[3], is_item=marked[1] == b"item")
            seen.add(record)
        else:
            content = parse(body)
            record = Record(_text(content["id"]), body, is_item=True)
            seen.take(record, content)
    except (KeyError, TypeError, ValueError, RefusedError) as error:
        raise MalformedError("it contains a line that is not a record") from error
    return record
