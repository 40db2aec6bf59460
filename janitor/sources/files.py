"""Registrations from files: JSONL and CSV, streamed, every refused line named."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from janitor.catalogue import is_id, kind_of
from janitor.errors import ConfigError
from janitor.model import Key, Kind, Metadata
from janitor.registry import RefusedRegistration, Registration, check

COLUMNS = ("id", "kind", "project", "created_at", "last_active_at", "user", "keep_until")
PREFIX = "metadata."
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
LONGEST = 1 << 20  # characters of a line; what is longer is no thread
EARLIEST = 100_000_000  # epoch seconds in 1973: a smaller number is a year, a date or a mistake
SHOWN = 64
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was not taken, and why; lines count from 1."""

    line: int
    reason: str


def read(
    stream: TextIO, form: str, projects: Iterable[str], name: str
) -> Iterator[Registration | Rejected]:
    """Registrations from a stream in `jsonl` or `csv`, in order, with what was refused.

    `name` is the file's. Bytes that are not UTF-8 are expected as lone surrogates
    (`errors="surrogateescape"`): their line is refused.

    Raises:
        ConfigError: A CSV without an `id` column.
    """
    known = tuple(projects)
    rows = _csv(stream, name) if form == "csv" else _jsonl(stream)
    for line, row in rows:
        if isinstance(row, str):
            yield Rejected(line, row)
            continue
        try:
            yield registration(row, known)
        except (ValueError, RefusedRegistration) as error:
            yield Rejected(line, str(error))


def registration(row: Mapping[str, Any], projects: tuple[str, ...]) -> Registration:
    """One thread from named values.

    Raises:
        ValueError: A value is missing, malformed or of an unknown name; says which.
        RefusedRegistration: The registry would not take it.
    """
    for name in row:
        if name not in (*COLUMNS, "metadata") and not name.startswith(PREFIX):
            known = ", ".join(COLUMNS)
            raise ValueError(f"unknown field {_quoted(name)}; known are {known}, metadata")
    named = str(row.get("id") or "")
    if not is_id(named):
        raise ValueError("the id must be 1 to 200 of A-Z a-z 0-9 . _ : -")
    key = Key(_project(row.get("project"), projects), _kind(row.get("kind"), named), named)
    said = Registration(
        key,
        created_at=_time(row, "created_at"),
        last_active_at=_time(row, "last_active_at"),
        keep_until=FOREVER if row.get("keep_until") == "forever" else _time(row, "keep_until"),
        metadata=_metadata(row),
    )
    check(said)
    return said


def _project(named: object, projects: tuple[str, ...]) -> str:
    project = str(named or (projects[0] if len(projects) == 1 else "main"))
    if project not in projects:
        known = ", ".join(projects)
        raise ValueError(f"project {_quoted(project)} is not configured; known: {known}")
    return project


def _kind(named: object, id: str) -> Kind:
    if not named:
        if (guessed := kind_of(id)) is None:
            raise ValueError(f"no kind, and the id names none; kinds: {', '.join(Kind)}")
        return guessed
    try:
        return Kind(str(named))
    except ValueError:
        raise ValueError(f"unknown kind {_quoted(named)}; kinds: {', '.join(Kind)}") from None


def _quoted(named: object) -> str:
    return repr(str(named)[:SHOWN])


def _time(row: Mapping[str, Any], name: str) -> datetime | None:
    """ISO 8601 or epoch seconds, UTC where no zone is named."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        return _parsed(str(value))
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{name}: no time; write 2026-01-31T00:00:00Z or epoch seconds") from None


def _parsed(text: str) -> datetime:
    if text.replace(".", "", 1).isdigit():
        if (seconds := float(text)) < EARLIEST:
            raise ValueError(text)
        return datetime.fromtimestamp(seconds, UTC)
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


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


def _whole(said: object) -> dict[str, Any] | None:
    match said:
        case None | "":
            return None
        case dict():
            return said
        case str():
            return _object(said, "metadata: ")
        case _:
            raise ValueError("metadata: not a JSON object of strings")


def _object(text: str, what: str = "") -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ValueError(f"{what}not a JSON object")  # noqa: TRY004 - a line's fault, not the program's
    return said


def _jsonl(stream: TextIO) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for number, line in enumerate(_lines(stream), 1):
        if not line.strip():
            continue
        if len(line) >= LONGEST:
            yield number, f"longer than {LONGEST:,} characters"
        elif not _is_text(line):
            yield number, "not UTF-8"
        else:
            yield number, _row(line)


def _row(line: str) -> dict[str, Any] | str:
    try:
        return _object(line)
    except ValueError as error:
        return str(error)


def _csv(stream: TextIO, name: str) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.DictReader(_lines(stream), restkey=None, strict=True)
    if "id" not in _columns(reader):
        message = f"{name}:1: the CSV has no column `id` in its first line; name the columns there"
        raise ConfigError(message)
    rows = iter(reader)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.reader.line_num, f"not CSV: {error}"
            continue
        yield reader.line_num, _wrong(row) or row


def _columns(reader: csv.DictReader[str]) -> Sequence[str]:
    try:
        return reader.fieldnames or ()
    except csv.Error:
        return ()


def _wrong(row: Mapping[str | None, str | None]) -> str | None:
    if None in row:
        return "more values than columns"
    return None if all(_is_text(value or "") for value in row.values()) else "not UTF-8"


def _is_text(said: str) -> bool:
    return SURROGATE.search(said) is None


def _lines(stream: TextIO) -> Iterator[str]:
    """The lines of a stream, each cut at `LONGEST`, so that memory stays bounded."""
    while line := stream.readline(LONGEST):
        rest = line
        while len(rest) == LONGEST and rest[-1] not in "\r\n":
            rest = stream.readline(LONGEST)
        yield line
