"""Durations as people write them: `90s 30m 24h 30d 2w 1y 3d12h`, or ISO 8601 `P30D`, `PT1H`.

A number without a unit, and a month (28 to 31 days, and `M` is also a minute), are refused: what
is deleted by a misread unit does not come back.
"""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

EXAMPLES = "write for example 90s, 30m, 24h, 30d, 2w, 1y, 3d12h, P30D or PT1H"

UNITS = {
    "y": timedelta(days=365),
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}

MOST_DIGITS = 12
LONGEST = timedelta(days=365 * 1000)

PATTERN = r"^([0-9]+[ywdhms])+$|^P([0-9]+[YWD])*(T([0-9]+[HMS])+)?$"

_PART = re.compile(r"([0-9]+)([a-z])")
_PLAIN = re.compile(r"(?:[0-9]+[ywdhms])+")
_ISO = re.compile(r"P((?:[0-9]+[YWD])*)((?:T(?:[0-9]+[HMS])+)?)")
_MONTHS = re.compile(r"[0-9]+(?:M|mo|mon|months?)|P[0-9YWD]*[0-9]+M.*")


def parse_duration(value: object) -> timedelta:
    """The duration that a text spells; units go from long to short, each at most once.

    Raises ValueError, saying what to write, for anything else: a bare number, a month, zero, a
    negative or fractional amount, more than a thousand years.
    """
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        what = "a bare number is no duration" if number else "a duration is text"
        raise ValueError(f"{what}, it needs a unit: {EXAMPLES}")  # noqa: TRY004 - it is one answer
    return _in_bounds(value, sum(_parts(value), timedelta()))


def format_duration(value: timedelta) -> str:
    """The shortest spelling in days and below, which `parse_duration` reads back.

    Microseconds, which no configuration can spell, are dropped.
    """
    left, parts = value, []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _parts(text: str) -> list[timedelta]:
    spelled = _PART.findall(_lowered(text))
    units = [unit for _, unit in spelled]
    order = list(UNITS)
    if any(order.index(one) >= order.index(next_) for one, next_ in pairwise(units)):
        raise ValueError(f"units go from long to short, each at most once: {EXAMPLES}")
    if any(len(count) > MOST_DIGITS for count, _ in spelled):
        raise ValueError("the duration is longer than a thousand years")
    return [_times(int(count), UNITS[unit]) for count, unit in spelled]


def _lowered(text: str) -> str:
    if _MONTHS.fullmatch(text):
        raise ValueError("a month has no fixed length (and M may be a minute): write 30d or 30m")
    if _PLAIN.fullmatch(text):
        return text
    iso = _ISO.fullmatch(text)
    if iso is None or not any(iso.groups()):
        raise ValueError(f"this is no duration that can be read without doubt: {EXAMPLES}")
    return "".join(iso.groups()).replace("T", "").lower()


def _times(count: int, unit: timedelta) -> timedelta:
    return min(count, LONGEST // unit + 1) * unit


def _in_bounds(text: str, value: timedelta) -> timedelta:
    if not value:
        raise ValueError(f"`{text}` is zero: a duration must be longer")
    if value > LONGEST:
        raise ValueError("the duration is longer than a thousand years")
    return value
