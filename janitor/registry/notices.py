"""What a row of the inbox says, as far as it can be believed. Pure.

An application may have written anything that the engine takes: a year 20000, JSON that no reader
reads, text that is none. Rows come as bytes therefore, and one that cannot be read is refused and
holds up no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from janitor.model import Key, Kind, Metadata
from janitor.registry.entries import Registration
from janitor.registry.registration import RefusedRegistration, check
from janitor.texts import TwiceError, is_text, once
from janitor.times import Heard, heard, heard_until

VERSION = 1
DELETED = "deleted"
EVENTS = ("register", "touch", DELETED)
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
"""The columns, and how many bytes each may have; a reader is handed one more at most."""

UNREADABLE = "unreadable"
"""What stands for a `keep_until` that no text is made of: it keeps for ever."""

Said = Mapping[str, bytes | None]
Texts = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Gone:
    """The application says that it deleted this container itself."""

    key: Key


def judge(row: Said) -> Registration | Gone | str:
    """What a row stands for, or why it cannot be believed; quotes no value."""
    try:
        said = _read(row)
        check(Registration(said.key) if isinstance(said, Gone) else said)
    except RefusedRegistration as error:
        return str(error)
    return said


def _read(said: Said) -> Registration | Gone:
    row = {name: _text(name, said[name]) for name in LONGEST}
    if row["v"] != str(VERSION) or row["event"] not in EVENTS:
        raise RefusedRegistration("unknown version or event")
    key = Key(row["project"] or "", _kind(row["kind"]), row["id"] or "")
    if row["event"] == DELETED:
        return Gone(key)
    created, active = _time(row, "created_at"), _time(row, "at")
    kept = heard_until("keep_until", row["keep_until"])
    return Registration(
        key,
        created_at=created.at,
        last_active_at=active.at,
        keep_until=kept.at,
        metadata=_metadata(row["metadata"]),
        remarks=tuple(one.remark for one in (created, active, kept) if one.remark),
    )


def _text(name: str, said: bytes | None) -> str | None:
    if said is None:
        return None
    why = f"{name} is longer than {LONGEST[name]} bytes"
    if len(said) <= LONGEST[name]:
        try:
            text = said.decode()
        except UnicodeDecodeError:
            why = f"{name} is not UTF-8"
        else:
            if is_text(text):
                return text
            why = f"{name} holds a NUL"
    if name == "keep_until":
        return UNREADABLE
    raise RefusedRegistration(why)


def _kind(named: str | None) -> Kind:
    try:
        return Kind(named or "")
    except ValueError:
        raise RefusedRegistration("unknown kind") from None


def _time(row: Texts, name: str) -> Heard:
    try:
        return heard(name, row[name])
    except ValueError as error:
        raise RefusedRegistration(str(error)) from None


def _metadata(text: str | None) -> Metadata | None:
    if text is None:
        return None
    try:
        said = orjson.loads(text)  # the stricter reader of the two
        json.loads(text, object_pairs_hook=once)
    except TwiceError as error:
        raise RefusedRegistration(f"metadata: {error}") from None
    except (ValueError, RecursionError):
        raise RefusedRegistration("metadata is no JSON") from None
    if said is not None and not isinstance(said, dict):
        raise RefusedRegistration("metadata is no map")
    return said
