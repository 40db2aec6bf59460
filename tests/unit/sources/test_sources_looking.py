"""A table of the application's own is looked at, read-only, and the first rows are shown."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from application import read, write
from postgres import Server

from janitor.config import Config, Keeper, Secret, parse
from janitor.config.starter import starter
from janitor.config.yaml_source import parse_document
from janitor.errors import AccessError, ConfigError
from janitor.model import Kind
from janitor.registry import Registration, Registry
from janitor.sources.suggest import Looked, look, settings_of

COLUMNS = (
    '(pk INTEGER PRIMARY KEY, conversation_id VARCHAR(80), title TEXT, "userId" VARCHAR(20), '
    'plan VARCHAR(20), "createdAt" TIMESTAMP, last_message_at TIMESTAMP, body TEXT, '
    '"updatedAt" TIMESTAMP NOT NULL)'
)
AT = "2026-01-01 10:00:00"
ROWS = [
    (n, f"conv_{n}" if n else None, "a secret", f"u{n}", "trial", AT, AT, "a secret", AT)
    for n in range(9)
]


def accepted(looked: Looked) -> Config:
    return parse(parse_document(starter(sources=looked.stanza).encode(), "starter").value)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with a table `chats` of nine rows, one of them without an id."""
    if request.param == "sqlite":
        path = tmp_path / "app.db"
        insert = "INSERT INTO chats VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        write(path, f"CREATE TABLE chats {COLUMNS}", insert, rows=ROWS)
        return f"sqlite:///{path}"
    server: Server = request.getfixturevalue("postgres")
    app: str = request.getfixturevalue("app")
    server.execute(f"CREATE TABLE chats {COLUMNS}", app)
    with psycopg.connect(f"{server.admin} dbname={app}") as connection:
        insert = "INSERT INTO chats VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        connection.cursor().executemany(insert, ROWS)
    return server.url(app)


def test_the_proposal_is_accepted_and_reads_what_it_showed(
    address: str, tmp_path: Path, registry: Registry
) -> None:
    looked = look(settings_of(address, tmp_path), "chats")
    at = datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert len(looked.rows) == 5
    row = looked.rows[0]
    assert isinstance(row, Registration)
    assert (row.key.id, row.key.kind) == ("conv_1", Kind.CONVERSATION)
    assert (row.created_at, row.last_active_at) == (at, at)
    assert row.metadata == {"user_id": "u1", "plan": "trial"}
    assert "secret" not in repr(looked)
    done = read(registry, accepted(looked).sources["chats"])
    assert (done.read, done.done.added, done.refused) == (8, 8, 0)
    again = read(registry, accepted(looked).sources["chats"])
    assert again.done.added == 0


def test_nulls_in_the_rows_decide_between_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    columns = "thread_id TEXT, created_at TIMESTAMP, threadId TEXT, created TIMESTAMP"
    insert = "INSERT INTO chats VALUES (?, ?, ?, ?)"
    rows = [("thread_1", None, "thread_1", AT), (None, AT, "thread_2", AT), (None, AT, "t3", AT)]
    write(path, f"CREATE TABLE chats ({columns})", insert, rows=rows)
    looked = look(settings_of(f"sqlite:///{path}", tmp_path), "chats")
    read = {to: name for name, to in looked.proposal.columns}
    assert (read["id"], read["created_at"]) == ("thread_id", "created")
    (ids, times) = (note for note in looked.proposal.notes if "could both" in note)
    assert ids.endswith("`thread_id` is taken, more of its values look like ids")
    assert times.endswith("`created` is taken, it has fewer NULLs (0 against 1)")
    assert "      # or: threadId AS id\n" in looked.stanza.replace('"', "")
    accepted(looked)


def test_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(path, f"CREATE TABLE chats {COLUMNS}")
    before = path.read_bytes()
    looked = look(settings_of(f"sqlite:///{path}", tmp_path), "chats")
    assert looked.rows == ()
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["app.db"]


def test_a_relative_file_is_named_from_anywhere(tmp_path: Path) -> None:
    write(tmp_path / "app.db", f"CREATE TABLE chats {COLUMNS}")
    looked = look(settings_of("sqlite:///app.db", tmp_path), "chats")
    assert f'url: "sqlite:///{tmp_path / "app.db"}"' in looked.stanza


def test_a_variable_stays_a_variable(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_DATABASE_URL", address)
    looked = look(settings_of("env:APP_DATABASE_URL", tmp_path), "chats")
    assert "url: {env: APP_DATABASE_URL}" in looked.stanza
    assert accepted(looked).sources["chats"].sql.url == Secret(Keeper.ENV, "APP_DATABASE_URL")


def test_an_empty_password_is_none(tmp_path: Path) -> None:
    sql = settings_of("postgresql+psycopg://me:@/db?host=/run/pg", tmp_path)
    assert sql.url == "postgresql+psycopg://me@/db?host=%2Frun%2Fpg"


@pytest.mark.parametrize(
    "said",
    [
        "postgresql://app:secret@db/app",
        "postgresql://db/app?password=secret",
        "mysql+pymysql://app:secret@db/app",
    ],
)
def test_a_password_is_refused_and_not_repeated(said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--source env:APP_DATABASE_URL") as caught:
        settings_of(said, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("said", ["", "chats.db", "env:1x", "https//x"])
def test_what_is_no_address_is_refused(said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--source is not a database address"):
        settings_of(said, tmp_path)


def test_what_is_not_there(tmp_path: Path, address: str) -> None:
    sql = settings_of(address, tmp_path)
    with pytest.raises(ConfigError, match="no such table; known: chats"):
        look(sql, "threads")
    with pytest.raises(ConfigError, match="only plain names"):
        look(sql, "chats; DROP TABLE chats")
    with pytest.raises(AccessError, match="does not exist"):
        look(settings_of("sqlite:///none.db", tmp_path), "chats")


@pytest.mark.parametrize(("name", "spelled"), [("call", "call"), ("merge", '"merge"')])
def test_a_table_that_is_named_like_a_statement(tmp_path: Path, name: str, spelled: str) -> None:
    path = tmp_path / "app.db"
    create, insert = (
        'CREATE TABLE "{}" ("{}" TEXT, id TEXT)',
        "INSERT INTO \"{}\" VALUES ('x', 'conv_1')",
    )
    write(path, create.format(name, "update"), insert.format(name))
    looked = look(settings_of(f"sqlite:///{path}", tmp_path), name)
    assert (
        accepted(looked).sources[name].sql.query.endswith(f"FROM {spelled}\nWHERE id IS NOT NULL")
    )


def test_a_row_that_would_be_refused_says_why(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(path, "CREATE TABLE chats (thread_id TEXT)", "INSERT INTO chats VALUES ('a b')")
    (row,) = look(settings_of(f"sqlite:///{path}", tmp_path), "chats").rows
    assert isinstance(row, str)
    assert "the id must be" in row
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM chats").fetchone() == (1,)


ODD_COLUMNS = (
    '(session_id CHAR(40), "createdDate" TIMESTAMP, plan CHAR(10), "lastUpdate" TIMESTAMP NOT NULL)'
)
NO_BEGINNING = "-infinity"


def odd_rows(spare: str) -> list[tuple[str | None, str, str, str]]:
    """Sixty rows without an id, then ids of threads, one that is none, and a time that is none."""
    empty = [(None, AT, f"trial{spare}", AT)] * 60
    ids = [(f"thread_{n}{spare}", AT, f"trial{spare}", AT) for n in range(4)]
    return [*empty, *ids, ("in work", AT, "trial", AT), ("thread_9", NO_BEGINNING, "trial", AT)]


@pytest.fixture(params=["sqlite", "postgresql"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A table as a tool made it: padded ids, names of its own, a few odd values."""
    if request.param == "sqlite":
        path = tmp_path / "app.db"
        insert = "INSERT INTO chats VALUES (?, ?, ?, ?)"
        write(path, f"CREATE TABLE chats {ODD_COLUMNS}", insert, rows=odd_rows("   "))
        return f"sqlite:///{path}"
    server: Server = request.getfixturevalue("postgres")
    app: str = request.getfixturevalue("app")
    server.execute(f"CREATE TABLE chats {ODD_COLUMNS}", app)
    with psycopg.connect(f"{server.admin} dbname={app}") as connection:
        insert = "INSERT INTO chats VALUES (%s, %s, %s, %s)"
        connection.cursor().executemany(insert, odd_rows(""))
    return server.url(app)


def test_a_proposal_is_tried_on_odd_rows_and_says_what_it_would_refuse(
    odd: str, tmp_path: Path, registry: Registry
) -> None:
    looked = look(settings_of(odd, tmp_path), "chats")
    named = {to: name for name, to in looked.proposal.columns}
    assert (named["id"], named["created_at"]) == ("session_id", "createdDate")
    assert looked.proposal.literal_kind is None
    assert "trim(session_id) AS id" in looked.stanza
    assert "`session_id` is padded with blanks, which are trimmed" in looked.proposal.notes
    assert looked.tried == 6
    refused, times = looked.doubts
    assert refused.startswith("1 of the first 6 rows would be refused, such as row 5: ")
    assert times.startswith(
        "1 of the first 6 rows name a time that is not taken as written, such as "
    )
    done = read(registry, accepted(looked).sources["chats"])
    assert (done.done.added, done.refused, done.odd_times) == (5, 1, 1)
    (thread, *_) = registry.threads.select()
    assert (thread.thread.key.id, thread.thread.key.kind) == ("thread_0", Kind.THREAD)
    assert thread.thread.reported == {"plan": "trial"}


def test_what_the_query_passes_over_is_said(postgres: Server, app: str, tmp_path: Path) -> None:
    postgres.execute("CREATE TABLE chats (id text, updated_at timestamptz NOT NULL)", app)
    postgres.execute("INSERT INTO chats VALUES ('conv_1', now()), ('conv_2', '-infinity')", app)
    postgres.execute("INSERT INTO chats VALUES ('conv_3', now()), (NULL, now())", app)
    looked = look(settings_of(postgres.url(app), tmp_path), "chats")
    (doubt,) = looked.doubts
    assert doubt.startswith("the query skips 1 of the first 3 rows: ")
    assert (looked.tried, len(looked.rows)) == (2, 2)


def test_a_proposal_that_takes_every_row_has_no_doubts(address: str, tmp_path: Path) -> None:
    looked = look(settings_of(address, tmp_path), "chats")
    assert (looked.tried, looked.doubts) == (8, ())
