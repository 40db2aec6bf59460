"""The digest of policies: equal where they mean the same, whatever the order of lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import orjson

from janitor.policy.rules import Policies


def policies_digest(policies: Policies) -> str:
    """The sha256, in hex, of policies in a canonical form; the order of rules never matters."""
    rules = sorted(_canonical(rule) for rule in policies.rules)
    return sha256(b"\n".join([_canonical(replace(policies, rules=())), *rules])).hexdigest()


def _canonical(value: object) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)


def _plain(value: object) -> object:
    match value:
        case frozenset():
            return sorted(value)
        case timedelta():
            return str(value)
        case Mapping():
            return dict(value)
        case _:
            raise TypeError(type(value).__name__)
