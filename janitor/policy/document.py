"""Policies as one JSON document that can be read back, so that approved ones outlive their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import orjson

from janitor.policy.rules import Policies

VERSION = 1
MICROSECOND = timedelta(microseconds=1)


def dump(policies: Policies) -> str:
    """Spell policies out; equal ones give equal documents, whatever the order of rules."""
    ordered = replace(policies, rules=tuple(sorted(policies.rules, key=lambda one: one.name)))
    said = {"version": VERSION, "policies": ordered}
    return orjson.dumps(said, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def load(text: str) -> Policies:
    """Read a document back; the rules come sorted by name.

    Raises:
        ValueError: It is none, is of another version, or says something this version does not know.
    """
    said = orjson.loads(text)
    if not isinstance(said, dict) or said.get("version") != VERSION:
        version = said.get("version") if isinstance(said, dict) else None
        raise ValueError(f"version {version!r}, where this program reads {VERSION}")
    read = _read(Policies, said.get("policies"))
    if not isinstance(read, Policies):
        raise _unknown(Policies)
    return read


def _plain(value: object) -> object:
    match value:
        case frozenset():
            return sorted(value)
        case timedelta():
            return value // MICROSECOND
        case Mapping():
            return dict(value)
        case _:
            raise TypeError(type(value).__name__)


def _read(kind: Any, value: Any) -> object:  # noqa: ANN401 - any type, any JSON value
    """A JSON value as the type that a field is declared with."""
    if is_dataclass(kind):
        return _read_fields(kind, value)
    match get_origin(kind), get_args(kind):
        case origin, options if origin is UnionType:
            return None if value is None else _read(_given(options), value)
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
    said, hints = _checked(dict, value), _hints(kind)
    needed = {
        one.name
        for one in fields(kind)
        if one.default is MISSING and one.default_factory is MISSING
    }
    if not needed <= said.keys() <= hints.keys():
        raise _unknown(kind)
    return kind(**{name: _read(hints[name], one) for name, one in said.items()})


@lru_cache
def _hints(kind: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any dataclass
    return get_type_hints(kind)


def _given(options: tuple[Any, ...]) -> Any:  # noqa: ANN401 - a type
    return next(one for one in options if one is not NoneType)


def _checked(kind: Any, value: Any) -> Any:  # noqa: ANN401 - any type, any JSON value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _unknown(kind)
    return value


def _unknown(kind: object) -> ValueError:
    return ValueError(f"what stands for {getattr(kind, '__name__', kind)} cannot be read")
