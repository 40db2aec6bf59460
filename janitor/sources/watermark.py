"""How far a source was read, and where the next reading begins.

A row may be committed long after its timestamp, several may share one, and clocks differ. So each
reading begins `overlap` before the remembered time, which is the newest one seen, but never later
than the clock of the database that was read.

A column may change the format of its times, and the database does not order times across formats.
So a reading begins early enough in each format that was seen recently. Below that beginning, only
rows whose shape and time were both read before are skipped: all others are read, whatever they
hold.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

from janitor.errors import ConfigError
from janitor.registry import Registry
from janitor.times import (
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
FIRST = datetime(1, 1, 3, tzinfo=UTC)  # earlier ones leave no room to subtract from
SPREAD = timedelta(hours=26)  # the most that the clocks of two zones differ
SHAPES = 100
"""How many shapes are remembered at most; rows of any others are read each time."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The format of a column's times; `separator` and `offset`, in minutes, apply to text.

    `unit` is the column's resolution in seconds, at least one, so that rounding down loses nothing.
    """

    form: Form
    separator: str = ""
    offset: int = 0
    unit: int = 1

    @property
    def family(self) -> str:
        """What the database orders together; the names sort as in SQLite, numbers before text."""
        return "number" if self.form in UNITS else self.form

    def before(self, at: datetime) -> Any:  # noqa: ANN401 - of the column's type
        """A value in this format that is less than that of any time from `at` on."""
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
        # Text is compared from the left: fractions and zones of later rows only make it greater.
        local = at.replace(tzinfo=None) + timedelta(minutes=self.offset)
        if not self.separator:
            return local.date().isoformat()
        spec = "minutes" if self.unit > 1 else "seconds"
        return local.isoformat(self.separator, spec)


@dataclass(frozen=True, slots=True)
class Watermark:
    """A time in a column's layout; `beside` are other layouts that the column had recently.

    `shapes` are those of all text that was read; `has_unordered` means that some rows had no time
    that can be ordered.
    """

    at: datetime
    layout: Layout
    beside: tuple[Layout, ...] = ()
    shapes: tuple[str, ...] = ()
    has_unordered: bool = False

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Every layout that the next reading must begin before."""
        return (self.layout, *self.beside)

    def spelled(self) -> dict[str, Any]:
        """The watermark as JSON."""
        beside = [asdict(one) for one in self.beside]
        others = {"shapes": list(self.shapes), "has_unordered": self.has_unordered}
        return {"at": self.at.isoformat(), **asdict(self.layout), "beside": beside, **others}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Watermark:
        """A watermark from its JSON."""
        layout = Layout(values["form"], values["separator"], values["offset"], values["unit"])
        beside = tuple(Layout(**one) for one in values.get("beside", ()))
        at, shapes = datetime.fromisoformat(values["at"]), tuple(values.get("shapes", ()))
        return cls(at, layout, beside, shapes, values.get("has_unordered", False))


def mark_of(value: object) -> Watermark | None:
    """The time that a column's value means; `None` if it is not a time."""
    match value:
        case datetime():
            return Watermark(parse(value), Layout("aware" if value.tzinfo else "naive"))
        case date():
            return Watermark(parse(value), Layout("date", unit=DAY))
        case int() | float() | Decimal() if not isinstance(value, bool):
            return _of_number(value)
        case str():
            return _of_text(value)
        case _:
            return None


def _of_number(value: float | Decimal) -> Watermark | None:
    if not math.isfinite(value) or value < SMALLEST:
        return None  # a sequence, not a time
    unit = unit_of(value)
    return None if unit is None else Watermark(parse(value), Layout(unit))


def _of_text(value: str) -> Watermark | None:
    if (found := TEXT.fullmatch(value)) is None:
        return None
    try:
        at = parse(value)
    except ValueError:
        return None
    unit = 1 if found["second"] else 60 if found["separator"] else DAY
    layout = Layout("text", found["separator"] or "", _minutes(found["zone"] or ""), unit)
    return Watermark(at, layout)


def _minutes(zone: str) -> int:
    """How many minutes a parsed zone is ahead of UTC."""
    digits = zone[1:].replace(":", "")
    ahead = int(digits[:2] or 0) * 60 + int(digits[2:] or 0)
    return -ahead if zone.startswith("-") else ahead


def since(known: Watermark, clock: datetime, overlap: timedelta) -> datetime:
    """The time from which the next reading must see every row; `clock` is the database's own.

    If that clock has been set back, the remembered time goes back with it.
    """
    at = min(known.at, clock)
    return at - overlap if at - FIRST > overlap else FIRST


def start_of(known: Watermark, clock: datetime, overlap: timedelta) -> Any:  # noqa: ANN401 - of the column's type
    """The value after which the next reading begins."""
    early = since(known, clock, overlap)
    first = min(known.layouts, key=lambda one: (one.family, one.before(early)))
    return first.before(early)


def moved(
    known: Watermark | None, seen: Mapping[Layout, datetime], clock: datetime, overlap: timedelta
) -> Watermark | None:
    """The watermark to store after a reading; `clock` is the database's at the beginning.

    `seen` holds the newest time of each layout. If the clock was set back, the time that was
    remembered by the old clock goes back as well.
    """
    newest = dict(seen)
    if known is not None:
        newest[known.layout] = max(known.at, seen.get(known.layout, known.at))
    if not newest:
        return None
    at = min(max(newest.values()), clock)
    layout = max(seen or newest, key=lambda one: newest[one])
    others = {one: its for one, its in newest.items() if one != layout}
    early = since(Watermark(at, layout), clock, overlap)
    return Watermark(at, layout, tuple(recent(others, early)))


def recent(newest: Mapping[Layout, datetime], early: datetime) -> Iterator[Layout]:
    """The layouts that may have a row from `early` or later, given their zones and resolution."""
    for layout, at in newest.items():
        apart = timedelta(seconds=layout.unit) + (2 * SPREAD if layout.form == "text" else ZERO)
        if early - at < apart:
            yield layout


def shape_of(value: str) -> str | None:
    """The pattern of a time in text: `_` for each digit, the zone as it is; `None` for no time."""
    if (found := TEXT.fullmatch(value)) is None:
        return None
    end = found.start("zone") if found["zone"] else len(value)
    return re.sub(r"\d", "_", value[:end]) + value[end:]


def _layout_of(shape: str) -> Layout:
    filled = zip_longest(shape, "2000-01-01", fillvalue="0")
    mark = _of_text("".join(digit if one == "_" else one for one, digit in filled if one))
    if mark is None:
        raise ValueError("not the shape of a time")
    return mark.layout


class Unread(NamedTuple):
    """The values below a reading's beginning that were not read before.

    Numbers: those below `least`, above `most`, or in one of `gaps`, which is above its first and up
    to its second number. Text: whatever has none of the `shapes`, or is greater than the text
    paired with its shape.
    """

    least: int
    most: int
    gaps: tuple[tuple[int, int], ...]
    shapes: tuple[tuple[str, str], ...]


def unread(known: Watermark, clock: datetime, overlap: timedelta) -> Unread:
    """What the next reading will not see and no earlier one saw."""
    early = since(known, clock, overlap)
    gaps = ((Layout(unit).before(early), LAST_SECOND * UNITS[unit]) for unit in UNITS)
    shapes = ((one, _layout_of(one).before(early)) for one in known.shapes)
    most = LAST_SECOND * max(UNITS.values())
    return Unread(SMALLEST, most, tuple(gaps), tuple(shapes))


def is_unordered(value: object) -> bool:
    """Whether a column's value is neither a time that can be ordered nor one that was never set."""
    if value is None:
        return True
    if mark_of(value) is not None:
        return False
    is_number = isinstance(value, int | float | Decimal) and math.isfinite(value)
    return is_number or not was_never_set(value)


class Newest:
    """The newest time of each layout that a reading saw; values that are not times are skipped.

    A time that was never set is skipped, too: it says nothing about the layout.
    """

    def __init__(self, column: str) -> None:
        self.seen: dict[Layout, datetime] = {}
        self.shapes: set[str] = set()
        self.has_others = False
        self._column = column

    def see(self, value: object) -> None:
        """Record the value of one row."""
        if value is None or was_never_set(value):
            return
        mark = mark_of(value)
        if mark is None:
            self.has_others = True
            return
        if isinstance(value, str) and (shape := shape_of(value)) is not None:
            self.shapes.add(shape)
        if mark.at > self.seen.get(mark.layout, LOWEST):
            self.seen[mark.layout] = mark.at

    def all_shapes(self, known: Collection[str]) -> tuple[str, ...]:
        """The shapes seen and those known before, at most `SHAPES` of them."""
        return (*known, *sorted(self.shapes.difference(known)))[:SHAPES]

    def require_times(self) -> None:
        """Raise ConfigError if there were values but none of them was a time."""
        if not self.seen and self.has_others:
            raise ConfigError(
                f"`{self._column}` contains no times but perhaps a sequence, where an overlap "
                "means nothing and a late commit is lost: name a column that says when a row was "
                "changed (or write `watermark: null` to read everything each time)"
            )


def was_never_set(value: object) -> bool:
    """Whether a column's value is a placeholder, not a real time: `-infinity` or the year 1."""
    try:
        return not is_set(parse(value))
    except ValueError:
        return False


MEMORY = "sources"
"""The registry's key for what is remembered, so that all replicas know of a failing source."""
INBOX = "the inbox"
"""The name under which the inbox is remembered; no source can have it."""


@dataclass(frozen=True, slots=True)
class InputMemory:
    """What is remembered of a source's readings; for a list or the inbox, only how they ended.

    `mark` belongs to `identity`: the query, its watermark and the database. `full_at` is when all
    rows were last read, `trouble` why the last reading failed, and `readings` counts all readings.
    """

    identity: str = ""
    mark: Watermark | None = None
    ended_at: datetime | None = None
    full_at: datetime | None = None
    failed_at: datetime | None = None
    trouble: str | None = None
    readings: int = 0

    @property
    def is_down(self) -> bool:
        """Whether its threads must be kept, because its table may hold newer facts."""
        return self.trouble is not None or self.ended_at is None

    def failed(self, at: datetime, trouble: str) -> InputMemory:
        """The memory after a reading that did not finish; what was remembered stays."""
        return replace(self, failed_at=at, trouble=trouble, readings=self.readings + 1)

    def ended(
        self,
        at: datetime,
        identity: str,
        mark: Watermark | None,
        full_at: datetime | None,
        *,
        trouble: str | None = None,
    ) -> InputMemory:
        """The memory after a reading that finished; a `trouble` still marks the source as down."""
        if trouble is not None:
            known = self.failed(at, trouble)
            return replace(known, identity=identity, mark=mark, full_at=full_at)
        return InputMemory(identity, mark, at, full_at, self.failed_at, None, self.readings + 1)


def is_source(name: str) -> bool:
    """Whether a remembered name is that of a source."""
    return name != INBOX and ":" not in name


def memories(registry: Registry) -> dict[str, InputMemory]:
    """What is remembered, by source, list (`ApiList.round`) and `INBOX`."""
    return _read(registry.key_values.recall(MEMORY))


def remember(
    registry: Registry, source: str, change: Callable[[InputMemory, datetime], InputMemory]
) -> InputMemory:
    """Change what is remembered of one input; `change` gets that and the shared clock's time."""
    changed: list[InputMemory] = []

    def altered(before: str | None, now: datetime) -> str:
        known = _read(before)
        known[source] = change(known.get(source, InputMemory()), now)
        changed.append(known[source])
        return _spell(known)

    registry.key_values.alter(MEMORY, altered)
    return changed[-1]


def failed(registry: Registry, name: str, trouble: str) -> None:
    """Remember that a list or the inbox could not be read to its end."""
    remember(registry, name, lambda memory, at: memory.failed(at, trouble))


def recovered(registry: Registry, name: str) -> None:
    """Remember that a list or the inbox was read to its end."""
    remember(registry, name, lambda memory, at: memory.ended(at, "", None, None))


def forget_others(registry: Registry, configured: Iterable[str]) -> None:
    """Forget the sources and lists that are no longer configured; they register nothing more."""
    named = {*configured, INBOX}
    if set(memories(registry)) - named:
        registry.key_values.alter(
            MEMORY,
            lambda before, _: _spell({n: m for n, m in _read(before).items() if n in named}),
        )


def troubles(registry: Registry) -> dict[str, str]:
    """Why each input that is down is down, by a readable name."""
    return {
        f"source {name}" if is_source(name) else name: memory.trouble or "was never read"
        for name, memory in memories(registry).items()
        if (memory.is_down if is_source(name) else memory.trouble is not None)
    }


def down(registry: Registry, configured: Iterable[str]) -> dict[str, str]:
    """The configured sources whose threads must be kept, each with the reason and what to do.

    `INBOX` is among them while it cannot be read: it may hold facts about any thread.
    """
    return down_by(registry.key_values.recall(MEMORY), configured)


def down_by(remembered: str | None, configured: Iterable[str]) -> dict[str, str]:
    """Like `down`, by the text stored under `MEMORY`."""
    known = _read(remembered)
    found = {name: known.get(name, InputMemory()) for name in configured}
    told = {name: _told(name, memory) for name, memory in found.items() if memory.is_down}
    if (trouble := known.get(INBOX, InputMemory()).trouble) is not None:
        told[INBOX] = f"{trouble}. No thread is removed until it is read: janitor sweep tries again"
    return told


def _told(name: str, memory: InputMemory) -> str:
    why = memory.trouble or f"source {name}: was never read to its end"
    return f"{why}. Its threads are kept until it is: janitor sync --source {name}"


def _spell(known: dict[str, InputMemory]) -> str:
    rows = {
        name: {**asdict(memory), "mark": memory.mark.spelled() if memory.mark else None}
        for name, memory in known.items()
    }
    return json.dumps(rows, default=datetime.isoformat)


def _read(text: str | None) -> dict[str, InputMemory]:
    return {name: _memory(row) for name, row in json.loads(text or "{}").items()}


def _memory(row: dict[str, Any]) -> InputMemory:
    times = {name: _time(row[name]) for name in ("ended_at", "full_at", "failed_at")}
    mark = Watermark.of(row["mark"]) if row["mark"] else None
    return InputMemory(
        identity=row["identity"],
        mark=mark,
        trouble=row["trouble"],
        readings=row["readings"],
        **times,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
