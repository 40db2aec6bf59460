"""What may be paced, how fast, and in whose favour."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Literal

import httpx2

Allowance = float | Literal["auto", "unlimited"]
"""Calls a minute; or what the server lets through, found by trying; or no bound."""


class Verb(StrEnum):
    """What a request does; servers count the verbs apart."""

    DELETE = "delete"
    READ = "read"
    WRITE = "write"


class Urgency(IntEnum):
    """Who goes first where several wait."""

    ERASE = 0
    APPLY = 1
    SWEEP = 2


AUTO: Mapping[Verb, Allowance] = dict.fromkeys(Verb, "auto")
UNLIMITED: Mapping[Verb, Allowance] = dict.fromkeys(Verb, "unlimited")


def verb_of(method: str) -> Verb:
    """The verb of an HTTP method; whatever is neither DELETE nor a look is a write."""
    match method:
        case "DELETE":
            return Verb.DELETE
        case "GET" | "HEAD" | "OPTIONS":
            return Verb.READ
        case _:
            return Verb.WRITE


def told_limit(headers: httpx2.Headers) -> float | None:
    """The smallest limit of requests that an answer's `x-ratelimit-limit...` headers name."""
    said = (
        value.partition(",")[0].partition(";")[0].strip()
        for name, value in headers.items()
        if name.startswith("x-ratelimit-limit") and name.rpartition("-")[2] in {"limit", "requests"}
    )
    return min((float(one) for one in said if one.isdecimal() and int(one)), default=None)
