"""From a row of the application's table to the values that a line of a file would have."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from janitor.catalogue import is_id
from janitor.errors import ConfigError
from janitor.registry import Registration
from janitor.sources.files import COLUMNS, PREFIX, registration
from janitor.texts import TwiceError, once
from janitor.times import parse

TIMES = ("created_at", "last_active_at", "keep_until")
BYTES = (bytes, bytearray, memoryview)
NO_TEXT = "bytes, or text that is not UTF-8; write text"


def check_columns(columns: Sequence[str], watermark: str | None) -> None:
    """Whether the columns of a query are what a registration is made of.

    Raises:
        ConfigError: One is unknown or named twice, `id` is missing, or the watermark is.
    """
    if watermark is not None and watermark not in columns:
        given = ", ".join(f"`{name}`" for name in columns)
        raise ConfigError(
            f"the query gives no column `{watermark}`, its watermark, but {given}; add it, or name "
            "one with AS"
        )
    known = {*COLUMNS, "metadata", watermark}
    for name in columns:
        if name not in known and not name.startswith(PREFIX):
            listed = ", ".join(COLUMNS)
            raise ConfigError(
                f"the query gives a column `{name}`, which is unknown: name it with AS; known are "
                f'{listed}, metadata and "metadata.KEY"'
            )
    if twice := sorted({name for name in columns if list(columns).count(name) > 1}):
        raise ConfigError(f"the query gives the column `{twice[0]}` twice; leave one out")
    if "id" not in columns:
        raise ConfigError("the query gives no column `id`; add it, or name one with AS")


def reported(row: Mapping[str, Any], project: str, projects: tuple[str, ...]) -> Registration:
    """What a row says of a thread, of `project` where the row names none.

    Raises:
        ValueError, RefusedRegistration: It cannot be registered; says why.
    """
    names = [n for n in row if n in (*COLUMNS, "metadata") or n.startswith(PREFIX)]
    said = {name: _value(name, row[name]) for name in names}
    if not said.get("project"):
        said["project"] = project
    return replace(registration(said, projects), speaks_of=_keys(names))


def id_of(id: object) -> str | None:
    """The id that a refused row names, even in bytes; `None` where it is none."""
    said = bytes(id).decode("ascii", "replace") if isinstance(id, BYTES) else str(id)
    return said if id is not None and is_id(said) else None


def _keys(names: Collection[str]) -> frozenset[str] | None:
    """The metadata keys that columns stand for; `None` where one holds all of it."""
    if "metadata" in names:
        return None
    named = (name for name in names if name == "user" or name.startswith(PREFIX))
    return frozenset(name.removeprefix(PREFIX) for name in named)


def _value(name: str, value: object) -> object:
    if value is None:
        return None
    if name in TIMES:
        return value
    if isinstance(value, BYTES):
        raise ValueError(f"{name}: {NO_TEXT}")  # noqa: TRY004 - a row's fault, not the program's
    if name == "metadata":
        return _whole(value)
    if name == "user" or name.startswith(PREFIX):
        return text_of(name, value)
    said = text_of(name, value)
    if name != "id" and said and not is_id(said):
        raise ValueError(f"{name} is no name of one")  # another message would show it
    return said


def _whole(value: object) -> object:
    """A column of JSON: the texts and plain values of its object; what is null is not said."""
    if isinstance(value, str) and value:
        try:
            value = json.loads(value, object_pairs_hook=once)
        except TwiceError as error:
            raise ValueError(f"metadata: {error}") from None
        except (ValueError, RecursionError):
            raise ValueError("metadata: not a JSON object") from None
    if not isinstance(value, Mapping):
        return value
    pairs = {str(name): one for name, one in value.items() if one is not None}
    return {name: text_of(f"{PREFIX}{name}", one) for name, one in pairs.items()}


def text_of(name: str, value: object) -> str:
    """A metadata value as text: numbers, truth values, ids and times in their plain form.

    Raises:
        ValueError: It is a list, an object or bytes.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return parse(value).isoformat()
        case Decimal():
            return format(value, "f")
        case int() | float() | UUID() | date():
            return str(value)
        case Enum():
            return str(value.value)
        case _:
            raise ValueError(f"{name}: a {type(value).__name__} is no text; pick a part of it")
