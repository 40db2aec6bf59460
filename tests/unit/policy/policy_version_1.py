"""How version 1 spells policies: its fields, in its order, and nothing that came later."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from hashlib import sha256
from typing import Any

from janitor.policy import Policies
from janitor.policy.rules import (
    ArchiveRule,
    Delete,
    KeepLast,
    Lifetime,
    Limits,
    Policy,
    Selector,
    SoftDelete,
    Test,
    Trim,
)

FIELDS: Mapping[type, str] = {
    Policies: "rules mode lifetime limits release_grace expire",
    Policy: "name match excepts default keep_forever age_from archive soft_delete delete trim "
    "keep_last max_percent max_threads mode",
    Selector: "kinds projects metadata",
    Test: "any_of exists glob",
    ArchiveRule: "after items keep_for",
    SoftDelete: "after mark",
    Delete: "after items",
    Trim: "keep_items after",
    KeepLast: "count per",
    Lifetime: "min max",
    Limits: "max_percent max_threads max_missing_percent max_errors clock_step max_duration",
}
Span = Callable[[timedelta], Any]


def digest(policies: Policies) -> str:
    """The digest; `expire` is left out where it is empty."""
    rules = sorted(spelled(rule, str).encode() for rule in policies.rules)
    names = [name for name in FIELDS[Policies].split() if name != "expire" or policies.expire]
    said = {name: getattr(policies, name) for name in names} | {"rules": ()}
    head = ",".join(f"{json.dumps(name)}:{spelled(one, str)}" for name, one in said.items())
    return sha256(b"\n".join([f"{{{head}}}".encode(), *rules])).hexdigest()


def document(policies: Policies) -> str:
    """The document that an approval keeps."""
    rules = ",".join(
        spelled(one, microseconds) for one in sorted(policies.rules, key=lambda one: one.name)
    )
    names = [name for name in FIELDS[Policies].split() if name != "rules"]
    rest = ",".join(f'"{name}":{spelled(getattr(policies, name), microseconds)}' for name in names)
    return f'{{"policies":{{"rules":[{rules}],{rest}}},"version":1}}'


def microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def spelled(value: Any, span: Span) -> str:  # noqa: ANN401 - any value of a policy
    """A value as JSON without blanks; the keys of maps and the members of sets are sorted."""
    if type(value) in FIELDS:
        names = FIELDS[type(value)].split()
        pairs = (f'"{name}":{spelled(getattr(value, name), span)}' for name in names)
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, Mapping):
        pairs = (f"{spelled(key, span)}:{spelled(value[key], span)}" for key in sorted(value))
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, frozenset | tuple):
        members = sorted(value) if isinstance(value, frozenset) else value
        return f"[{','.join(spelled(one, span) for one in members)}]"
    if isinstance(value, timedelta):
        value = span(value)
    if isinstance(value, Enum):
        value = value.value
    return json.dumps(value, ensure_ascii=False)
