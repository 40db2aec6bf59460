"""Registrations from files: JSONL and CSV, streamed, every refused line named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from janitor.catalogue import is_id, kind_of
from janitor.errors import ConfigError
from janitor.model import Key, Kind, Metadata
from janitor.registry import RefusedRegistration, Registration, check
from janitor.sources.forms import CsvRows, Row, json_rows, object_of
from janitor.sources.lines import Place, lines
from janitor.times import FOREVER, heard, heard_until

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
    return (said for said, _ in placed(File(stream, form, name), projects))


class File:
    """The rows of a stream in `jsonl` or `csv`, from a place on; a CSV's `columns` from there."""

    def __init__(
        self,
        stream: TextIO,
        form: str,
        name: str,
        place: Place | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.columns = columns
        found = lines(stream, place or Place())
        if form == "csv":
            table = CsvRows(found)
            self.columns = columns or _columns(table, name)
            self.rows = table.rows(self.columns)
        else:
            self.rows = json_rows(found)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Says of a file that it cannot be read; ConfigError."""
    try:
        yield
    except OSError as error:
        message = f"{name}: cannot be read: {error.strerror}; name another"
        raise ConfigError(message) from error


def placed(file: File, projects: Iterable[str]) -> Iterator[tuple[Said, Place]]:
    """What each row says, or why it was refused, and the place behind it.

    Raises:
        ConfigError: The file cannot be read any more.
    """
    known = tuple(projects)
    with readable(file.name):
        for row in file.rows:
            yield _judged(row, known), row.end


def _judged(row: Row, projects: tuple[str, ...]) -> Said:
    last = row.last if row.last > row.first else None
    if isinstance(row.said, str):
        return Rejected(row.first, row.said, last)
    try:
        return registration(row.said, projects)
    except (ValueError, RefusedRegistration) as error:
        named = row.said.get("id")
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
            message = f"{name}:1: unknown column {_quoted(column)}; known are {known}, metadata.KEY"
            raise ConfigError(message)
        if columns.count(column) > 1:
            raise ConfigError(f"{name}:1: the column {_quoted(column)} is there twice; keep one")
    return columns


def _is_known(name: str) -> bool:
    return name in KNOWN or name.startswith(PREFIX)


def registration(
    row: Mapping[str, Any], projects: tuple[str, ...], *, strict: bool = False
) -> Registration:
    """One thread from named values.

    A `keep_until` that cannot be read keeps for ever; `strict` refuses it, where whoever says it
    is there to hear so.

    Raises:
        ValueError: A value is missing, malformed or of an unknown name; says which.
        RefusedRegistration: The registry would not take it.
    """
    for name in row:
        if not _is_known(name):
            known = ", ".join(COLUMNS)
            raise ValueError(f"unknown field {_quoted(name)}; known are {known}, metadata")
    named = str(row.get("id") or "")
    if not is_id(named):
        raise ValueError("the id must be 1 to 200 of A-Z a-z 0-9 . _ : -")
    key = Key(_project(row.get("project"), projects), _kind(row.get("kind"), named), named)
    created, active = (heard(name, row.get(name)) for name in ("created_at", "last_active_at"))
    kept = heard_until("keep_until", row.get("keep_until"))
    if strict and kept.at == FOREVER and kept.remark is not None:
        raise ValueError("keep_until: no time; write 2026-01-31T00:00:00Z or forever")
    said = Registration(
        key,
        created_at=created.at,
        last_active_at=active.at,
        keep_until=kept.at,
        metadata=_metadata(row),
        remarks=tuple(one.remark for one in (created, active, kept) if one.remark),
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
            return object_of(said, "metadata: ")
        case _:
            raise ValueError("metadata: not a JSON object of strings")
