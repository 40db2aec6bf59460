"""The digest of policies: equal where they mean the same, whatever the order of lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from hashlib import sha256

import orjson

from janitor.policy.rules import Policies


def policies_digest(policies: Policies) -> str:
    """The sha256, in hex, of policies in a canonical form; the order of rules never matters."""
    rules = sorted(_canonical(rule) for rule in policies.rules)
    return sha256(b"\n".join([_head(policies), *rules])).hexdigest()


def _head(policies: Policies) -> bytes:
    """What policies say beside their rules; what expires nothing is not spelled at all.

    So the digests stand that approvals and plans were kept by before anything could expire.
    """
    said = {one.name: getattr(policies, one.name) for one in fields(policies)} | {"rules": ()}
    if not policies.expire:
        del said["expire"]
    # Fields keep the order in which they are declared; within each, names are sorted.
    return orjson.dumps({name: orjson.Fragment(_canonical(one)) for name, one in said.items()})


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
