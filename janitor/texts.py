"""Which text is accepted, from a row, a line, a call over HTTP or a server's answer alike. Pure.

One rule serves all of them and both database engines. So no text that was accepted turns out, in
the middle of a batch of other rows, to be one that the database cannot store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from json import JSONDecoder

PAIRS = 64
KEY_LENGTH = 64
VALUE_LENGTH = 512
PAIR_BYTES = 2200
"""PostgreSQL indexes a pair together with its thread's key, in 2,704 bytes at most."""

UTF_8 = 4
"""The most bytes that a character takes."""

_NO_TEXT = "[\0\ud800-\udfff]"  # NUL and lone surrogates: no engine stores them


class TwiceError(ValueError):
    """A key appears twice in one object, so its value is ambiguous."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a JSON object, for `json.loads`; raises TwiceError if a key appears twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise TwiceError("a key appears twice in one object; write each once")
    return found


def parsed(text: str) -> Any:  # noqa: ANN401 - whatever the text contains
    """Read JSON like `json.loads`; raises TwiceError if a key appears twice in one object."""
    return _decoder().decode(text)


@lru_cache(1)
def _decoder() -> JSONDecoder:
    from json import JSONDecoder  # noqa: PLC0415 - `--help` does not need it

    return JSONDecoder(object_pairs_hook=once)


def is_text(value: str) -> bool:
    """Whether a string can be stored and sent."""
    return value.isprintable() or re.search(_NO_TEXT, value) is None


_is_short_text = lru_cache(1024)(is_text)
"""For keys: there are few of them, and many values."""


def misfit(metadata: Mapping[str, Any]) -> str | None:
    """Why metadata is refused, without quoting a value; `None` if it is accepted."""
    if len(metadata) > PAIRS:
        return f"more than {PAIRS} metadata pairs"
    for name, value in metadata.items():
        if not _is_key(name):
            return f"a metadata key must be 1 to {KEY_LENGTH} characters"
        if not _fits(value, VALUE_LENGTH):
            return f"metadata {name!r} must be text of at most {VALUE_LENGTH} characters"
        is_long = (len(name) + len(value)) * UTF_8 > PAIR_BYTES  # at worst; else no need to encode
        if is_long and len(f"{name}{value}".encode()) > PAIR_BYTES:
            return f"metadata {name!r} takes more than {PAIR_BYTES} bytes with its value"
    return None


def _is_key(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= KEY_LENGTH and _is_short_text(name)


def _fits(value: object, length: int) -> bool:
    return isinstance(value, str) and len(value) <= length and is_text(value)


def percent(share: float) -> str:
    """A percentage as a person writes it: `2.5 %`, and `4,800 %`, not `4.8e+03 %`."""
    return f"{share:,.0f} %" if share >= 100 else f"{share:.3g} %"  # noqa: PLR2004  as it says


def counted(number: int, one: str, more: str | None = None) -> str:
    """A number with its noun, and its verb if there is one: `1 thread`, `3 threads are`."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def plain(value: object) -> str:
    """A value as text that cannot move a terminal's cursor: control characters are escaped."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def span(seconds: float) -> str:
    """A length of time as a person says it: `40 s`, `14 min`, `2 h 10 min`, `3 days`."""
    minutes = round(seconds / 60)
    if seconds < 90:  # noqa: PLR2004 - up to a minute and a half
        return f"{round(seconds)} s"
    if minutes < 2 * 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 2 * 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} days"
