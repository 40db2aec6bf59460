"""Reading an application's table: every type of watermark, unchanged rows, refusals, failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from application import CHATS, QUERY, expiring, ids, of_address, of_file, read, write
from postgres import Server

from janitor.errors import AccessError, ConfigError, StoppedError
from janitor.model import Key, Kind
from janitor.policy.activity import Sightings
from janitor.registry import Registration, Registry, Settlement
from janitor.sources.watermark import down, memories
from janitor.times import FOREVER

NOW = datetime.now(UTC)
INSERT = "INSERT INTO chats VALUES (?, '2026-01-01', 'trial', ?)"
SQLITE: dict[str, tuple[str, Any]] = {
    "text": ("TEXT", lambda at: f"{at:%Y-%m-%d %H:%M:%S}"),
    "iso": ("TEXT", lambda at: at.isoformat()),
    "datetime": ("DATETIME", lambda at: f"{at:%Y-%m-%d %H:%M:%S}"),
    "untyped": ("", lambda at: f"{at:%Y-%m-%d %H:%M:%S}"),
    "seconds": ("INTEGER", lambda at: int(at.timestamp())),
    "milliseconds": ("INTEGER", lambda at: int(at.timestamp() * 1000)),
    "real": ("REAL", lambda at: at.timestamp()),
}
POSTGRESQL = {
    "timestamptz": "'{}'::timestamptz",
    "timestamp": "'{}'::timestamptz AT TIME ZONE 'UTC'",
    "date": "('{}'::timestamptz AT TIME ZONE 'UTC')::date",
    "text": "'{}'",
    "varchar(40)": "'{}'",
    "bigint": "extract(epoch from '{}'::timestamptz)::bigint",
    "double precision": "extract(epoch from '{}'::timestamptz) * 1000",
    "numeric": "extract(epoch from '{}'::timestamptz)",
}
OLD, NEW, LATE = NOW - timedelta(days=9), NOW - timedelta(seconds=5), NOW - timedelta(minutes=9)


@pytest.mark.parametrize("name", SQLITE)
def test_sqlite_is_read_incrementally_by_any_type(
    name: str, tmp_path: Path, registry: Registry
) -> None:
    path, (column, spell) = tmp_path / "app.db", SQLITE[name]
    write(path, CHATS.format(type=column), INSERT, rows=[("a", spell(OLD)), ("b", spell(NEW))])
    first = read(registry, of_file(path))
    write(path, INSERT, rows=[("late", spell(LATE)), ("equal", spell(NEW))])
    second = read(registry, of_file(path))
    assert (first.read, first.done.added) == (2, 2)
    assert (second.read, second.done.added, second.done.unchanged) == (3, 2, 1)
    assert ids(registry) == ["a", "b", "equal", "late"]


@pytest.mark.parametrize("type", POSTGRESQL)
def test_postgresql_is_read_incrementally_by_any_type(
    type: str, postgres: Server, app: str, registry: Registry
) -> None:
    def add(*rows: tuple[str, datetime]) -> None:
        for name, at in rows:
            spelled = POSTGRESQL[type].format(at.isoformat())
            values = f"VALUES ('{name}', '2026-01-01', 'trial', {spelled})"
            postgres.execute(f"INSERT INTO chats {values}", app)

    postgres.execute(CHATS.format(type=type), app)
    add(("a", OLD), ("b", NEW))
    source = of_address(postgres.url(app).replace("+psycopg", ""))
    first = read(registry, source)
    add(("late", LATE), ("equal", NEW))
    second = read(registry, source)
    assert (first.read, first.done.added) == (2, 2)
    assert (second.read, second.done.added, second.done.unchanged) == (3, 2, 1)


ODD = {
    "a": "'0001-01-01 00:00:00+00'",
    "b": "'-infinity'",
    "c": "'infinity'",
    "d": "'12026-01-01 00:00:00+00'",
    "e": "'0044-03-15 00:00:00+00 BC'",
    "f": "'1970-01-01 00:00:00+00'",
}


@pytest.mark.parametrize("type", ["timestamptz", "timestamp", "date", "text"])
def test_times_that_no_calendar_holds_concern_their_rows_alone(
    type: str, postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute(f"CREATE TABLE chats (id text, at {type}, kept {type})", app)
    said = "VALUES " + ", ".join(f"('{name}', {at}, {at})" for name, at in ODD.items())
    postgres.execute(f"INSERT INTO chats {said}", app)
    query = "SELECT id, 'thread' AS kind, at AS last_active_at, kept AS keep_until FROM chats"
    source = of_address(postgres.url(app).replace("+psycopg", ""), query, None)
    done = read(registry, source)
    assert (done.done.added, done.refused, done.odd_times) == (len(ODD), 0, len(ODD))
    assert done.remarks[0].startswith("a: last_active_at is before 1973")
    found = {entry.thread.key.id: entry.thread for entry in registry.threads.select()}
    assert {one.last_active_at for one in found.values()} == {None}
    kept = {name: one.keep_until for name, one in found.items()}
    assert kept == dict.fromkeys(ODD) | {"c": FOREVER, "d": FOREVER}


def test_sequelize_writes_times_into_sqlite(tmp_path: Path, registry: Registry) -> None:
    path, at = tmp_path / "app.db", "2026-06-19 09:54:44.033 +00:00"
    write(
        path,
        CHATS.format(type="TEXT"),
        "INSERT INTO chats VALUES (?, ?, 'x', ?)",
        rows=[("a", at, at)],
    )
    done = read(registry, of_file(path))
    assert (done.done.added, done.odd_times) == (1, 0)
    assert done.watermark == datetime(2026, 6, 19, 9, 54, 44, 33000, tzinfo=UTC)
    (entry,) = registry.threads.select()
    assert entry.thread.created_at == done.watermark


def test_a_source_may_replace_a_first_sight_and_it_is_counted(
    tmp_path: Path, registry: Registry
) -> None:
    key = Key("main", Kind.THREAD, "a")
    registry.registrations.add([Registration(key)], OLD)
    sight = Sightings(None, None, NOW, None, "item", NOW)
    registry.settlements.settle([Settlement(key, NOW, sightings=sight, decided=True)])
    path = tmp_path / "app.db"
    write(path, CHATS.format(type="TEXT"), INSERT, rows=[("a", str(OLD))])
    query = "SELECT id, 'thread' AS kind, updated_at AS last_active_at FROM chats"
    source = of_file(path, query, None)
    assert read(registry, source, changing=False).done.due_earlier == 1
    assert read(registry, source).done.due_earlier == 1
    assert read(registry, source).done.due_earlier == 0


def test_a_row_becomes_a_thread_of_the_source(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "app.db"
    write(path, CHATS.format(type="TEXT"), INSERT, rows=[("a", str(OLD))])
    read(registry, of_file(path))
    (entry,) = registry.threads.select()
    assert entry.thread.key.kind is Kind.THREAD
    assert entry.thread.source == "chats"
    assert entry.thread.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert entry.thread.reported == {"plan": "trial"}


def test_an_unchanged_row_writes_nothing(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "app.db"
    write(path, CHATS.format(type="TEXT"), INSERT, rows=[("a", str(NEW))])
    read(registry, of_file(path))
    (before,) = registry.threads.select()
    again = read(registry, of_file(path), now=lambda: NOW + timedelta(hours=1))
    assert again.done.unchanged == 1
    assert list(registry.threads.select()) == [before]


def test_another_query_or_database_is_read_from_the_start(
    tmp_path: Path, registry: Registry
) -> None:
    for name in ("one.db", "other.db"):
        rows = [(f"{name[0]}{i}", str(at)) for i, at in enumerate((OLD, NEW))]
        write(tmp_path / name, CHATS.format(type="TEXT"), INSERT, rows=rows)
    source = of_file(tmp_path / "one.db")
    assert [read(registry, source).read for _ in range(2)] == [2, 1]
    assert read(registry, of_file(tmp_path / "one.db", f"{QUERY} AND 1 = 1")).read == 2
    assert read(registry, of_file(tmp_path / "other.db")).read == 2
    assert ids(registry) == ["o0", "o1"]


def test_without_a_watermark_everything_is_read_each_time(
    tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    write(path, CHATS.format(type="TEXT"), INSERT, rows=[("thread_a", str(OLD))])
    source = of_file(path, "SELECT id, '12:30' AS \"metadata.at\" FROM chats", None)
    assert [read(registry, source).read for _ in range(2)] == [1, 1]


def test_a_row_that_cannot_be_registered_is_named_and_never_fatal(
    tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    rows = [("a", str(OLD)), ("no id", str(OLD)), (None, str(OLD)), ("b", str(OLD))]
    write(path, CHATS.format(type="TEXT"), INSERT, rows=rows)
    done = read(registry, of_file(path))
    assert (done.done.added, done.refused) == (2, 2)
    assert [line.partition(":")[0] for line in done.refusals] == ["row 2", "row 3"]
    assert down(registry, ["chats"]) == {}


def test_a_dry_reading_says_what_would_be_and_writes_nothing(
    tmp_path: Path, registry: Registry
) -> None:
    path, source = tmp_path / "app.db", expiring(of_file(tmp_path / "app.db"))
    write(path, CHATS.format(type="TEXT"), INSERT, rows=[("a", str(OLD)), ("b", str(NEW))])
    read(registry, source)
    write(path, INSERT, rows=[("c", str(NEW))])
    write(path, "UPDATE chats SET plan = 'paid' WHERE id = 'b'")
    before = memories(registry)
    done = read(registry, source, changing=False)
    assert (done.done.added, done.done.updated) == (1, 1)
    assert ids(registry) == ["a", "b"]
    assert memories(registry) == before


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT id, updated_at AS name FROM chats WHERE updated_at > :watermark", "`name`"),
        ("SELECT updated_at FROM chats WHERE updated_at > :watermark", "no column `id`"),
        ("SELECT id FROM chats WHERE updated_at > :watermark", "no column `updated_at`"),
        ("SELECT id, id, updated_at FROM chats WHERE updated_at > :watermark", "twice"),
        ("SELECT id, updated_at FROM chat WHERE updated_at > :watermark", "no such table"),
        ("SELECT id updated_at FROM chats WHERE WHERE > :watermark", "syntax error"),
    ],
)
def test_a_wrong_query_is_told_and_remembered(
    query: str, said: str, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    write(path, CHATS.format(type="TEXT"), INSERT, rows=[("a", str(OLD))])
    with pytest.raises(ConfigError, match=said) as caught:
        read(registry, of_file(path, query))
    assert str(caught.value).startswith("source chats: ")
    assert said in down(registry, ["chats"])["chats"]
    assert ids(registry) == []


def test_a_dead_database_is_told_and_remembered_until_it_answers(
    tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    assert "never read" in down(registry, ["chats"])["chats"]
    with pytest.raises(AccessError, match="does not exist"):
        read(registry, of_file(path))
    assert "does not exist" in down(registry, ["chats"])["chats"]
    write(path, CHATS.format(type="TEXT"))
    read(registry, of_file(path))
    assert down(registry, ["chats"]) == {}
    assert down(registry, ["other"]).keys() == {"other"}


def test_a_reading_cut_short_does_not_move_the_watermark(
    tmp_path: Path, registry: Registry
) -> None:
    path, stopped = tmp_path / "app.db", iter((False, True))
    rows = [(f"t{i:04}", str(NEW)) for i in range(700)]
    write(path, CHATS.format(type="TEXT"), INSERT, rows=rows)
    with pytest.raises(StoppedError):
        read(registry, of_file(path), is_stopped=lambda: next(stopped))
    assert memories(registry) == {}
    assert read(registry, of_file(path)).done.unchanged == 500
