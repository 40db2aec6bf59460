"""How a table's newest row is remembered, and where the next reading begins. Pure.

A row may be committed long after it was dated, several may bear one date, and clocks differ. So
each reading begins `overlap` before what is remembered, which is the newest date seen, but never
a later one than the clock of the database that was read.

A column may change how it spells its times, and the database does not put two spellings in order.
So a reading begins before each spelling that was seen of late, and where one of another spelling
turns up, or hides below that beginning, everything is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from janitor.errors import ConfigError
from janitor.times import (
    CEILING,
    EPOCH,
    LAST_SECOND,
    LOWEST,
    SMALLEST,
    UNITS,
    Unit,
    is_set,
    parse,
    unit_of,
)

Form = Literal["aware", "naive", "date", "text"] | Unit

DAY = 24 * 60 * 60
TEXT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:(?P<separator>[ T])(?P<minute>\d\d:\d\d)(?P<second>:\d\d)?(?:[.,]\d+)?"
    r" ?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?"
)
ZERO = timedelta()
FIRST = datetime(1, 1, 3, tzinfo=UTC)  # earlier ones leave no room to count back from
SPREAD = timedelta(hours=26)  # so far apart the clocks of two zones are, at the most
AHEAD = timedelta(days=366)  # a row's time further in the future is none


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

    @property
    def family(self) -> str:
        """What the database puts in order; by name, as SQLite has numbers before text."""
        return "number" if self.form in UNITS else self.form

    def before(self, at: datetime) -> Any:  # noqa: ANN401 - of the column's type
        """A value of the column that is less than every spelling of a time from `at` on."""
        early = max(at, FIRST) - timedelta(seconds=self.unit)
        match self.form:
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
        local = at.replace(tzinfo=None) + timedelta(minutes=self.offset)
        if not self.separator:
            return local.date().isoformat()
        spec = "minutes" if self.unit > 1 else "seconds"
        return local.isoformat(self.separator, spec)


@dataclass(frozen=True, slots=True)
class Mark:
    """A time, as a table's column has it; `beside` are other layouts that it had of late."""

    at: datetime
    layout: Layout
    beside: tuple[Layout, ...] = ()

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Every layout that the next reading must begin before."""
        return (self.layout, *self.beside)

    def spelled(self) -> dict[str, Any]:
        """The mark as JSON."""
        beside = [asdict(one) for one in self.beside]
        return {"at": self.at.isoformat(), **asdict(self.layout), "beside": beside}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Mark:
        """A mark from its JSON."""
        layout = Layout(said["form"], said["separator"], said["offset"], said["unit"])
        beside = tuple(Layout(**one) for one in said.get("beside", ()))
        return cls(datetime.fromisoformat(said["at"]), layout, beside)


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


def since(known: Mark, clock: datetime, overlap: timedelta) -> datetime:
    """From which time on the next reading must see every row; `clock` is the database's own.

    A clock that was set back since takes the remembered time with it.
    """
    at = min(known.at, clock)
    return at - overlap if at - FIRST > overlap else FIRST


def start_of(known: Mark, clock: datetime, overlap: timedelta) -> Any:  # noqa: ANN401 - of the column's type
    """The value behind which the next reading begins."""
    early = since(known, clock, overlap)
    first = min(known.layouts, key=lambda one: (one.family, one.before(early)))
    return first.before(early)


def moved(
    known: Mark | None, seen: Mapping[Layout, datetime], clock: datetime, overlap: timedelta
) -> Mark | None:
    """What is remembered once everything was read: `clock` is the database's at the beginning.

    `seen` holds the newest time of each layout. Where the clock was set back, what was remembered
    by the old one goes back as well.
    """
    newest = dict(seen)
    if known is not None:
        newest[known.layout] = max(known.at, seen.get(known.layout, known.at))
    if not newest:
        return None
    at = min(max(newest.values()), clock)
    layout = max(seen or newest, key=lambda one: newest[one])
    others = {one: its for one, its in newest.items() if one != layout}
    early = since(Mark(at, layout), clock, overlap)
    return Mark(at, layout, tuple(recent(others, early)))


def recent(newest: Mapping[Layout, datetime], early: datetime) -> Iterator[Layout]:
    """The layouts of which a row may stand beside those of that time or later."""
    for layout, at in newest.items():
        apart = timedelta(seconds=layout.unit) + (2 * SPREAD if layout.form == "text" else ZERO)
        if early - at < apart:
            yield layout


HALF_HOURS = (30, 45)
"""The minutes of offsets that are no whole hours."""


class Spot(NamedTuple):
    """Where rows hide: above `low`, up to `high`, `like` one shape and `unlike` the others."""

    low: object
    high: object
    like: str = "%"
    unlike: tuple[str, ...] = ()


def hidden(known: Mark, clock: datetime, overlap: timedelta, *, mixes: bool) -> Iterator[Spot]:
    """Where times of a layout that is not known hide from the next reading, though they are newer.

    `mixes` says that a column holds numbers beside text.
    """
    early = since(known, clock, overlap)
    forms = {one.form for one in known.layouts}
    scales = [scale for unit, scale in UNITS.items() if unit in forms]
    for unit, scale in UNITS.items():
        if scales and scale < min(scales):
            yield Spot(Layout(unit).before(early), LAST_SECOND * scale)
    texts = [one for one in known.layouts if one.form == "text"]
    if texts and not scales:
        yield from _hidden_numbers(early, clock, mixes=mixes)
        yield from _hidden_texts(texts, early, start_of(known, clock, overlap))


def _hidden_numbers(early: datetime, clock: datetime, *, mixes: bool) -> Iterator[Spot]:
    latest = min(clock, CEILING - AHEAD) + AHEAD
    for unit in UNITS:
        low, high = Layout(unit).before(early), Layout(unit).before(latest)
        yield Spot(str(low), str(high), unlike=("%-%",))
        if mixes:
            yield Spot(low, high, unlike=("%-%",))


def _hidden_texts(known: list[Layout], early: datetime, start: object) -> Iterator[Spot]:
    """Days alone and blanks sort below a `T`, and clocks further west behind those of the east."""
    lowest = min(one.separator for one in known)
    for separator, shape in (("", "_" * 10), (" ", "____-__-__ %")):
        if separator < lowest:
            one = replace(known[0], separator=separator, unit=1 if separator else DAY)
            yield Spot(one.before(early), start, like=shape)
    west = known[0].before(early - SPREAD)
    for like, unlike in _further_west({one.offset for one in known}):
        yield Spot(west, start, like, unlike)


def _further_west(offsets: set[int]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The shapes of clocks west of all that are known, which alone can hide behind these."""
    westernmost = min(offsets)
    shape = "%:%-%" if westernmost <= 0 else "%:%"
    yield shape, tuple(_clock(one) for one in offsets if one)
    if westernmost < 0 and westernmost % 60 == 0:  # its shape is that of its half hours, too
        for minutes in HALF_HOURS:
            yield f"{_clock(westernmost)}{minutes}", ()


def _clock(offset: int) -> str:
    """The shape of a time that an offset ends, however it is spelled: +05, +0530, +05:30."""
    hours, minutes = divmod(abs(offset), 60)
    return f"%:%{'+' if offset > 0 else '-'}{hours:02}%{minutes or ''}"


class Newest:
    """The newest time of each layout that a reading came by; values that are none are passed over.

    A time that was never set says nothing of the layout, either.
    """

    def __init__(self, column: str) -> None:
        self.seen: dict[Layout, datetime] = {}
        self.has_others = False
        self._column = column

    def see(self, value: object) -> None:
        """Take in one row's."""
        if value is None or was_never_set(value):
            return
        mark = mark_of(value)
        if mark is None:
            self.has_others = True
        elif mark.at > self.seen.get(mark.layout, LOWEST):
            self.seen[mark.layout] = mark.at

    def require_times(self) -> None:
        """Raises ConfigError where there were values and not one of them was a time."""
        if not self.seen and self.has_others:
            raise ConfigError(
                f"`{self._column}` holds no times but, perhaps, a sequence, where an overlap means "
                "nothing and a late commit is lost: name a column that says when a row was changed "
                "(or write `watermark: null` to read everything each time)"
            )


def was_never_set(value: object) -> bool:
    """Whether a column's value is a time that nobody meant, such as `-infinity` or the year 1."""
    try:
        return not is_set(parse(value))
    except ValueError:
        return False
