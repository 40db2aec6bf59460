"""A watermark that is no time, whatever it is: its row is read, named, and the table whole once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from application import context, expiring, ids, of_address, of_file, read, write
from postgres import Server

from janitor.config import Source
from janitor.registry import Registry
from janitor.sources.sync import Synced, sync
from janitor.sources.watermark import down

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
QUERY = (
    "SELECT id, 'thread' AS kind, plan AS \"metadata.plan\", at FROM chats WHERE at > :watermark"
)
TEXT = f"{NOON:%Y-%m-%d %H:%M:%S}"
FORMS = {
    "American": f"{NOON:%m/%d/%Y}",
    "German": f"{NOON:%d.%m.%Y %H:%M}",
    "in the teens": "19.01.2026",
    "British": "20/01/2026",
    "a leading blank": f" {TEXT}",
    "a leading plus": f"+{TEXT}",
    "twelve hours": "2020-01-01 01:00:00 PM",
    "words": "1 January 2026",
    "digits": f"{NOON.timestamp():.0f}",
    "empty": "",
    "NULL": None,
}
NUMBERS = {
    "nanoseconds": int(NOON.timestamp()) * 10**9,
    "spreadsheet days": 46000,
    "Julian days": 2461000,
    "digits of a day": 20260131,
    "zero": 0,
    "below zero": -7,
    "NULL": None,
}
Fill = Callable[[dict[str, Any]], None]
OF_FILES = [
    *(("TEXT", TEXT, form) for form in FORMS.values()),
    *(("", TEXT, form) for form in (*FORMS.values(), *NUMBERS.values())),
    *(("INTEGER", int(NOON.timestamp()), form) for form in (*NUMBERS.values(), "", "31.12.2025")),
    *(("REAL", NOON.timestamp() * 1000, form) for form in NUMBERS.values()),
]
OF_SERVERS = [
    *(("text", TEXT, form) for form in FORMS.values()),
    *(("bigint", int(NOON.timestamp()), form) for form in NUMBERS.values()),
    *(("timestamptz", TEXT, None), ("date", TEXT[:10], None), ("numeric", NOON.timestamp(), 0)),
]


def spoken(done: Synced) -> str:
    return repr((done.drift, done.remarks, done.refusals))


def follows(registry: Registry, source: Source, fill: Fill, old: object, odd: object) -> None:
    """A row without a time to go by is added, then changed: both are read, and named."""
    fill({f"old{i}": old for i in range(4)})
    assert read(registry, source).drift is None
    fill({"odd": odd})
    whole = read(registry, source)
    assert (whole.read, whole.done.added, whole.refused, whole.unordered) == (5, 1, 0, 1)
    assert "whole table was read this once" in (whole.drift or "")
    again = read(registry, source)
    assert "in 1 rows (such as odd), which are read each time" in (again.drift or "")
    assert "whole" not in (again.drift or "")
    fill({"other": odd})
    third = read(registry, source)
    assert (third.done.added, third.unordered_ids) == (1, ["odd", "other"])
    assert ids(registry) == ["odd", "old0", "old1", "old2", "old3", "other"]
    assert down(registry, ["chats"]) == {}
    if odd:
        assert not any(str(odd) in spoken(one) for one in (whole, again, third))


def of_rows(path: Path) -> Fill:
    def fill(rows: dict[str, Any]) -> None:
        write(path, "INSERT INTO chats (id, at) VALUES (?, ?)", rows=rows.items())

    return fill


@pytest.mark.slow
@pytest.mark.parametrize(("column", "old", "odd"), OF_FILES)
def test_a_row_of_a_file_that_is_not_put_in_order_is_read(
    column: str, old: object, odd: object, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    write(path, f"CREATE TABLE chats (id TEXT, plan TEXT, at {column})")
    follows(registry, of_file(path, QUERY, "at"), of_rows(path), old, odd)


@pytest.mark.slow
@pytest.mark.parametrize("given", OF_SERVERS, ids=lambda one: f"{one[0]} {one[2]}")
def test_a_row_of_a_server_that_is_not_put_in_order_is_read(
    given: tuple[str, object, object], postgres: Server, app: str, registry: Registry
) -> None:
    column, old, odd = given
    postgres.execute(f"CREATE TABLE chats (id text, plan text, at {column})", app)

    def fill(rows: dict[str, Any]) -> None:
        said = [(name, "NULL" if at is None else f"'{at}'") for name, at in rows.items()]
        values = ", ".join(f"('{name}', {at})" for name, at in said)
        postgres.execute(f"INSERT INTO chats (id, at) VALUES {values}", app)  # noqa: S608

    follows(registry, of_address(postgres.url(app), QUERY, "at"), fill, old, odd)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    write(path, "CREATE TABLE chats (id TEXT, plan TEXT, at TEXT)")
    of_rows(path)({f"old{i}": f"2025-0{i + 1}-01 00:00:00" for i in range(4)} | {"last": TEXT})
    return path


def test_a_change_of_a_row_without_a_time_is_read(path: Path, registry: Registry) -> None:
    source = of_file(path, QUERY, "at")
    of_rows(path)({"odd": ""})
    first = read(registry, source)
    assert (first.read, first.unordered, first.drift is None) == (6, 1, False)
    write(path, "UPDATE chats SET plan = 'pro' WHERE id = 'odd'")
    for changing in (False, True):
        done = read(registry, source, changing=changing)
        assert (done.done.updated, done.read) == (1, 2)
        assert "whole" not in (done.drift or "")


def test_what_was_read_stays_left_alone(path: Path, registry: Registry) -> None:
    source = of_file(path, QUERY, "at")
    of_rows(path)({"fine": "2025-05-01 00:00:00.123", "short": "2025-05-02"})
    assert (read(registry, source).read, read(registry, source).read) == (7, 1)
    of_rows(path)({"finer": "2025-06-01 00:00:00.123456"})  # a shape that was not read before
    assert [read(registry, source).read for _ in range(2)] == [2, 1]
    assert read(registry, source).drift is None


def test_a_row_without_a_time_has_not_vanished(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path, QUERY, "at"))
    of_rows(path)({"odd": "", "none": None})
    read(registry, source)
    later = context(lambda: datetime.now(UTC) + timedelta(days=2))
    done = sync(registry, source, later)
    assert (done.is_full, done.vanished, done.read) == (True, 0, 7)


@pytest.mark.parametrize(
    ("condition", "is_seen"),
    [
        ("at >= :watermark", True),
        (":watermark < at", True),
        ("at > CAST(:watermark AS TEXT)", True),
        ("(at > ( :watermark)) -- newer", True),
        ("NOT at <= :watermark", False),  # NULL stays out of sight, everything else is found
    ],
)
def test_a_condition_may_be_written_in_many_ways(
    condition: str, is_seen: bool, path: Path, registry: Registry
) -> None:
    source = of_file(path, QUERY.replace("at > :watermark", condition), "at")
    read(registry, source)
    of_rows(path)({"none": None, "odd": "01/31/2026"})
    done = read(registry, source)
    assert sorted(done.unordered_ids) == (["none", "odd"] if is_seen else ["odd"])


def test_where_an_engine_refuses_the_question_it_is_said(path: Path, registry: Registry) -> None:
    query = QUERY.replace("plan AS", "CASE WHEN at IS NULL THEN json(plan) END AS")
    source = of_file(path, query, "at")
    read(registry, source)
    write(path, "INSERT INTO chats VALUES ('odd', '{hunter2', NULL)")
    done = read(registry, source)
    assert done.read == 1
    assert "rows below the watermark may be newer, and were not looked for" in (done.drift or "")
    assert "malformed JSON" in (done.drift or "")
    assert "hunter2" not in spoken(done)
    assert down(registry, ["chats"]) == {}


def test_where_a_server_refuses_the_question_it_is_said(
    postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute("CREATE TABLE chats (id text, plan text, at timestamptz)", app)
    postgres.execute("INSERT INTO chats VALUES ('a', 'x', now())", app)
    query = QUERY.replace("plan AS", "(CASE WHEN at IS NULL THEN plan::int END)::text AS")
    source = of_address(postgres.url(app), query, "at")
    read(registry, source)
    postgres.execute("INSERT INTO chats VALUES ('odd', 'hunter2', NULL)", app)
    done = read(registry, source)
    assert "were not looked for, because the query fails there (Invalid" in (done.drift or "")
    assert "hunter2" not in spoken(done)


def test_a_look_below_the_watermark_that_takes_too_long_is_said(
    path: Path, registry: Registry
) -> None:
    slow = (
        "CASE WHEN at IS NULL THEN (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT max(i) FROM n) END AS"
    )
    source = of_file(path, QUERY.replace("plan AS", slow), "at")
    source = replace(source, sql=replace(source.sql, timeout=timedelta(milliseconds=300)))
    of_rows(path)({"none": None})
    done = read(registry, source)
    assert done.done.added == 5
    assert "were not looked for, because the query took longer than" in (done.drift or "")


def test_a_mark_of_an_older_version_is_read_past_once(path: Path, registry: Registry) -> None:
    source = of_file(path, QUERY, "at")
    read(registry, source)
    registry.key_values.alter(
        "sources", lambda said, _: (said or "").replace('"shapes"', '"others"')
    )
    done = [read(registry, source) for _ in range(2)]
    assert [(one.read, one.drift) for one in done] == [(5, None), (1, None)]
