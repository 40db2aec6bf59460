"""How a table's newest row is remembered, and where the next reading begins. Pure.

A row may be committed long after it was dated, several may bear one date, and clocks differ. So
each reading begins `overlap` before what is remembered, which is the newest date seen, but never
a later one than the clock of the database that was read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from janitor.errors import ConfigError
from janitor.times import EPOCH, SMALLEST, UNITS, Unit, parse, unit_of

Form = Literal["aware", "naive", "date", "text"] | Unit

DAY = 24 * 60 * 60
TEXT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:(?P<separator>[ T])(?P<minute>\d\d:\d\d)(?P<second>:\d\d)?(?:[.,]\d+)?"
    r" ?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?"
)
FIRST = datetime(1, 1, 3, tzinfo=UTC)  # earlier ones leave no room to count back from


@dataclass(frozen=True, slots=True)
class Layout:
    """How a column spells its times; `separator` and `offset`, in minutes, are a text's.

    `unit`, in seconds, is what the column cannot tell apart; one at least, so that rounding down
    loses nothing.
    """

    form: Form
    separator: str = ""
    offset: int = 0
    unit: int = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """A time, as a table's column has it."""

    at: datetime
    layout: Layout

    def spelled(self) -> dict[str, Any]:
        """The mark as JSON."""
        return {"at": self.at.isoformat(), **asdict(self.layout)}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Mark:
        """A mark from its JSON."""
        layout = Layout(said["form"], said["separator"], said["offset"], said["unit"])
        return cls(datetime.fromisoformat(said["at"]), layout)

    def before(self, at: datetime) -> object:
        """A value of the column that is less than every spelling of a time from `at` on."""
        early = max(at, FIRST) - timedelta(seconds=self.layout.unit)
        match self.layout.form:
            case "aware":
                return early
            case "naive":
                return early.replace(tzinfo=None)
            case "date":
                return early.date()
            case "text":
                return self._text(early)
            case unit:
                return math.floor((early - EPOCH).total_seconds()) * UNITS[unit]

    def _text(self, at: datetime) -> str:
        # Text is compared from the left: fractions and zones of later rows only add to it.
        local = at.replace(tzinfo=None) + timedelta(minutes=self.layout.offset)
        if not self.layout.separator:
            return local.date().isoformat()
        spec = "minutes" if self.layout.unit > 1 else "seconds"
        return local.isoformat(self.layout.separator, spec)


def mark_of(value: object) -> Mark | None:
    """The time that a column's value spells; `None` where it spells none."""
    match value:
        case datetime():
            return Mark(parse(value), Layout("aware" if value.tzinfo else "naive"))
        case date():
            return Mark(parse(value), Layout("date", unit=DAY))
        case int() | float() | Decimal() if not isinstance(value, bool):
            return _of_number(value)
        case str():
            return _of_text(value)
        case _:
            return None


def _of_number(value: float | Decimal) -> Mark | None:
    if not math.isfinite(value) or value < SMALLEST:
        return None  # a sequence, not a time
    unit = unit_of(value)
    return None if unit is None else Mark(parse(value), Layout(unit))


def _of_text(value: str) -> Mark | None:
    if (found := TEXT.fullmatch(value)) is None:
        return None
    try:
        at = parse(value)
    except ValueError:
        return None
    unit = 1 if found["second"] else 60 if found["separator"] else DAY
    layout = Layout("text", found["separator"] or "", _minutes(found["zone"] or ""), unit)
    return Mark(at, layout)


def _minutes(zone: str) -> int:
    """How many minutes a zone that was read is ahead of UTC."""
    digits = zone[1:].replace(":", "")
    ahead = int(digits[:2] or 0) * 60 + int(digits[2:] or 0)
    return -ahead if zone.startswith("-") else ahead


def start_of(known: Mark, clock: datetime, overlap: timedelta) -> object:
    """The value behind which the next reading begins; `clock` is the database's own.

    A clock that was set back since takes the remembered time with it.
    """
    at = min(known.at, clock)
    return known.before(at - overlap if at - FIRST > overlap else FIRST)


def moved(known: Mark | None, seen: Mark | None, clock: datetime) -> Mark | None:
    """What is remembered once everything was read: `clock` is the database's at the beginning.

    Where the clock was set back, what was remembered by the old one goes back as well.
    """
    marks = [mark for mark in (known, seen) if mark is not None]
    if not marks:
        return None
    latest = max(marks, key=lambda mark: mark.at)
    layout = latest.layout if seen is None else seen.layout
    return Mark(min(latest.at, clock), layout)


class Newest:
    """The newest of the times that a reading came by; values that are none are passed over."""

    def __init__(self, column: str) -> None:
        self.mark: Mark | None = None
        self.has_others = False
        self._column = column

    def see(self, value: object) -> None:
        """Take in one row's.

        Raises:
            ConfigError: It is spelled in another way than those before: they cannot be ordered.
        """
        if value is None:
            return
        mark = mark_of(value)
        if mark is None:
            self.has_others = True
            return
        if self.mark is not None and mark.layout != self.mark.layout:
            raise ConfigError(
                f"`{self._column}` holds times in more than one format, which the database does "
                "not put in order: let the query give one (or write `watermark: null`)"
            )
        if self.mark is None or mark.at > self.mark.at:
            self.mark = mark

    def require_times(self) -> None:
        """Raises ConfigError where there were values and not one of them was a time."""
        if self.mark is None and self.has_others:
            raise ConfigError(
                f"`{self._column}` holds no times but, perhaps, a sequence, where an overlap means "
                "nothing and a late commit is lost: name a column that says when a row was changed "
                "(or write `watermark: null` to read everything each time)"
            )
