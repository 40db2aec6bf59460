"""The lines of a file, each of bounded length, and the place behind each.

A place proves itself: it holds the digest of everything before it, so that whoever goes on from it
later can tell whether the file is still the same up to there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TextIO

if TYPE_CHECKING:
    from hashlib import _Hash

LONGEST = 1 << 20  # characters of a line; what is longer is no thread
TOO_LONG = f"longer than {LONGEST:,} characters"
BLOCK = 1 << 20
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Place:
    """So many bytes and lines into a file, and the digest of those bytes."""

    offset: int = 0
    line: int = 0
    digest: _Hash = field(default_factory=hashlib.sha256)


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end; `None` for the text of one that is too long. Lines count from 1."""

    number: int
    text: str | None
    end: Place


def lines(stream: TextIO, place: Place) -> Iterator[Line]:
    """The lines of a UTF-8 stream that stands at a place, without a byte order mark.

    Bytes that are not UTF-8 are expected as lone surrogates (`errors="surrogateescape"`), and line
    ends as they are (`newline=""`).
    """
    offset, number, digest = place.offset, place.line, place.digest.copy()
    while text := stream.readline(LONGEST):
        number += 1
        whole = _is_whole(text)
        for part in (text,) if whole else _parts(stream, text):
            data = part.encode("utf-8", "surrogateescape")
            digest.update(data)
            offset += len(data)
        if number == 1:
            text = text.removeprefix(BOM)
        yield Line(number, text if whole else None, Place(offset, number, digest.copy()))


def _is_whole(text: str) -> bool:
    return len(text) < LONGEST or text.endswith(("\r", "\n"))


def _parts(stream: TextIO, text: str) -> Iterator[str]:
    """What belongs to a line that was cut, its beginning included."""
    yield text
    while not text.endswith(("\r", "\n")) and (text := stream.readline(LONGEST)):
        yield text


def place_in(binary: BinaryIO, offset: int, line: int) -> Place | None:
    """The place behind so many bytes, read now; `None` where the file is shorter."""
    digest, left = hashlib.sha256(), offset
    binary.seek(0)
    while left and (block := binary.read(min(left, BLOCK))):
        digest.update(block)
        left -= len(block)
    return None if left else Place(offset, line, digest)
