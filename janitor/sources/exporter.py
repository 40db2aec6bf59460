"""Writes registrations as JSONL or CSV that an import reads back unchanged."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from janitor.registry import Registration

COLUMNS = ("id", "kind", "project", "created_at", "last_active_at", "keep_until", "metadata")


def written(registrations: Iterable[Registration], form: str) -> Iterator[str]:
    """The registrations in order, one line of `jsonl` or `csv` each, with its line ending.

    A CSV begins with a header. An unknown value is left out of JSONL and is empty in a CSV.
    Metadata is one JSON object; metadata that was read and is empty is `{}`.
    """
    return _csv(registrations) if form == "csv" else _jsonl(registrations)


def _jsonl(registrations: Iterable[Registration]) -> Iterator[str]:
    for one in registrations:
        known = {name: value for name, value in _values(one).items() if value is not None}
        yield json.dumps(known) + "\n"


def _csv(registrations: Iterable[Registration]) -> Iterator[str]:
    yield ",".join(COLUMNS) + "\n"
    for one in registrations:
        values = _values(one)
        if one.metadata is not None:
            values["metadata"] = json.dumps(values["metadata"])
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values.values())
        yield line.getvalue()


def _values(one: Registration) -> dict[str, object]:
    key = one.key
    times = (_time(at) for at in (one.created_at, one.last_active_at, one.keep_until))
    metadata = None if one.metadata is None else dict(sorted(one.metadata.items()))
    values = (key.id, key.kind.value, key.project, *times, metadata)
    return dict(zip(COLUMNS, values, strict=True))


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
