"""What a row of the inbox says, as far as it can be believed. Pure.

An application may have written anything that the engine takes: a year 20000, JSON that no reader
reads. Rows come as text therefore, and one that cannot be read is refused and holds up no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from janitor.model import Key, Kind, Metadata
from janitor.registry.entries import Registration
from janitor.registry.registration import RefusedRegistration, check

VERSION = 1
DELETED = "deleted"
EVENTS = ("register", "touch", DELETED)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
NO_END = ("infinity", "forever")
LONGEST: Mapping[str, int] = {
    "v": 10,
    "project": 200,
    "kind": 20,
    "id": 200,
    "event": 10,
    "at": 40,
    "created_at": 40,
    "keep_until": 40,
    "metadata": 1 << 19,
}
"""The columns, and how many characters each may have; a reader is handed one more at most."""

Said = Mapping[str, str | None]


def judge(row: Said) -> Registration | str:
    """The registration that a row stands for, or why it cannot be believed; quotes no value.

    `deleted` is a registration that says nothing at all.
    """
    try:
        said = _read(row)
        check(said)
    except RefusedRegistration as error:
        return str(error)
    return said


def _read(row: Said) -> Registration:
    for name, longest in LONGEST.items():
        if len(row[name] or "") > longest:
            raise RefusedRegistration(f"{name} is longer than {longest} characters")
    if row["v"] != str(VERSION) or row["event"] not in EVENTS:
        raise RefusedRegistration("unknown version or event")
    key = Key(row["project"] or "", _kind(row["kind"]), row["id"] or "")
    if row["event"] == DELETED:
        return Registration(key)
    return Registration(
        key,
        created_at=_time(row, "created_at"),
        last_active_at=_time(row, "at"),
        keep_until=FOREVER if row["keep_until"] in NO_END else _time(row, "keep_until"),
        metadata=_metadata(row["metadata"]),
    )


def _kind(named: str | None) -> Kind:
    try:
        return Kind(named or "")
    except ValueError:
        raise RefusedRegistration("unknown kind") from None


def _time(row: Said, name: str) -> datetime | None:
    if (text := row[name]) is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RefusedRegistration(f"{name} is no time between the years 1 and 9999") from None


def _metadata(text: str | None) -> Metadata | None:
    try:
        said = None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        raise RefusedRegistration("metadata is no JSON") from None
    if said is not None and not isinstance(said, dict):
        raise RefusedRegistration("metadata is no map")
    return said
