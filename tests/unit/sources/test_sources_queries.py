"""Each query of the table, tried on the engines: they take what they should, and change nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from application import of_address, write
from postgres import Server
from source_queries import CHATS, MESSAGES, REFUSED, TABLES, TAKEN, Refused, Taken
from sqlalchemy.exc import SQLAlchemyError

from janitor.config import Keeper, Secret, SqlSettings
from janitor.config.source_query import only_read, uses_watermark
from janitor.errors import ConfigError, JanitorError
from janitor.sources.sql_reader import Foreign, Values


@dataclass(frozen=True, slots=True)
class Engines:
    """An application's database on each engine; none of these tests can change it."""

    postgres: Server
    database: str
    file: Path

    def settings(self, letter: str, query: str) -> SqlSettings:
        url = self.postgres.url(self.database) if letter == "p" else f"sqlite:///{self.file}"
        watermark = "updated_at" if uses_watermark(query, None) else None
        return of_address(url, query, watermark).sql

    def content(self, letter: str) -> list[tuple[object, ...]]:
        asked = "SELECT id, plan FROM chats ORDER BY id"
        if letter == "p":
            return self.postgres.execute(asked, self.database)
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(asked).fetchall()


@pytest.fixture(scope="module")
def engines(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    file = tmp_path_factory.mktemp("app") / "app.db"
    write(file, *(one.format(json="text", time="text") for one in TABLES), CHATS, MESSAGES)
    with postgres.database() as name:
        for statement in TABLES:
            postgres.execute(statement.format(json="jsonb", time="timestamptz"), name)
        for statement in (CHATS, MESSAGES):
            postgres.execute(statement, name)
        yield Engines(postgres, name, file)


def rows_of(foreign: Foreign, sql: SqlSettings) -> list[Values]:
    tries = (None,) if sql.watermark is None else foreign.beginning
    with foreign.read(lambda _: tries) as reading:
        return [row for page in reading.pages for row in page]


@pytest.mark.parametrize("letter", ["s", "p"])
@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.query[:80])
def test_an_engine_takes_the_queries_that_the_table_says(
    engines: Engines, case: Taken, letter: str
) -> None:
    sql = engines.settings(letter, case.query)
    if letter in case.on:
        sql = replace(sql, query=only_read(case.query, sql.backend))
        assert rows_of(Foreign("chats", sql), sql)
        return
    with pytest.raises(JanitorError, match="source chats"):
        rows_of(Foreign("chats", sql), sql)


# A COMMIT would end the read-only transaction: nothing but the check stands before that.
GUARDED = [case for case in REFUSED if "COMMIT" not in case.query]


@pytest.mark.parametrize("letter", ["s", "p"])
@pytest.mark.parametrize("case", GUARDED, ids=lambda case: case.query[:80])
def test_the_session_would_let_no_refused_query_change_anything(
    engines: Engines, case: Refused, letter: str
) -> None:
    before = engines.content(letter)
    foreign = Foreign("chats", engines.settings(letter, ""))
    with suppress(JanitorError, SQLAlchemyError), foreign.look() as connection:
        connection.exec_driver_sql(case.query)
    assert len(before) == 2
    assert engines.content(letter) == before


@pytest.mark.parametrize("letter", ["s", "p"])
def test_no_second_statement_ends_the_read_only_transaction(engines: Engines, letter: str) -> None:
    sql = engines.settings(letter, "SELECT id FROM chats; COMMIT; DELETE FROM chats")
    with pytest.raises(ConfigError, match="source chats: the query must be one SELECT"):
        rows_of(Foreign("chats", sql), sql)
    assert len(engines.content(letter)) == 2


def test_a_query_whose_address_is_a_secret_is_checked_for_its_engine(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = r"SELECT 'a\'; b' AS id"  # one string for MySQL, where a backslash escapes the quote
    assert only_read(query, None) == query
    sql = engines.settings("p", query)
    monkeypatch.setenv("APP_URL", str(sql.url))
    kept = replace(sql, url=Secret(Keeper.ENV, "APP_URL"))
    with pytest.raises(ConfigError, match="source chats: the query ends within a quoted text"):
        rows_of(Foreign("chats", kept), kept)
