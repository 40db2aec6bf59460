"""Registrations from files: JSONL and CSV, streamed, every refused line named."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from janitor.catalogue import is_id, kind_of
from janitor.errors import ConfigError
from janitor.model import Key, Kind, Metadata
from janitor.registry import Registration

COLUMNS = ("id", "kind", "project", "created_at", "last_active_at", "user", "keep_until")
PREFIX = "metadata."


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was not taken, and why; lines count from 1."""

    line: int
    reason: str


def read(stream: TextIO, form: str, projects: Iterable[str]) -> Iterator[Registration | Rejected]:
    """Registrations from a stream in `jsonl` or `csv`, in order, with what was refused.

    Raises:
        ConfigError: A CSV without an `id` column.
    """
    known = tuple(projects)
    rows = _csv(stream) if form == "csv" else _jsonl(stream)
    for line, row in rows:
        if isinstance(row, str):
            yield Rejected(line, row)
            continue
        try:
            yield registration(row, known)
        except ValueError as error:
            yield Rejected(line, str(error))


def registration(row: Mapping[str, Any], projects: tuple[str, ...]) -> Registration:
    """One thread from named values.

    Raises:
        ValueError: A value is missing, malformed or of an unknown name; says which.
    """
    for name in row:
        if name not in (*COLUMNS, "metadata") and not name.startswith(PREFIX):
            raise ValueError(f"unknown field {name!r}; known are {', '.join(COLUMNS)}, metadata")
    named = str(row.get("id") or "")
    if not is_id(named):
        raise ValueError("the id must be 1 to 200 of A-Z a-z 0-9 . _ : -")
    key = Key(_project(row.get("project"), projects), _kind(row.get("kind"), named), named)
    return Registration(
        key,
        created_at=_time(row, "created_at"),
        last_active_at=_time(row, "last_active_at"),
        keep_until=_time(row, "keep_until"),
        metadata=_metadata(row),
    )


def _project(named: object, projects: tuple[str, ...]) -> str:
    project = str(named or (projects[0] if len(projects) == 1 else "main"))
    if project not in projects:
        raise ValueError(f"project {project!r} is not configured; known: {', '.join(projects)}")
    return project


def _kind(named: object, id: str) -> Kind:
    if not named:
        if (guessed := kind_of(id)) is None:
            raise ValueError(f"no kind, and the id names none; kinds: {', '.join(Kind)}")
        return guessed
    try:
        return Kind(str(named))
    except ValueError:
        raise ValueError(f"unknown kind {named!r}; kinds: {', '.join(Kind)}") from None


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
        return datetime.fromtimestamp(float(text), UTC)
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _metadata(row: Mapping[str, Any]) -> Metadata | None:
    """The metadata as reported; `None` where nothing was said of it at all."""
    named = {n.removeprefix(PREFIX): v for n, v in row.items() if n.startswith(PREFIX)}
    whole = row.get("metadata")
    if isinstance(whole, str) and whole:
        whole = json.loads(whole)
    if whole is not None and whole != "" and not isinstance(whole, dict):
        raise ValueError("metadata must be an object of strings")
    found = {**(whole or {}), **{n: v for n, v in named.items() if v not in (None, "")}}
    if row.get("user") not in (None, ""):
        found["user"] = row["user"]
    if any(not isinstance(value, str) for value in found.values()):
        raise ValueError("metadata values must be strings; write them in quotes")
    return found if found or isinstance(whole, dict) or named else None


def _jsonl(stream: TextIO) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "not a JSON object"
            continue
        yield number, row if isinstance(row, dict) else "not a JSON object"


def _csv(stream: TextIO) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.DictReader(stream, restkey=None)
    if reader.fieldnames is None or "id" not in reader.fieldnames:
        raise ConfigError("the CSV has no column `id` in its first line; name the columns there")
    rows = iter(reader)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, f"not CSV: {error}"
            continue
        extra = None in row
        yield reader.line_num, "more values than columns" if extra else row
