"""What a table no longer holds: found once a day, and not believed where it is too much at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from application import CHATS, expiring, of_address, of_file, read, write
from postgres import Server

from janitor.config import Source
from janitor.errors import ConfigError, LimitError
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry
from janitor.sources.watermark import down, memories

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
OLD = f"{NOW - 9 * DAY:%Y-%m-%d %H:%M:%S}"
INSERT = "INSERT INTO chats VALUES (?, '2026-01-01', 'trial', ?)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


def fill(path: Path, names: Iterable[str]) -> None:
    write(path, CHATS.format(type="TEXT"), INSERT, rows=[(name, OLD) for name in names])


def vanished(registry: Registry) -> list[str]:
    return [e.thread.key.id for e in registry.threads.select() if e.thread.vanished_at is not None]


def test_what_vanished_is_found_by_the_next_days_reading(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, (f"t{i}" for i in range(30)))
    assert read(registry, source, now=lambda: NOW).is_full
    write(path, "DELETE FROM chats WHERE id IN ('t1', 't2')")
    early = read(registry, source, now=lambda: NOW + timedelta(hours=23))
    assert (early.is_full, early.vanished) == (False, 0)
    later = read(registry, source, now=lambda: NOW + DAY)
    assert (later.is_full, later.read, later.vanished) == (True, 28, 2)
    assert sorted(vanished(registry)) == ["t1", "t2"]


def test_nothing_vanishes_that_the_query_leaves_out_in_the_dialect_of_its_engine(
    path: Path, registry: Registry
) -> None:
    """The configuration may not know the engine; the reading does."""
    source = expiring(of_file(path))
    fill(path, (f"t{i}" for i in range(9)))
    read(registry, source, now=lambda: NOW)
    few = replace(source, sql=replace(source.sql, query=f"{source.sql.query} LIMIT 6"))
    with pytest.raises(ConfigError, match="rows that `LIMIT` leaves out would count as vanished"):
        read(registry, few, now=lambda: NOW + DAY)
    assert vanished(registry) == []


def test_what_is_there_again_has_not_vanished(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, ("a", "b"))
    for day, change in enumerate(("UPDATE chats SET id = 'c' WHERE id = 'b'", INSERT)):
        read(registry, source, now=lambda day=day: NOW + day * DAY)
        write(path, change, rows=[("b", OLD)] if "VALUES" in change else [])
    assert vanished(registry) == ["b"]
    read(registry, source, now=lambda: NOW + 2 * DAY)
    assert vanished(registry) == []


@pytest.mark.parametrize("days", [1, 2])
def test_a_row_that_cannot_be_registered_is_there(
    days: int, path: Path, registry: Registry
) -> None:
    source = expiring(of_file(path))
    fill(path, ("a", "b"))
    read(registry, source, now=lambda: NOW)
    if days == 2:  # it was gone in between
        write(path, "UPDATE chats SET id = 'c' WHERE id = 'a'")
        assert read(registry, source, now=lambda: NOW + DAY).vanished == 1
        write(path, "UPDATE chats SET id = 'a' WHERE id = 'c'")
    write(path, "UPDATE chats SET plan = ? WHERE id = 'a'", rows=[("x" * 600,)])
    again = read(registry, source, now=lambda: NOW + days * DAY)
    assert (again.is_full, again.refused, again.vanished) == (True, 1, 1 if days == 2 else 0)
    assert vanished(registry) == (["c"] if days == 2 else [])


def test_nothing_vanishes_where_the_source_keeps(path: Path, registry: Registry) -> None:
    fill(path, ("a", "b"))
    read(registry, of_file(path), now=lambda: NOW)
    write(path, "DELETE FROM chats WHERE id = 'a'")
    assert read(registry, of_file(path), now=lambda: NOW + 2 * DAY).vanished == 0
    assert vanished(registry) == []


def test_what_others_registered_does_not_vanish(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, ("a",))
    read(registry, of_file(path, watermark="updated_at"), now=lambda: NOW)
    (entry,) = registry.threads.select()
    registry.registrations.add([_as_another(entry.thread.key.id)], NOW)
    read(registry, source, now=lambda: NOW + 2 * DAY)
    assert vanished(registry) == []


@pytest.mark.parametrize(("number", "lost"), [(30, 7), (20, 20), (3, 3)])
def test_a_mass_of_vanished_rows_is_not_believed(
    number: int, lost: int, path: Path, registry: Registry
) -> None:
    source = expiring(of_file(path))
    fill(path, (f"t{i:02}" for i in range(number)))
    read(registry, source, now=lambda: NOW)
    before = memories(registry)["chats"]
    write(path, "DELETE FROM chats WHERE id < ?", rows=[(f"t{lost:02}",)])
    for day in (1, 2):
        with pytest.raises(LimitError, match=f"{lost} of {number} threads"):
            read(registry, source, now=lambda day=day: NOW + day * DAY)
        assert vanished(registry) == []
        assert "--accept-vanished" in down(registry, ["chats"])["chats"]
        assert memories(registry)["chats"].mark == before.mark
    accepted = read(registry, source, now=lambda: NOW + 2 * DAY, believes=True)
    assert accepted.vanished == lost
    assert down(registry, ["chats"]) == {}


def test_a_few_of_a_few_are_believed(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, ("a", "b", "c", "d", "e"))
    read(registry, source, now=lambda: NOW)
    write(path, "DELETE FROM chats WHERE id < 'e'")
    assert read(registry, source, now=lambda: NOW + DAY).vanished == 4


def test_a_reading_that_was_cut_short_begins_anew(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, ("a", "b"))
    read(registry, source, now=lambda: NOW)
    registry.scans.take("source:chats", [_as_another("a"), _as_another("b")], NOW, cursor="x")
    write(path, "DELETE FROM chats WHERE id = 'a'")
    assert read(registry, source, now=lambda: NOW + DAY).vanished == 1
    assert registry.scans.cursor("source:chats") is None


AT_NULL = {
    "json": "CASE WHEN at IS NULL THEN json(plan) END",
    "endless": "CASE WHEN at IS NULL THEN (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
    "FROM n) SELECT max(i) FROM n) END",
    "cast": "(CASE WHEN at IS NULL THEN plan::int END)::text",
    "division": "(1 / CASE WHEN at IS NULL THEN 0 ELSE 1 END)::text",
    "sleep": "(CASE WHEN at IS NULL THEN pg_sleep(60) END)::text",
}


def failing_below(address: str, kind: str, seconds: float = 60) -> Source:
    """A source of which the rows without a time cannot be read."""
    query = f"""SELECT id, 'thread' AS kind, {AT_NULL[kind]} AS "metadata.plan", at FROM chats
        WHERE at > :watermark"""  # noqa: S608
    source = expiring(of_address(address, query, "at"))
    return replace(source, sql=replace(source.sql, timeout=timedelta(seconds=seconds)))


def keeps_what_was_not_looked_for(source: Source, registry: Registry) -> None:
    """Full readings that miss a row below the watermark mark none, and are due until they do."""
    for _ in range(2):
        done = read(registry, source, now=lambda: NOW + DAY)
        assert (done.read, done.vanished, done.is_full, vanished(registry)) == (1, 0, False, [])
        assert "no thread counts as vanished" in (done.drift or "")
    assert read(registry, source, now=lambda: NOW + DAY, believes=True).vanished == 0
    assert "no thread counts" in (
        read(registry, source, changing=False, now=lambda: NOW + DAY).drift or ""
    )
    assert memories(registry)["chats"].full_at == NOW
    assert "were not looked for" in down(registry, ["chats"])["chats"]


@pytest.mark.parametrize(("kind", "seconds"), [("json", 60), ("endless", 0.3)])
def test_what_a_file_was_not_asked_for_has_not_vanished(
    kind: str, seconds: float, path: Path, registry: Registry
) -> None:
    source = failing_below(f"sqlite:///{path}", kind, seconds)
    rows = [("a", "{", OLD), ("b", "{}", OLD), ("c", "{}", OLD)]
    write(path, "CREATE TABLE chats (id TEXT, plan TEXT, at TEXT)")
    write(path, "INSERT INTO chats VALUES (?, ?, ?)", rows=rows)
    assert read(registry, source, now=lambda: NOW).is_full
    write(path, "DELETE FROM chats WHERE id = 'c'", "UPDATE chats SET at = NULL WHERE id = 'a'")
    keeps_what_was_not_looked_for(source, registry)
    write(path, "UPDATE chats SET at = '2026-01-01' WHERE id = 'a'")
    assert read(registry, source, now=lambda: NOW + DAY).is_full
    assert (vanished(registry), down(registry, ["chats"])) == (["c"], {})


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seconds"), [("cast", 60), ("division", 60), ("sleep", 1)])
def test_what_a_server_was_not_asked_for_has_not_vanished(
    kind: str, seconds: float, postgres: Server, app: str, registry: Registry
) -> None:
    source = failing_below(postgres.url(app), kind, seconds)
    postgres.execute("CREATE TABLE chats (id text, plan text, at timestamptz)", app)
    rows = ", ".join(f"('{name}', 'x', '{OLD}')" for name in "abc")
    postgres.execute(f"INSERT INTO chats VALUES {rows}", app)  # noqa: S608
    assert read(registry, source, now=lambda: NOW).is_full
    postgres.execute("DELETE FROM chats WHERE id = 'c'", app)
    postgres.execute("UPDATE chats SET at = NULL WHERE id = 'a'", app)
    keeps_what_was_not_looked_for(source, registry)
    postgres.execute("UPDATE chats SET at = now() WHERE id = 'a'", app)
    assert read(registry, source, now=lambda: NOW + DAY).is_full
    assert (vanished(registry), down(registry, ["chats"])) == (["c"], {})


HIDING = (
    *("NOT (at <= :watermark)", "(:watermark) < at", "at BETWEEN :watermark AND '9999-12-31'"),
    "at > COALESCE(:watermark, NULL)",
)


def hides(address: str, condition: str) -> Source:
    query = f"SELECT id, 'thread' AS kind, at FROM chats WHERE {condition}"  # noqa: S608
    return expiring(of_address(address, query, "at"))


def keeps_what_is_hidden(source: Source, registry: Registry) -> None:
    for day in (1, 2):
        done = read(registry, source, now=lambda day=day: NOW + day * DAY, believes=day == 2)
        assert (done.read, done.vanished, done.is_full) == (1, 0, True)
        assert (done.drift or "").startswith("No thread counts as vanished")
        assert "Write the condition as `at > :watermark`" in (done.drift or "")
    assert vanished(registry) == []
    assert down(registry, ["chats"]) == {}


@pytest.mark.parametrize("condition", HIDING)
def test_nothing_of_a_file_vanishes_where_a_condition_hides_rows(
    condition: str, path: Path, registry: Registry
) -> None:
    write(path, "CREATE TABLE chats (id TEXT, at TEXT)")
    write(path, "INSERT INTO chats VALUES (?, ?)", rows=[("a", OLD), ("b", OLD)])
    source = hides(f"sqlite:///{path}", condition)
    assert "No thread counts as vanished" in (read(registry, source, now=lambda: NOW).drift or "")
    write(path, "UPDATE chats SET at = NULL WHERE id = 'a'")
    keeps_what_is_hidden(source, registry)


@pytest.mark.parametrize("condition", HIDING[:3])
def test_nothing_of_a_server_vanishes_where_a_condition_hides_rows(
    condition: str, postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute("CREATE TABLE chats (id text, at timestamptz)", app)
    postgres.execute(f"INSERT INTO chats VALUES ('a', '{OLD}'), ('b', '{OLD}')", app)  # noqa: S608
    source = hides(postgres.url(app), condition)
    read(registry, source, now=lambda: NOW)
    postgres.execute("UPDATE chats SET at = NULL WHERE id = 'a'", app)
    keeps_what_is_hidden(source, registry)


@pytest.mark.parametrize("column", ["timestamptz", "timestamp", "date", "float8"])
def test_the_lowest_time_has_not_vanished(
    column: str, postgres: Server, app: str, registry: Registry
) -> None:
    at = NOW.timestamp() if column == "float8" else OLD
    postgres.execute(f"CREATE TABLE chats (id text, at {column})", app)
    rows = ", ".join(f"('{name}', '{at}')" for name in "abc")
    postgres.execute(f"INSERT INTO chats VALUES {rows}, ('last', 'infinity')", app)  # noqa: S608
    source = hides(postgres.url(app), "at > :watermark")
    read(registry, source, now=lambda: NOW)
    postgres.execute("UPDATE chats SET at = '-infinity' WHERE id = 'a'", app)
    postgres.execute("DELETE FROM chats WHERE id = 'b'", app)
    assert read(registry, source, now=lambda: NOW + DAY).read == 3
    assert vanished(registry) == ["b"]


def _as_another(name: str) -> Registration:
    return Registration(Key("main", Kind.THREAD, name), NOW)
