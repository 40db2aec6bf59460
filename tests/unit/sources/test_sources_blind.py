"""A condition that does not go by what the query calls its watermark: no row is passed over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from application import ids, of_address, of_file, read, write
from postgres import Server

from janitor.registry import Registry
from janitor.sources.watermark import memories

SELECT = "SELECT id, 'thread' AS kind, {at} AS at FROM chats WHERE {condition}"
NOW = int(time.time())


def fill(path: Path, **rows: object) -> None:
    write(path, "CREATE TABLE IF NOT EXISTS chats (id TEXT, at)")
    if rows:
        write(path, "INSERT INTO chats VALUES (?, ?)", rows=rows.items())


def test_a_name_of_as_that_is_a_column_of_the_table_loses_no_row(
    tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    query = SELECT.format(at="datetime(at, 'unixepoch')", condition="at > :watermark")
    fill(path, a=NOW - 9000, b=NOW - 100)
    for number, name in enumerate("cde", 2):
        done = read(registry, of_file(path, query, "at"))
        assert (done.read, done.watermark) == (number, None)
        assert "`at` does not find its newest row again" in (done.drift or "")
        fill(path, **{name: NOW})
    assert ids(registry) == ["a", "b", "c", "d"]
    right = query.replace("WHERE at", "WHERE datetime(at, 'unixepoch')")
    done = read(registry, of_file(path, right, "at"))
    assert (done.read, done.drift, done.watermark is None) == (5, None, False)


def test_of_a_server_such_a_name_loses_no_row(
    postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute("CREATE TABLE chats (id text, at text, changed text)", app)
    insert = "INSERT INTO chats VALUES ('{}', '0', now()::text)"
    query = SELECT.format(at="changed", condition="at > :watermark")
    for number, name in enumerate("abc", 1):
        postgres.execute(insert.format(name), app)
        done = read(registry, of_address(postgres.url(app), query, "at"))
        assert done.read == number
        assert "`at` does not find its newest row again" in (done.drift or "")
    assert memories(registry)["chats"].mark is None


def test_a_condition_that_takes_no_beginning_is_said(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "app.db"
    query = SELECT.format(at="at", condition="at > datetime(:watermark)")
    fill(path, a="2026-01-01 00:00:00")
    for _ in range(2):
        done = read(registry, of_file(path, query, "at"))
        assert done.read == 0
        assert "No row was read" in (done.drift or "")
        assert "write it as `at > :watermark`" in (done.drift or "")


@pytest.mark.parametrize(
    "at",
    [NOW, NOW * 1000, NOW + 10**7, "2020-01-01", "2020-01-01T10:00:00+05:00", "9999-12-31", 10**10],
    ids=["now", "in ms", "later", "a day", "with an offset", "the last day", "in 2286"],
)
def test_a_condition_on_the_watermark_itself_is_left_in_peace(
    at: object, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "app.db"
    query = SELECT.format(at="at", condition="at > :watermark")
    fill(path)
    assert read(registry, of_file(path, query, "at")).drift is None
    fill(path, a=at, b="2019-01-01" if isinstance(at, str) else NOW - 10**8)
    for _ in range(2):
        assert read(registry, of_file(path, query, "at")).drift is None
    write(path, "DELETE FROM chats WHERE id = 'a'")
    assert read(registry, of_file(path, query, "at")).drift is None
