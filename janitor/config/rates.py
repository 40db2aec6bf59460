"""Rates as people write them: `5/s`, `300/min`, `1000/h`, or `auto`, or `unlimited`.

A number without a unit is refused: 300 a second and 300 an hour are far apart.
"""

from __future__ import annotations

import re
from typing import Literal

Rate = float | Literal["auto", "unlimited"]

EXAMPLES = "write auto, unlimited, or for example 5/s, 300/min or 1000/h"
PATTERN = r"^[1-9][0-9]{0,8}/(s|min|h)$"
PER_MINUTE = {"s": 60.0, "min": 1.0, "h": 1 / 60}

_SPELLED = re.compile(PATTERN)


def parse_rate(value: object) -> Rate:
    """Calls a minute, or the word. Raises ValueError, saying what to write, for anything else."""
    if value == "auto" or value == "unlimited":  # noqa: PLR1714 - keeps the words' own types
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"a bare number is no rate, it needs a unit: {EXAMPLES}")  # noqa: TRY004
    if not isinstance(value, str) or not (found := _SPELLED.fullmatch(value)):
        raise ValueError(f"this is no rate that can be read without doubt: {EXAMPLES}")
    return int(value.partition("/")[0]) * PER_MINUTE[found[1]]


def format_rate(rate: Rate) -> str:
    """The rate as a person writes it, in the unit in which it is a whole number."""
    if isinstance(rate, str):
        return rate
    if rate % PER_MINUTE["s"] == 0:
        return f"{rate / PER_MINUTE['s']:.0f}/s"
    return f"{rate:.0f}/min" if rate.is_integer() else f"{rate / PER_MINUTE['h']:.0f}/h"
