"""Reads registrations from JSONL and CSV: bounded lines, rows, and a reason for each refused line.

A position in a file holds the digest of everything before it, so that a later import that resumes
there can tell whether the file is still the same up to there.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TextIO

from janitor.causes import UnsuitedError, cause, is_scarce
from janitor.errors import ConfigError, StoreError
from janitor.kinds import is_id, kind_of
from janitor.model import Key, Kind, Metadata, dataclass
from janitor.registry import RefusedRegistration, Registration, check_metadata
from janitor.texts import KEY_LENGTH, TwiceError, parsed
from janitor.times import FOREVER, heard, heard_until

if TYPE_CHECKING:
    from hashlib import _Hash


LONGEST = 1 << 20  # characters in a line; a longer one is refused
ENDLESS = 1 << 28  # characters in a line; after a longer one the whole input is refused
TOO_LONG = f"longer than {LONGEST:,} characters"
BLOCK = 1 << 20
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class FilePosition:
    """A number of bytes and lines into a file, and the digest of those bytes."""

    offset: int = 0
    line: int = 0
    digest: _Hash = field(default_factory=hashlib.sha256)


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line and the position after it; lines count from 1.

    `text` includes the line ending, and is `None` if the line is too long.
    """

    number: int
    text: str | None
    end: FilePosition


def lines(stream: TextIO, place: FilePosition) -> Iterator[FileLine]:
    """The lines of a UTF-8 stream that is at `place`, without a byte order mark.

    Open the stream with `errors="surrogateescape"`, so that bytes that are not UTF-8 arrive as
    lone surrogates, and with `newline=""`, so that line endings stay as they are.

    Raises:
        UnsuitedError: A line is longer than `ENDLESS`.
    """
    offset, number, digest = place.offset, place.line, place.digest.copy()
    readline, copied = stream.readline, digest.copy
    while text := readline(LONGEST):
        number += 1
        whole = len(text) < LONGEST or _is_whole(text)
        for part in (text,) if whole else _parts(stream, text, number):
            data = part.encode("utf-8", "surrogateescape")
            digest.update(data)
            offset += len(data)
        if number == 1:
            text = text.removeprefix(BOM)
        yield FileLine(number, text if whole else None, FilePosition(offset, number, copied()))


def _is_whole(text: str) -> bool:
    return text.endswith(("\r", "\n"))


def _parts(stream: TextIO, text: str, number: int) -> Iterator[str]:
    """All parts of a line that is longer than `LONGEST`, including the first."""
    size = len(text)
    yield text
    while not text.endswith(("\r", "\n")) and (text := stream.readline(LONGEST)):
        if (size := size + len(text)) > ENDLESS:
            message = f"line {number} is longer than {ENDLESS:,} characters; name a file of lines"
            raise UnsuitedError(message)
        yield text


def place_in(binary: BinaryIO, offset: int, line: int) -> FilePosition | None:
    """The position after `offset` bytes, read now; `None` if the file is shorter."""
    digest, left = hashlib.sha256(), offset
    binary.seek(0)
    while left and (block := binary.read(min(left, BLOCK))):
        digest.update(block)
        left -= len(block)
    return None if left else FilePosition(offset, line, digest)


SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FileRow:
    """The row on lines `first` to `last`: its named values, or why it has none."""

    first: int
    last: int
    values: Mapping[str, Any] | str
    end: FilePosition


def json_rows(lines: Iterator[FileLine]) -> Iterator[FileRow]:
    """The rows of JSONL; blank lines are skipped."""
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
    """Parse a JSON object; ValueError, beginning with `what`, if it is none or repeats a key."""
    try:
        document = parsed(text)
    except TwiceError as error:
        raise ValueError(f"{what}{error}") from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ValueError(f"{what}not a JSON object")  # noqa: TRY004 - a line's fault, not the program's
    return document


class CsvRows:
    """The rows of a CSV with their line numbers; a quoted row may span several lines.

    If such a row is not valid CSV, only its first line is refused, and reading resumes at its
    second: an unclosed quote costs its own line and no other.
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
        """The next line, for the CSV parser."""
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        text = line.text
        self._length += len(text or "")
        if text is None or self._length > LONGEST:
            raise csv.Error(TOO_LONG)
        return text

    def columns(self) -> list[str]:
        """The names in the first row; empty if that is not valid CSV."""
        for _, values in self._rows():
            return [] if isinstance(values, str) else values
        return []

    def rows(self, columns: Sequence[str]) -> Iterator[FileRow]:
        """The rows after the header, by column name; blank ones are skipped."""
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
EMPTY = (None, "")
USUAL = 32
"""So many fields a row has at most, usually."""
SHOWN = 64


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refused line, and why; lines count from 1.

    A CSV row that spans several lines ends on `last_line`. `id` is the id in the line, if it
    could be read.
    """

    line: int
    reason: str
    last_line: int | None = None
    id: str | None = None


Said = Registration | Rejected


def read(stream: TextIO, form: str, projects: Iterable[str], name: str) -> Iterator[Said]:
    """Registrations and refused lines from a stream in `jsonl` or `csv`, in order.

    `name` is the file's. Open the stream with `errors="surrogateescape"`, so that bytes that are
    not UTF-8 arrive as lone surrogates: their line is refused.

    Raises:
        ConfigError: A CSV has no `id` column, or a column that is unknown or named twice.
    """
    return (row for row, _ in placed(File(stream, form, name), projects))


class File:
    """The rows of a stream in `jsonl` or `csv`, from a position on.

    `columns` names the columns of a CSV whose header is before that position.
    """

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
    """Turn an OSError of a file into a ConfigError, or a StoreError if a resource ran out."""
    try:
        yield
    except OSError as error:
        kind = StoreError if is_scarce(error) else ConfigError
        raise kind(f"{name}: cannot be read: {cause(error, 'name another')}") from error


def placed(file: File, projects: Iterable[str]) -> Iterator[tuple[Said, FilePosition]]:
    """Each row's registration, or why it was refused, with the position after it.

    Raises:
        ConfigError: The file can no longer be read.
        StoreError: Reading it needs a resource that ran out.
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
        message = (
            f"{name}:1: the CSV has no column `id` in its first line; name the columns there, "
            "separated by commas"
        )
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
    """What to use instead of an unknown field, to append to its name; empty for most fields."""
    if name not in SHORTER_LIVES:
        return ""
    return (
        " (one thread cannot be given a shorter life; use metadata such as `plan: short`, and a "
        "policy that matches it)"
    )


def _is_known(name: str) -> bool:
    return name in KNOWN or name.startswith(PREFIX)


class _Names(NamedTuple):
    """The first name of a row that is unknown, and the metadata key of each that names one."""

    unknown: str | None
    metadata: Mapping[str, str]


def _names_of(row: Mapping[str, Any]) -> _Names:
    # The rows of a file have few different sets of names; a hostile one is not remembered.
    is_usual = len(row) <= USUAL and sum(map(len, row)) <= USUAL * KEY_LENGTH
    return _remembered(tuple(row)) if is_usual else _names(tuple(row))


def _names(names: tuple[str, ...]) -> _Names:
    unknown = next((name for name in names if not _is_known(name)), None)
    pairs = {name: name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}
    return _Names(unknown, pairs)


_remembered = lru_cache(64)(_names)


def registration(
    row: Mapping[str, Any], projects: tuple[str, ...], *, strict: bool = False
) -> Registration:
    """One registration from named values.

    A `keep_until` that cannot be read keeps the thread forever; `strict` refuses it instead, for
    callers that can tell the sender.

    Raises:
        ValueError: A value is missing or malformed, or its name is unknown; the message says which.
        RefusedRegistration: The registry would not accept it.
    """
    names = _names_of(row)
    if (unknown := names.unknown) is not None:
        what = f"unknown field {_quoted(unknown)}{substitute(unknown)}"
        raise ValueError(f"{what}; known are {', '.join(COLUMNS)}, metadata")
    named = str(row.get("id") or "")
    if not is_id(named):
        raise ValueError("the id must be 1 to 200 of A-Z a-z 0-9 . _ : -")
    key = Key(_project(row.get("project"), projects), _kind(row.get("kind"), named), named)
    created = heard("created_at", row.get("created_at"))
    active = heard("last_active_at", row.get("last_active_at"))
    kept = heard_until("keep_until", row.get("keep_until"))
    if strict and kept.at == FOREVER and kept.remark is not None:
        raise ValueError("keep_until: not a time; write 2026-01-31T00:00:00Z or forever")
    if metadata := _metadata(row, names.metadata):
        check_metadata(named, metadata)  # all that `check` could still refuse
    return Registration(
        key,
        created_at=created.at,
        last_active_at=active.at,
        keep_until=kept.at,
        metadata=metadata,
        remarks=tuple(filter(None, (created.remark, active.remark, kept.remark))),
    )


def _project(named: object, projects: tuple[str, ...]) -> str:
    project = str(named or (projects[0] if len(projects) == 1 else "main"))
    if project not in projects:
        known = ", ".join(projects)
        raise ValueError(f"project {_quoted(project)} is not configured; known: {known}")
    return project


def _kind(named: object, id: str) -> Kind:
    if not named:
        if (guessed := kind_of(id)) is None:
            known = ", ".join(Kind)
            raise ValueError(f"no kind, and the id does not tell; add the field kind: {known}")
        return guessed
    try:
        return Kind(str(named))
    except ValueError:
        raise ValueError(f"unknown kind {_quoted(named)}; kinds: {', '.join(Kind)}") from None


def _quoted(named: object) -> str:
    return repr(str(named)[:SHOWN])


def _metadata(row: Mapping[str, Any], names: Mapping[str, str]) -> Metadata | None:
    """The metadata as reported, perhaps empty; `None` if the row reports none at all.

    `names` are the row's fields of one metadata key each, with the key.
    """
    whole = _whole(row.get("metadata"))
    found, is_reported = dict(whole or {}), whole is not None or bool(names)
    for name, key in names.items():
        if (value := row[name]) not in EMPTY:
            found[key] = value
    if (user := row.get("user")) not in EMPTY:
        found["user"] = user
    for value in found.values():
        if not isinstance(value, str):
            raise ValueError("metadata values must be strings; write them in quotes")  # noqa: TRY004
    return found if found or is_reported else None


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
