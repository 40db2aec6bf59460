"""Registrations from JSONL and CSV: bounded lines, rows, and every refused line named.

A place in a file proves itself: it holds the digest of everything before it, so that whoever goes
on from it later can tell whether the file is still the same up to there.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from janitor.causes import UnsuitedError, cause, is_scarce
from janitor.errors import ConfigError, StoreError
from janitor.kinds import is_id, kind_of
from janitor.model import Key, Kind, Metadata
from janitor.registry import RefusedRegistration, Registration, check
from janitor.texts import TwiceError, once
from janitor.times import FOREVER, heard, heard_until

if TYPE_CHECKING:
    from hashlib import _Hash


LONGEST = 1 << 20  # characters of a line; what is longer is no thread
ENDLESS = 1 << 28  # characters: whatever sends a longer line sends no lines
TOO_LONG = f"longer than {LONGEST:,} characters"
BLOCK = 1 << 20
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class FilePosition:
    """So many bytes and lines into a file, and the digest of those bytes."""

    offset: int = 0
    line: int = 0
    digest: _Hash = field(default_factory=hashlib.sha256)


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line with its end; `None` for the text of one that is too long. Lines count from 1."""

    number: int
    text: str | None
    end: FilePosition


def lines(stream: TextIO, place: FilePosition) -> Iterator[FileLine]:
    """The lines of a UTF-8 stream that stands at a place, without a byte order mark.

    Bytes that are not UTF-8 are expected as lone surrogates (`errors="surrogateescape"`), and line
    ends as they are (`newline=""`).

    Raises:
        UnsuitedError: A line does not end.
    """
    offset, number, digest = place.offset, place.line, place.digest.copy()
    while text := stream.readline(LONGEST):
        number += 1
        whole = _is_whole(text)
        for part in (text,) if whole else _parts(stream, text, number):
            data = part.encode("utf-8", "surrogateescape")
            digest.update(data)
            offset += len(data)
        if number == 1:
            text = text.removeprefix(BOM)
        yield FileLine(number, text if whole else None, FilePosition(offset, number, digest.copy()))


def _is_whole(text: str) -> bool:
    return len(text) < LONGEST or text.endswith(("\r", "\n"))


def _parts(stream: TextIO, text: str, number: int) -> Iterator[str]:
    """What belongs to a line that was cut, its beginning included."""
    size = len(text)
    yield text
    while not text.endswith(("\r", "\n")) and (text := stream.readline(LONGEST)):
        if (size := size + len(text)) > ENDLESS:
            message = f"line {number} is longer than {ENDLESS:,} characters; name a file of lines"
            raise UnsuitedError(message)
        yield text


def place_in(binary: BinaryIO, offset: int, line: int) -> FilePosition | None:
    """The place behind so many bytes, read now; `None` where the file is shorter."""
    digest, left = hashlib.sha256(), offset
    binary.seek(0)
    while left and (block := binary.read(min(left, BLOCK))):
        digest.update(block)
        left -= len(block)
    return None if left else FilePosition(offset, line, digest)


SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FileRow:
    """What stands on the lines `first` to `last`: named values, or why there are none."""

    first: int
    last: int
    values: Mapping[str, Any] | str
    end: FilePosition


def json_rows(lines: Iterator[FileLine]) -> Iterator[FileRow]:
    """The objects of JSONL; blank lines are left out."""
    for line in lines:
        if line.text is None or line.text.strip():
            yield FileRow(line.number, line.number, _json_row(line.text), line.end)


def _json_row(text: str | None) -> dict[str, Any] | str:
    if text is None:
        return TOO_LONG
    if SURROGATE.search(text):
        return "not UTF-8"
    try:
        return object_of(text)
    except ValueError as error:
        return str(error)


def object_of(text: str, what: str = "") -> dict[str, Any]:
    """A JSON object; ValueError where it is none, or says a thing twice."""
    try:
        document = json.loads(text, object_pairs_hook=once)
    except TwiceError as error:
        raise ValueError(f"{what}{error}") from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ValueError(f"{what}not a JSON object")  # noqa: TRY004 - a line's fault, not the program's
    return document


class CsvRows:
    """The rows of a CSV by number of line; a row may take several lines, in quotes.

    Where such a row turns out not to be CSV, only its first line is refused, and reading goes on
    at its second: a quote that nobody closed costs its own line and no other.
    """

    def __init__(self, lines: Iterator[FileLine]) -> None:
        self._lines = lines
        self._again: deque[FileLine] = deque()
        self._taken: list[FileLine] = []
        self._length = 0
        self._reader = csv.reader(self, strict=True)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line, for the parser of CSV."""
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        self._length += len(line.text or "")
        if line.text is None or self._length > LONGEST:
            raise csv.Error(TOO_LONG)
        return line.text

    def columns(self) -> list[str]:
        """The names in the first row; none where it is no CSV."""
        for _, values in self._rows():
            return [] if isinstance(values, str) else values
        return []

    def rows(self, columns: Sequence[str]) -> Iterator[FileRow]:
        """The rows after it, by the names of their columns; blank ones are left out."""
        for lines, values in self._rows():
            named = values if isinstance(values, str) else _named(columns, values)
            yield FileRow(lines[0].number, lines[-1].number, named, lines[-1].end)

    def _rows(self) -> Iterator[tuple[list[FileLine], list[str] | str]]:
        while True:
            self._taken.clear()
            self._length = 0
            try:
                values = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                first, *others = self._taken
                self._again.extendleft(reversed(others))
                is_long = first.text is None or self._length > LONGEST
                yield [first], TOO_LONG if is_long else f"not CSV: {error}"
            else:
                if values:
                    yield self._taken, values


def _named(columns: Sequence[str], values: Sequence[str]) -> Mapping[str, str] | str:
    if len(values) > len(columns):
        return "more values than columns"
    if SURROGATE.search("".join(values)):
        return "not UTF-8"
    return dict(zip(columns, values, strict=False))


COLUMNS = ("id", "kind", "project", "created_at", "last_active_at", "user", "keep_until")
KNOWN = frozenset((*COLUMNS, "metadata"))
PREFIX = "metadata."
SHOWN = 64


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was not taken, and why; lines count from 1.

    A row of a CSV that takes several goes on to `last_line`. `id` is what the line named, where
    that could be read.
    """

    line: int
    reason: str
    last_line: int | None = None
    id: str | None = None


Said = Registration | Rejected


def read(stream: TextIO, form: str, projects: Iterable[str], name: str) -> Iterator[Said]:
    """Registrations from a stream in `jsonl` or `csv`, in order, with what was refused.

    `name` is the file's. Bytes that are not UTF-8 are expected as lone surrogates
    (`errors="surrogateescape"`): their line is refused.

    Raises:
        ConfigError: A CSV without an `id` column, or with one that is unknown or named twice.
    """
    return (row for row, _ in placed(File(stream, form, name), projects))


class File:
    """The rows of a stream in `jsonl` or `csv`, from a place on; a CSV's `columns` from there."""

    def __init__(
        self,
        stream: TextIO,
        form: str,
        name: str,
        place: FilePosition | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.columns = columns
        found = lines(stream, place or FilePosition())
        if form == "csv":
            table = CsvRows(found)
            self.columns = columns or _columns(table, name)
            self.rows = table.rows(self.columns)
        else:
            self.rows = json_rows(found)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Says of a file that it cannot be read: ConfigError, StoreError where something ran out."""
    try:
        yield
    except OSError as error:
        kind = StoreError if is_scarce(error) else ConfigError
        raise kind(f"{name}: cannot be read: {cause(error, 'name another')}") from error


def placed(file: File, projects: Iterable[str]) -> Iterator[tuple[Said, FilePosition]]:
    """Each row's registration, or why it was refused, with the position after it.

    Raises:
        ConfigError: The file cannot be read any more.
    """
    known = tuple(projects)
    with readable(file.name):
        for row in file.rows:
            yield _judged(row, known), row.end


def _judged(row: FileRow, projects: tuple[str, ...]) -> Said:
    last = row.last if row.last > row.first else None
    if isinstance(row.values, str):
        return Rejected(row.first, row.values, last)
    try:
        return registration(row.values, projects)
    except (ValueError, RefusedRegistration) as error:
        named = row.values.get("id")
        readable = isinstance(named, str) and is_id(named)
        return Rejected(row.first, str(error), last, named if readable else None)


def _columns(table: CsvRows, name: str) -> list[str]:
    columns = table.columns()
    if "id" not in columns:
        message = f"{name}:1: the CSV has no column `id` in its first line; name the columns there"
        raise ConfigError(message)
    for column in columns:
        if not _is_known(column):
            known = ", ".join(COLUMNS)
            what = f"unknown column {_quoted(column)}{substitute(column)}"
            message = f"{name}:1: {what}; known are {known}, metadata.KEY"
            raise ConfigError(message)
        if columns.count(column) > 1:
            raise ConfigError(f"{name}:1: the column {_quoted(column)} appears twice; keep one")
    return columns


SHORTER_LIVES = frozenset(
    ("ttl", "expires", "expires_at", "expire_after", "delete_at", "delete_after", "retention")
)


def substitute(name: str) -> str:
    """What comes nearest to an unknown field, to be added to its name; mostly nothing."""
    if name not in SHORTER_LIVES:
        return ""
    return (
        " (one thread cannot be given a shorter life; use metadata such as `plan: short`, and a "
        "policy that matches it)"
    )


def _is_known(name: str) -> bool:
    return name in KNOWN or name.startswith(PREFIX)


def registration(
    row: Mapping[str, Any], projects: tuple[str, ...], *, strict: bool = False
) -> Registration:
    """One thread from named values.

    A `keep_until` that cannot be read keeps forever; `strict` refuses it, where whoever says it
    is there to hear so.

    Raises:
        ValueError: A value is missing, malformed or of an unknown name; says which.
        RefusedRegistration: The registry would not take it.
    """
    for name in row:
        if not _is_known(name):
            known = ", ".join(COLUMNS)
            what = f"unknown field {_quoted(name)}{substitute(name)}"
            raise ValueError(f"{what}; known are {known}, metadata")
    named = str(row.get("id") or "")
    if not is_id(named):
        raise ValueError("the id must be 1 to 200 of A-Z a-z 0-9 . _ : -")
    key = Key(_project(row.get("project"), projects), _kind(row.get("kind"), named), named)
    created, active = (heard(name, row.get(name)) for name in ("created_at", "last_active_at"))
    kept = heard_until("keep_until", row.get("keep_until"))
    if strict and kept.at == FOREVER and kept.remark is not None:
        raise ValueError("keep_until: not a time; write 2026-01-31T00:00:00Z or forever")
    made = Registration(
        key,
        created_at=created.at,
        last_active_at=active.at,
        keep_until=kept.at,
        metadata=_metadata(row),
        remarks=tuple(one.remark for one in (created, active, kept) if one.remark),
    )
    check(made)
    return made


def _project(named: object, projects: tuple[str, ...]) -> str:
    project = str(named or (projects[0] if len(projects) == 1 else "main"))
    if project not in projects:
        known = ", ".join(projects)
        raise ValueError(f"project {_quoted(project)} is not configured; known: {known}")
    return project


def _kind(named: object, id: str) -> Kind:
    if not named:
        if (guessed := kind_of(id)) is None:
            raise ValueError(f"no kind, and the id does not tell; kinds: {', '.join(Kind)}")
        return guessed
    try:
        return Kind(str(named))
    except ValueError:
        raise ValueError(f"unknown kind {_quoted(named)}; kinds: {', '.join(Kind)}") from None


def _quoted(named: object) -> str:
    return repr(str(named)[:SHOWN])


def _metadata(row: Mapping[str, Any]) -> Metadata | None:
    """The metadata as reported; `None` where nothing was said of it at all."""
    named = {n.removeprefix(PREFIX): v for n, v in row.items() if n.startswith(PREFIX)}
    whole = _whole(row.get("metadata"))
    found = {**(whole or {}), **{n: v for n, v in named.items() if v not in (None, "")}}
    if row.get("user") not in (None, ""):
        found["user"] = row["user"]
    if any(not isinstance(value, str) for value in found.values()):
        raise ValueError("metadata values must be strings; write them in quotes")
    return found if found or whole is not None or named else None


def _whole(value: object) -> dict[str, Any] | None:
    match value:
        case None | "":
            return None
        case dict():
            return value
        case str():
            return object_of(value, "metadata: ")
        case _:
            raise ValueError("metadata: not a JSON object of strings")
