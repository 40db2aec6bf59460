"""Whatever bytes and times a row holds: it costs no other row, and no value is ever shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from application import ids, of_address, of_file, read, write
from postgres import Server

from janitor.errors import ConfigError
from janitor.registry import Registry
from janitor.sources.suggest import look, settings_of
from janitor.sources.sync import Synced
from janitor.sources.watermark import down
from janitor.times import FOREVER

NAMES = (
    "id",
    "kind",
    "project",
    "created_at",
    "last_active_at",
    "keep_until",
    "who",
    "whole",
    "at",
)
QUERY = (
    'SELECT id, kind, project, created_at, last_active_at, keep_until, who AS "metadata.who", '
    "whole AS metadata, at FROM chats WHERE at > :watermark"
)
AT = "2026-01-01 00:00:00"
VALUES = ("t", "thread", "main", AT, AT, AT, "x", '{"a": "b"}', AT)
JOSE = b"Jos\xe9 Secret"
BYTES: dict[str, Any] = {"not UTF-8": "CAST(? AS TEXT)", "a BLOB": "?"}


def table(path: Path) -> None:
    write(path, f"CREATE TABLE chats ({', '.join(NAMES)})")


def insert(path: Path, id: str, column: str = "", value: object = None, as_: str = "?") -> None:
    row: dict[str, object] = {**dict(zip(NAMES, VALUES, strict=True)), "id": id}
    row |= {column: value} if column else {}
    marks = ", ".join(as_ if name == column else "?" for name in NAMES)
    write(path, f"INSERT INTO chats VALUES ({marks})", rows=[tuple(row.values())])  # noqa: S608


def told(done: Synced) -> str:
    return repr((done.refusals, done.remarks, done.drift))


@pytest.mark.parametrize("value", BYTES)
@pytest.mark.parametrize("column", ["id", "kind", "project", "created_at", "last_active_at", "who"])
def test_bytes_that_are_no_text_refuse_their_row_alone(
    column: str, value: str, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    table(path)
    insert(path, "a")
    insert(path, "broken", column, JOSE, BYTES[value])
    insert(path, "b")
    for changing in (False, True):
        done = read(registry, of_file(path, QUERY, "at"), changing=changing)
        assert (done.read, done.done.added, done.refused) == (3, 2, 1)
        (said,) = done.refusals
        assert said.startswith("row 2: id" if column == "id" else "broken: ")
        assert column in said
        assert "Jos" not in told(done)
    assert ids(registry) == ["a", "b"]


@pytest.mark.parametrize("value", BYTES)
def test_metadata_that_is_no_text_refuses_its_row_alone(
    value: str, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    table(path)
    insert(path, "a")
    insert(path, "broken", "whole", b'{"user":"Jos\xe9"}', BYTES[value])
    done = read(registry, of_file(path, QUERY, "at"))
    assert (done.done.added, done.refused) == (1, 1)
    assert done.refusals[0].startswith("broken: metadata: ")
    assert "Jos" not in told(done)


@pytest.mark.parametrize("value", BYTES)
def test_an_end_of_keeping_in_bytes_keeps_for_ever(
    value: str, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    table(path)
    insert(path, "a", "keep_until", JOSE, BYTES[value])
    done = read(registry, of_file(path, QUERY, "at"))
    assert (done.refused, done.odd_times) == (0, 1)
    (entry,) = registry.threads.select()
    assert entry.thread.keep_until == FOREVER


@pytest.mark.parametrize("value", BYTES)
def test_a_watermark_in_bytes_is_told_and_its_row_is_taken(
    value: str, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    table(path)
    insert(path, "a")
    insert(path, "odd", "at", JOSE, BYTES[value])
    done = read(registry, of_file(path, QUERY, "at"))
    assert (done.done.added, done.refused, done.odd_times) == (2, 0, 1)
    assert done.remarks[0].startswith("odd: at is not a time")
    assert str(done.watermark).startswith(AT)
    assert down(registry, ["chats"]) == {}


def test_an_id_in_a_blob_has_not_vanished(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "app.db"
    table(path)
    insert(path, "broken", "id", b"conv_1")
    done = read(registry, of_file(path, QUERY, "at"))
    assert done.refusals[0].startswith("conv_1: id")


@pytest.mark.parametrize("value", BYTES)
def test_a_table_with_such_a_row_can_be_looked_at(value: str, tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(path, "CREATE TABLE chats (thread_id TEXT, plan TEXT, updated_at TEXT)")
    write(
        path,
        f"INSERT INTO chats VALUES ('thread_1', {BYTES[value]}, '{AT}')",  # noqa: S608
        rows=[(JOSE,)],
    )
    looked = look(settings_of(f"sqlite:///{path}", tmp_path), "chats")
    (row,) = looked.rows
    assert "metadata.plan: bytes, or text that is not UTF-8" in str(row)
    assert "Jos" not in repr(looked.rows)


@pytest.fixture(params=["SQL_ASCII", "WIN1252", "UTF8"])
def encoded(request: pytest.FixtureRequest, postgres: Server) -> Iterator[tuple[str, str]]:
    """A database of an encoding that holds what UTF-8 does not, and its name."""
    with postgres.database(request.param) as name:
        yield request.param, name


def test_text_of_any_encoding_is_read_and_what_is_none_refused(
    encoded: tuple[str, str], postgres: Server, registry: Registry
) -> None:
    encoding, name = encoded
    with psycopg.connect(f"{postgres.admin} dbname={name}") as connection:
        connection.execute(f"SET client_encoding = '{encoding}'".encode())
        connection.execute(b"CREATE TABLE chats (id text, who text, at timestamptz)")
        good = "José".encode("cp1252" if encoding == "WIN1252" else "utf-8")
        connection.execute(b"INSERT INTO chats VALUES ('a', '" + good + b"', now())")
        if encoding != "UTF8":
            connection.execute(b"INSERT INTO chats VALUES ('broken', 'Jos\x81', now())")
        connection.execute(b"INSERT INTO chats VALUES ('b', 'x', now())")
    query = (
        "SELECT id, 'thread' AS kind, who AS \"metadata.who\", at FROM chats WHERE at > :watermark"
    )
    done = read(registry, of_address(postgres.url(name), query, "at"))
    assert (done.done.added, done.refused) == (2, 0 if encoding == "UTF8" else 1)
    assert all(one.startswith("broken: metadata.who: ") for one in done.refusals)
    assert "Jos" not in told(done)
    who = {
        entry.thread.key.id: dict(entry.thread.reported or {})
        for entry in registry.threads.select()
    }
    assert who == {"a": {"who": "José"}, "b": {"who": "x"}}


def test_a_query_that_its_database_cannot_hold_is_told(
    postgres: Server, registry: Registry
) -> None:
    query = "SELECT 'a' AS id, 'é' AS \"user\""
    with postgres.database("SQL_ASCII") as name, pytest.raises(ConfigError, match="in ASCII"):
        read(registry, of_address(postgres.url(name), query, None))


SETTINGS = (
    "datestyle = 'SQL, DMY'",
    "datestyle = 'German'",
    "timezone = 'Pacific/Auckland'",
    "client_encoding = 'SQL_ASCII'",
    "client_encoding = 'LATIN1'",
    "intervalstyle = 'iso_8601'",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
)


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_database_change_nothing(
    setting: str, postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute(
        "CREATE TABLE chats (id text, who text, t timestamp, d date, at timestamptz, n float)", app
    )
    postgres.execute(
        "INSERT INTO chats VALUES ('a', 'José', '2026-03-04 05:06:07', '2026-03-04', "
        "'2026-03-04 05:06:07+00', 1772600767.25)",
        app,
    )
    postgres.execute(f"ALTER DATABASE {app} SET {setting}")
    query = (
        "SELECT id, 'thread' AS kind, d AS created_at, t AS last_active_at, at AS keep_until, at, "
        'who AS "metadata.who", at AS "metadata.at", n AS "metadata.n" '
        "FROM chats WHERE at > :watermark"
    )
    for added in (1, 0):
        done = read(registry, of_address(postgres.url(app), query, "at"))
        assert (done.read, done.done.added, done.refused, done.odd_times) == (1, added, 0, 0)
    (entry,) = registry.threads.select()
    times = (entry.thread.created_at, entry.thread.last_active_at, entry.thread.keep_until)
    moment = "2026-03-04T05:06:07+00:00"
    assert [str(at) for at in times] == [
        "2026-03-04 00:00:00+00:00",
        "2026-03-04 05:06:07+00:00",
        "2026-03-04 05:06:07+00:00",
    ]
    assert entry.thread.reported == {"who": "José", "at": moment, "n": "1772600767.25"}


ODD: dict[str, str] = {
    "endless": "infinity",
    "never": "-infinity",
    "christ": "0044-03-15 00:00:00+00 BC",
    "far": "12026-01-01 00:00:00+00",
    "first": "0001-01-01 00:00:00+02:00",
    "last": "9999-12-31 23:59:59-01:00",
    "zero": "0001-01-01 00:00:00+00",
}
ZONED = {"timestamptz", "text"}
FOR_EVER = {"endless", "far", "last"}
ODD_QUERY = (
    "SELECT id, 'thread' AS kind, at AS created_at, at AS last_active_at, at AS keep_until, "
    'at AS "metadata.x", at FROM chats WHERE at > :watermark'
)


def inserted(odd: Mapping[str, str]) -> str:
    values = ", ".join(f"('{name}', '{at}')" for name, at in odd.items())
    return f"INSERT INTO chats VALUES {values}"  # noqa: S608


def odd_of(column: str) -> dict[str, str]:
    """What is odd in a column of that type: without a zone, the last second is none."""
    return {name: at for name, at in ODD.items() if name != "last" or column in ZONED}


@pytest.mark.parametrize("column", ["timestamptz", "timestamp", "date", "text"])
@pytest.mark.parametrize("has_good", [True, False])
def test_odd_times_in_every_column_concern_their_rows_alone(
    column: str, has_good: bool, postgres: Server, app: str, registry: Registry
) -> None:
    good = {"a": f"{AT}+00", "b": f"{AT}+00"} if has_good else {}
    odd = odd_of(column)
    postgres.execute(f"CREATE TABLE chats (id text, at {column})", app)
    postgres.execute(inserted(good | odd), app)
    source = of_address(postgres.url(app), ODD_QUERY, "at")
    are_judged_alone(registry, lambda: read(registry, source), good, odd)


@pytest.mark.parametrize("has_good", [True, False])
def test_odd_times_of_a_file_concern_their_rows_alone(
    has_good: bool, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    good = {"a": f"{AT}+00", "b": f"{AT}+00"} if has_good else {}
    write(path, "CREATE TABLE chats (id TEXT, at TEXT)", inserted(good | ODD))
    are_judged_alone(registry, lambda: read(registry, of_file(path, ODD_QUERY, "at")), good, ODD)


def are_judged_alone(
    registry: Registry,
    reading: Callable[[], Synced],
    good: Mapping[str, str],
    odd: Mapping[str, str],
) -> None:
    first, second = reading(), reading()
    assert (first.read, first.done.added) == (len(good) + len(odd), len(good) + len(odd))
    assert (first.refused, first.odd_times, second.done.added) == (0, len(odd), 0)
    assert (first.drift, second.drift) == (None, None)
    assert str(first.watermark).startswith(AT if good else "None")
    assert second.watermark == first.watermark
    assert down(registry, ["chats"]) == {}
    found = {entry.thread.key.id: entry.thread for entry in registry.threads.select()}
    assert {found[name].last_active_at for name in odd} == {None}
    ends = {name: found[name].keep_until for name in odd}
    assert ends == {name: FOREVER if name in FOR_EVER else None for name in odd}


STRANGE = {
    "time": "'24:00:00'::time",
    "timetz": "'24:00:00+02'::timetz",
    "interval": "'178000000 years'::interval",
    "interval_of_days": "'999999999 days'::interval",
    "json": "('{\"a\": 1' || repeat('0', 5000) || '}')::json",
    "jsonb": "('{\"a\": 1' || repeat('0', 5000) || '}')::jsonb",
    "deep": "(repeat('[', 5000) || repeat(']', 5000))::json",
    "numeric": "('1' || repeat('0', 5000))::numeric",
    "nan": "'NaN'::numeric",
    "array": "ARRAY['infinity']::timestamptz[]",
    "range": "'[-infinity,infinity]'::tstzrange",
    "dates": "'[0044-03-15 BC,5874897-12-31)'::daterange",
    "bytea": "'\\xff'::bytea",
    "money": "'1.00'::money",
    "composite": "ROW(1, 'infinity'::timestamptz)",
    "inet": "'10.0.0.1'::inet",
}
ELSEWHERE = ["metadata", '"metadata.x"', '"user"', "kind", "project", "created_at", "keep_until"]


@pytest.mark.slow
@pytest.mark.parametrize("column", ELSEWHERE)
def test_a_value_of_any_type_concerns_its_row_alone(
    column: str, postgres: Server, app: str, registry: Registry
) -> None:
    for name, value in STRANGE.items():
        query = f"SELECT 'conv_odd' AS id, {value} AS {column} UNION ALL SELECT 'conv_{name}', NULL"
        done = read(registry, of_address(postgres.url(app), query, None))
        assert done.read == 2, name
        assert f"conv_{name}" in ids(registry)
        assert all(one.startswith("conv_odd: ") for one in done.refusals), name
