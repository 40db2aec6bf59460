"""Policies as JSON that can be read back, and the digest by which two are the same.

Equal policies give equal bytes in every version of janitor: approvals and plans are stored under
their digest. Version 1 writes all of its fields, in its own order. A field added later is written
only if it is not at its default, so policies that do not use it keep their digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import cache, lru_cache
from hashlib import sha256
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import orjson

from janitor.policy.rules import (
    ArchiveRule,
    Delete,
    KeepLast,
    Lifetime,
    Limits,
    Policies,
    Policy,
    Selector,
    SoftDelete,
    Test,
    Trim,
)

VERSION_1: dict[type, tuple[str, ...]] = {
    Policies: ("rules", "mode", "lifetime", "limits", "release_grace", "expire"),
    Policy: (
        *("name", "match", "excepts", "default", "keep_forever", "age_from"),
        *("archive", "soft_delete", "delete", "trim", "keep_last"),
        *("max_percent", "max_threads", "mode"),
    ),
    Selector: ("kinds", "projects", "metadata"),
    Test: ("any_of", "exists", "glob"),
    ArchiveRule: ("after", "items", "keep_for"),
    SoftDelete: ("after", "mark"),
    Delete: ("after", "items"),
    Trim: ("keep_items", "after"),
    KeepLast: ("count", "per"),
    Lifetime: ("min", "max"),
    Limits: (
        *("max_percent", "max_threads", "max_missing_percent", "max_errors"),
        *("clock_step", "max_duration"),
    ),
}
"""The fields of version 1, in order. Never add to it: a newer field needs a default instead."""


def spell(value: object, span: Callable[[timedelta], object]) -> bytes:
    """A value of the policy language as JSON; maps and sets are sorted, `span` writes durations.

    Raises:
        TypeError: It is not a value of the policy language.
    """

    def plain(value: object) -> object:
        match value:
            case frozenset():
                return sorted(value)
            case timedelta():
                return span(value)
            case Mapping():
                return dict(value)
            case _ if is_dataclass(value) and not isinstance(value, type):
                return orjson.Fragment(joined(spelled_fields(value), span))
            case _:
                raise TypeError(type(value).__name__)

    options = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
    return orjson.dumps(value, default=plain, option=options)


def spelled_fields(value: Any) -> dict[str, object]:  # noqa: ANN401 - any dataclass
    """The fields that are written, in order."""
    kind: Any = type(value)
    later = (field.name for field in _later(kind) if not _is_default(field, value))
    return {name: getattr(value, name) for name in (*VERSION_1.get(kind, ()), *later)}


@cache
def _later(kind: type[Any]) -> tuple[Field[Any], ...]:
    return tuple(one for one in fields(kind) if one.name not in VERSION_1.get(kind, ()))


def joined(spelled: Mapping[str, object], span: Callable[[timedelta], object]) -> bytes:
    """Fields as a JSON object, in the order given."""
    return orjson.dumps({name: orjson.Fragment(spell(one, span)) for name, one in spelled.items()})


def _is_default(field: Field[Any], value: object) -> bool:
    given = getattr(value, field.name)
    if field.default_factory is not MISSING and given == field.default_factory():
        return True
    return field.default is not MISSING and given == field.default


VERSION = 1
MICROSECOND = timedelta(microseconds=1)


def dump(policies: Policies) -> str:
    """Policies as a JSON document; equal policies give equal documents in any order of rules."""
    ordered = replace(policies, rules=tuple(sorted(policies.rules, key=lambda one: one.name)))
    document = {"version": VERSION, "policies": ordered}
    return spell(document, lambda span: span // MICROSECOND).decode()


def load(text: str) -> Policies:
    """The policies in a document that `dump` wrote; rules come sorted by name.

    Raises:
        ValueError: Not a policy document, of another version, or with an unknown field.
    """
    document = orjson.loads(text)
    if not isinstance(document, dict) or document.get("version") != VERSION:
        version = document.get("version") if isinstance(document, dict) else None
        raise ValueError(f"version {version!r}, but this program reads {VERSION}")
    read = _read(Policies, document.get("policies"))
    if not isinstance(read, Policies):
        raise _unknown(Policies)
    return read


def _read(kind: Any, value: Any) -> object:  # noqa: ANN401 - any type, any JSON value
    """A JSON value as the type that a field is declared with."""
    if is_dataclass(kind):
        return _read_fields(kind, value)
    match get_origin(kind), get_args(kind):
        case origin, options if origin is UnionType:
            inner = next(option for option in options if option is not NoneType)
            return None if value is None else _read(inner, value)
        case origin, (inner, *_) if origin in (frozenset, tuple):
            return origin(_read(inner, one) for one in _checked(list, value))
        case origin, (_, inner) if origin is Mapping:
            return {name: _read(inner, one) for name, one in _checked(dict, value).items()}
        case _:
            return _read_plain(kind, value)


def _read_plain(kind: Any, value: Any) -> object:  # noqa: ANN401 - any type, any JSON value
    if kind is timedelta:
        return _checked(int, value) * MICROSECOND
    if issubclass(kind, StrEnum):
        return kind(value)
    if kind is float:
        return _checked((int, float), value)
    return _checked(kind, value)


def _read_fields(kind: Any, value: Any) -> object:  # noqa: ANN401 - any dataclass, any JSON value
    values, hints = _checked(dict, value), _hints(kind)
    needed = {
        one.name
        for one in fields(kind)
        if one.default is MISSING and one.default_factory is MISSING
    }
    if not needed <= values.keys() <= hints.keys():
        raise _unknown(kind)
    return kind(**{name: _read(hints[name], one) for name, one in values.items()})


@lru_cache
def _hints(kind: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any dataclass
    return get_type_hints(kind)


def _checked(kind: Any, value: Any) -> Any:  # noqa: ANN401 - any type, any JSON value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _unknown(kind)
    return value


def _unknown(kind: object) -> ValueError:
    return ValueError(f"the value for {getattr(kind, '__name__', kind)} cannot be read")


def policies_digest(policies: Policies) -> str:
    """The sha256, in hex, of policies in a canonical form; the order of rules never matters."""
    head = spelled_fields(policies) | {"rules": ()}
    # Digests were stored before `expire` existed: policies without it must keep theirs.
    if not policies.expire:
        del head["expire"]
    rules = sorted(spell(rule, str) for rule in policies.rules)
    return sha256(b"\n".join([joined(head, str), *rules])).hexdigest()
