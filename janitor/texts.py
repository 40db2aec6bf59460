"""What text may enter, whoever says it: a row, a line, a call over HTTP, a server's answer. Pure.

One judgement serves all of them and both engines, so that nothing that was believed turns out to
be what a database cannot store, amid the rows of everybody else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PAIRS = 64
KEY_LENGTH = 64
VALUE_LENGTH = 512
PAIR_BYTES = 2200
"""PostgreSQL indexes a pair together with its thread's key, in 2,704 bytes at most."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # NUL and halves of characters: no engine stores them


class TwiceError(ValueError):
    """An object contradicts itself: which of two values holds nobody knows."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a JSON object, for `json.loads`; TwiceError where a key stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise TwiceError("a key stands twice in one object; write each once")
    return found


def is_text(value: str) -> bool:
    """Whether a string can be stored and sent."""
    return _NO_TEXT.search(value) is None


def misfit(metadata: Mapping[str, object]) -> str | None:
    """Why metadata must not enter, which quotes no value; `None` where it may."""
    if len(metadata) > PAIRS:
        return f"more than {PAIRS} metadata pairs"
    for name, value in metadata.items():
        if not _fits(name, KEY_LENGTH) or not name:
            return f"a metadata key must be 1 to {KEY_LENGTH} characters"
        if not _fits(value, VALUE_LENGTH):
            return f"metadata {name!r} must be text of at most {VALUE_LENGTH} characters"
        if len(f"{name}{value}".encode()) > PAIR_BYTES:
            return f"metadata {name!r} takes more than {PAIR_BYTES} bytes with its value"
    return None


def _fits(value: object, length: int) -> bool:
    return isinstance(value, str) and len(value) <= length and is_text(value)
