"""How times are read, wherever they come from and however they are written. Pure.

One parser, one floor and one ceiling serve imports, the inbox, HTTP, sources and the answers of
servers. A time outside the two counts as never set: databases and languages fill a time that
nobody set with the year 1, the epoch or infinity, and such a time must not be taken for old.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FLOOR = datetime(1973, 1, 1, tzinfo=UTC)
CEILING = datetime.max.replace(tzinfo=UTC)
LOWEST = datetime.min.replace(tzinfo=UTC)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""The value of `keep_until` that means forever."""

FIRST_SECOND = int((FLOOR - EPOCH).total_seconds())
SMALLEST = 100_000_000  # of seconds: a smaller number is a year, a date, a sequence or a mistake
LAST_SECOND = 253_402_300_799  # the end of the year 9999
FIRST_FINE_SECOND = 315_532_800  # 1980: an earlier time in a finer unit is past 9999 in seconds
Unit = Literal["seconds", "milliseconds", "microseconds"]
UNITS: Mapping[Unit, int] = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_TEXT = re.compile(
    r"(?P<year>[+-]?\d{4,7})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
    r" ?(?P<zone>[Zz]|UTC|GMT|(?P<east>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d)(?::?\d\d)?)?)?"
    r"(?: UTC| GMT)?)?(?P<before_christ> BC)?",
)
_LAST_YEAR = 9999
# Most times are written in one of two ways, which the standard library reads ten times as fast.
USUAL = len("2026-01-31T00:00:00Z")
STORED = len("2026-01-31 00:00:00.000000")


def parse(value: object) -> datetime:
    """Read a time as UTC; one beyond the calendar's ends becomes `LOWEST` or `CEILING`.

    Accepts ISO 8601 with a `T` or a blank and any spelling of the offset (UTC if there is none),
    dates, epoch seconds, milliseconds and microseconds, `infinity`, and the values that database
    drivers return.

    Raises:
        ValueError: It is not a time.
    """
    match value:
        case str():
            text = value.strip()
            return _of_usual(text) or _of_text(text)
        case datetime():
            return _in_utc(value.replace(tzinfo=None), value.utcoffset() or timedelta())
        case date():
            return datetime.combine(value, time(), UTC)
        case int() | float() | Decimal() if not isinstance(value, bool):
            return _of_number(value)
        case _:
            raise ValueError("not a time")


def is_set(at: datetime) -> bool:
    """Whether a time that was read was really set, and is no filler."""
    return FLOOR <= at < CEILING


def known(at: datetime) -> datetime | None:
    """A time that was read; `None` if it was never set."""
    return at if is_set(at) else None


def until(at: datetime) -> datetime | None:
    """The end of a protection: `FOREVER` at most, `None` if it was never set."""
    return min(at, FOREVER) if at >= FLOOR else None


def of_second(seconds: int) -> datetime | None:
    """A server's time in whole Unix seconds; `None` if it was never set.

    Raises:
        ValueError: It is beyond the year 9999.
    """
    if seconds > LAST_SECOND:
        raise ValueError(f"{seconds} is beyond the year 9999")
    return datetime.fromtimestamp(seconds, UTC) if seconds >= FIRST_SECOND else None


def unit_of(number: float | Decimal) -> Unit | None:
    """The unit of a number since the epoch; `None` if it means a time beyond the year 9999.

    A number that can be seconds is read as seconds: the later of two readings never makes a thread
    look old. A number of seconds just beyond the year 9999 means "never", as the greatest time of
    many languages does; it is not read as the 1970s in a finer unit.
    """
    for unit, scale in UNITS.items():
        if number <= LAST_SECOND * scale:
            return unit if scale == 1 or number >= FIRST_FINE_SECOND * scale else None
    return None


def _of_number(number: float | Decimal) -> datetime:
    if Decimal(number).is_nan():
        raise ValueError("not a time")
    if number <= 0:
        return LOWEST
    if number < SMALLEST:
        raise ValueError("too small for seconds since 1970")
    if (unit := unit_of(number)) is None:
        return CEILING
    return EPOCH + timedelta(microseconds=math.floor(number * (1_000_000 // UNITS[unit])))


def _of_usual(text: str) -> datetime | None:
    """What `_of_text` makes of a time written in a usual way; `None` if it is not."""
    if len(text) == USUAL and text[4:11:3] == "--T" and text[-1] == "Z":
        usual = text
    elif len(text) == STORED and text[4:11:3] == "-- " and text[20:].isdecimal():
        usual = f"{text}+00:00"
    else:
        return None
    try:
        return datetime.fromisoformat(usual)
    except ValueError:  # it is written in another way
        return None


def _of_text(text: str) -> datetime:
    if _INFINITE.fullmatch(text):
        return LOWEST if text.startswith("-") else CEILING
    if _NUMBER.fullmatch(text):
        return _of_number(Decimal(text))
    found = _TEXT.fullmatch(text)
    if found is None:
        at = datetime.fromisoformat(text)  # compact forms and weeks
        return _in_utc(at.replace(tzinfo=None), at.utcoffset() or timedelta())
    year = int(found["year"])
    if year <= 0 or found["before_christ"]:
        return LOWEST
    if year > _LAST_YEAR:
        return CEILING
    day = date(year, int(found["month"]), int(found["day"]))
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    fraction = int(f"{found['fraction'] or 0:0<6}"[:6])
    local = datetime.combine(day, time(hour, minute, second, fraction))
    return _in_utc(local, _offset(found))


def _offset(found: re.Match[str]) -> timedelta:
    if found["east"] is None:
        return timedelta()
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    if hours >= 24 or minutes >= 60:  # noqa: PLR2004  of a day, of an hour
        raise ValueError("no offset")
    ahead = timedelta(hours=hours, minutes=minutes)
    return ahead if found["east"] == "+" else -ahead


def _in_utc(local: datetime, offset: timedelta) -> datetime:
    try:
        return (local - offset).replace(tzinfo=UTC)
    except OverflowError:
        return LOWEST if offset > timedelta() else CEILING


class Heard(NamedTuple):
    """A reported time as it was understood, and a remark if that is not what was written."""

    at: datetime | None = None
    remark: str | None = None


UNHEARD = Heard()
"""No time was reported."""


def heard(name: str, value: object) -> Heard:
    """When something happened, as reported; an absent or empty value means unknown.

    Raises:
        ValueError: It is not a time; names the field, never the value.
    """
    if value is None or value == "":
        return UNHEARD
    try:
        at = (_of_usual(value) if isinstance(value, str) else None) or parse(value)
    except ValueError:
        raise ValueError(
            f"{name}: not a time; write 2026-01-31T00:00:00Z or epoch seconds"
        ) from None
    if is_set(at):
        return Heard(at)
    where = "before 1973" if at < FLOOR else "after the year 9999"
    return Heard(None, f"{name} is {where}: taken as never set")


def heard_until(name: str, value: object) -> Heard:
    """Until when to keep something, as reported; an unreadable value means forever."""
    if value is None or value == "":
        return UNHEARD
    if value == "forever":
        return Heard(FOREVER)
    try:
        at = parse(value)
    except ValueError:
        return Heard(FOREVER, f"{name} cannot be read: kept forever")
    end = until(at)
    return Heard(end, None if end else f"{name} is before 1973: taken as never set")
