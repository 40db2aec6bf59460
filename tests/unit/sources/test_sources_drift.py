"""A column that changes how it spells its times: said, read whole once, and no row is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from application import ids, of_address, of_file, read, write
from postgres import Server

from janitor.config import Source
from janitor.registry import Registry
from janitor.sources.watermark import down

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
OLD = [NOON - timedelta(days=day) for day in (9, 2, 1)]
QUERY = "SELECT id, 'thread' AS kind, at FROM chats WHERE at > :watermark"
SPELLINGS: dict[str, Callable[[datetime], Any]] = {
    "seconds": lambda at: int(at.timestamp()),
    "milliseconds": lambda at: int(at.timestamp() * 1000),
    "microseconds": lambda at: int(at.timestamp() * 1_000_000),
    "blank": lambda at: f"{at:%Y-%m-%d %H:%M:%S}",
    "T": lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}",
    "day": lambda at: f"{at:%Y-%m-%d}",
    "minutes": lambda at: f"{at:%Y-%m-%d %H:%M}",
    "east": lambda at: at.astimezone(timezone(timedelta(hours=2))).isoformat(),
    "west": lambda at: at.astimezone(timezone(timedelta(hours=-5))).isoformat(),
    "digits": lambda at: str(int(at.timestamp())),
    "longer digits": lambda at: str(int(at.timestamp() * 1000)),
}
OF_NUMBERS = [
    *(("milliseconds", "seconds"), ("seconds", "milliseconds"), ("microseconds", "seconds")),
    *(("milliseconds", "microseconds"), ("microseconds", "milliseconds")),
]
OF_TEXT = [
    *(("T", "blank"), ("blank", "T"), ("T", "day"), ("day", "T"), ("blank", "day")),
    *(("minutes", "blank"), ("blank", "minutes"), ("east", "T"), ("T", "east"), ("T", "west")),
    *(("west", "T"), ("east", "west"), ("west", "east"), ("east", "day"), ("day", "east")),
    *(("T", "digits"), ("blank", "longer digits")),
]
OF_BOTH = [("seconds", "T"), ("T", "seconds"), ("blank", "milliseconds"), ("milliseconds", "day")]
OF_FILES = [
    *(("INTEGER", *pair) for pair in OF_NUMBERS),
    *(("TEXT", *pair) for pair in OF_TEXT),
    *(("", *pair) for pair in (*OF_BOTH, *OF_NUMBERS[:2], *OF_TEXT[:2], *OF_TEXT[-2:])),
]
OF_SERVERS = [
    *(("bigint", *pair) for pair in OF_NUMBERS[:3]),
    ("numeric", *OF_NUMBERS[0]),
    *(("text", *pair) for pair in OF_TEXT if "minutes" not in pair),
]
UNORDERED = {"digits", "longer digits"}  # a watermark does not take text of digits for times
Add = Callable[[dict[str, Any]], None]


def clock(hours: float) -> Callable[[datetime], str]:
    """The spelling of a clock so many hours east."""
    return lambda at: at.astimezone(timezone(timedelta(hours=hours))).isoformat()


def drifts(registry: Registry, source: Source, add: Add, before: str, after: str) -> None:
    """Rows of one format are read, then some of another; all arrive, and it is said."""
    old, new = SPELLINGS[before], SPELLINGS[after]
    add({f"old{i}": old(at) for i, at in enumerate(OLD)} | {"last": old(NOON)})
    first = read(registry, source)
    assert (first.read, first.done.added, first.drift) == (4, 4, None)
    add({"new": new(NOON + timedelta(seconds=5))})
    whole = read(registry, source)
    assert (whole.read, whole.done.added, whole.done.unchanged, whole.refused) == (5, 1, 4, 0)
    assert whole.drift is not None
    assert "whole table was read" in whole.drift
    again = read(registry, source)
    assert after in UNORDERED or "whole" not in (again.drift or "")
    add({"late": old(NOON + timedelta(seconds=3))})  # a process of before the change commits
    read(registry, source)
    later = NOON + timedelta(days=1)
    add({"next": new(later), "after": new(later + timedelta(seconds=1))})
    read(registry, source)
    assert ids(registry) == ["after", "last", "late", "new", "next", "old0", "old1", "old2"]
    assert down(registry, ["chats"]) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("column", "before", "after"), OF_FILES)
def test_no_row_of_a_file_is_lost_to_another_format(
    column: str, before: str, after: str, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    write(path, f"CREATE TABLE chats (id TEXT, at {column})")

    def add(rows: dict[str, Any]) -> None:
        write(path, "INSERT INTO chats VALUES (?, ?)", rows=rows.items())

    drifts(registry, of_file(path, QUERY, "at"), add, before, after)


@pytest.mark.slow
@pytest.mark.parametrize("formats", OF_SERVERS, ids=" ".join)
def test_no_row_of_a_server_is_lost_to_another_format(
    formats: tuple[str, str, str], postgres: Server, app: str, registry: Registry
) -> None:
    column, before, after = formats
    postgres.execute(f"CREATE TABLE chats (id text, at {column})", app)

    def add(rows: dict[str, Any]) -> None:
        said = ", ".join(f"('{name}', '{at}')" for name, at in rows.items())
        postgres.execute(f"INSERT INTO chats VALUES {said}", app)  # noqa: S608

    drifts(registry, of_address(postgres.url(app), QUERY, "at"), add, before, after)


@pytest.mark.parametrize("type", ["bigint", "text"])
def test_a_table_that_was_rewritten_is_read_whole_once(
    type: str, postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute(f"CREATE TABLE chats (id text, at {type})", app)
    moment = datetime.now(UTC) - timedelta(minutes=1)
    before, after = ("milliseconds", "seconds") if type == "bigint" else ("T", "blank")
    spelled = SPELLINGS[before](moment), SPELLINGS[after](moment)
    postgres.execute(f"INSERT INTO chats VALUES ('a', '{spelled[0]}')", app)  # noqa: S608
    source = of_address(postgres.url(app), QUERY, "at")
    read(registry, source)
    postgres.execute(f"UPDATE chats SET at = '{spelled[1]}'", app)  # noqa: S608
    whole, again = read(registry, source), read(registry, source)
    assert (whole.read, whole.done.unchanged) == (1, 1)
    assert "whole table was read" in (whole.drift or "")
    assert "whole table was read" not in (again.drift or "")


def test_a_row_of_another_format_counts_once_where_it_is_refused(
    tmp_path: Path, registry: Registry
) -> None:
    path, source = tmp_path / "app.db", of_file(tmp_path / "app.db", QUERY, "at")
    write(path, "CREATE TABLE chats (id TEXT, at TEXT)")
    old, new = SPELLINGS["blank"], SPELLINGS["T"]
    insert = "INSERT INTO chats VALUES (?, ?)"
    write(path, insert, rows=[("a", old(NOON)), ("no id", old(NOON))])
    read(registry, source)
    write(path, insert, rows=[("b", new(NOON)), ("none either", new(NOON))])
    for changing in (False, True):
        done = read(registry, source, changing=changing)
        counts = (done.read, done.done.added, done.done.unchanged, done.refused)
        assert counts == (4, 1, 1, 2)
        assert len(done.refusals) == 2


def test_formats_that_alternate_are_told_each_time_and_read_behind_both(
    tmp_path: Path, registry: Registry
) -> None:
    path, source = tmp_path / "app.db", of_file(tmp_path / "app.db", QUERY, "at")
    write(path, "CREATE TABLE chats (id TEXT, at TEXT)")
    for number in range(4):
        spell = SPELLINGS["blank" if number % 2 else "T"]
        at = NOON + timedelta(minutes=number)
        write(path, "INSERT INTO chats VALUES (?, ?)", rows=[(f"t{number}", spell(at))])
        done = read(registry, source)
        assert done.done.added == 1
        assert (done.drift is None) == (number == 0)


RETYPED = {
    "timestamptz to text": ("timestamptz", "text", "at::text"),
    "timestamptz to timestamp": ("timestamptz", "timestamp", "at AT TIME ZONE 'UTC'"),
    "timestamptz to bigint": ("timestamptz", "bigint", "extract(epoch FROM at)::bigint"),
    "text to timestamptz": ("text", "timestamptz", "at::timestamptz"),
}


@pytest.mark.parametrize("name", RETYPED)
def test_a_column_of_another_type_loses_no_row(
    name: str, postgres: Server, app: str, registry: Registry
) -> None:
    before, after, using = RETYPED[name]
    postgres.execute(f"CREATE TABLE chats (id text, at {before})", app)
    postgres.execute("INSERT INTO chats VALUES ('a', now()), ('b', '2026-01-01 00:00:00+00')", app)
    source = of_address(postgres.url(app), QUERY, "at")
    assert read(registry, source).read == 2
    postgres.execute(f"ALTER TABLE chats ALTER at TYPE {after} USING {using}", app)
    postgres.execute("INSERT INTO chats SELECT 'c', max(at) FROM chats", app)
    whole = read(registry, source)
    assert (whole.read, whole.done.added) == (3, 1)
    assert "more than one format" in (whole.drift or "")
    assert read(registry, source).refused == 0
    assert down(registry, ["chats"]) == {}


WESTWARD = [
    *((5.5, 5), (5.75, 5.5), (5, 4.5), (-3, -3.5), (-3.5, -4), (-9, -9.75), (0, -0.5)),
    *((0, 5.5, -11), (2, 1, -5), (2, 1, 0), (5.5, 5, 4.5), (-3, -3.5, -4), (1, -3, -3.5)),
]


@pytest.mark.parametrize("hours", WESTWARD, ids=str)
def test_a_clock_further_west_than_all_before_loses_no_row(
    hours: tuple[float, ...], tmp_path: Path, registry: Registry
) -> None:
    path, source = tmp_path / "app.db", of_file(tmp_path / "app.db", QUERY, "at")
    write(path, "CREATE TABLE chats (id TEXT, at TEXT)")
    insert = "INSERT INTO chats VALUES (?, ?)"
    for number, its in enumerate(hours):
        at = NOON + timedelta(minutes=number)
        write(path, insert, rows=[(f"t{number}", clock(its)(at))])
        done = read(registry, source)
        assert done.done.added == 1
        assert (done.drift is None) == (number == 0)
    settled = read(registry, source)
    assert "whole" not in (settled.drift or "")


def test_a_clock_further_west_in_a_server_loses_no_row(
    postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute("CREATE TABLE chats (id text, at text)", app)
    source = of_address(postgres.url(app), QUERY, "at")
    for number, its in enumerate((5.5, 5, -3, -3.5)):
        at = clock(its)(NOON + timedelta(minutes=number))
        postgres.execute(f"INSERT INTO chats VALUES ('t{number}', '{at}')", app)  # noqa: S608
        assert read(registry, source).done.added == 1
