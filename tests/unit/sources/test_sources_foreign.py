"""The application's database is only read, within limits, and tells no secret when it fails."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from application import CHATS, QUERY, of_address, of_file, read, write
from postgres import Server

from janitor.config import Keeper, Secret, Source
from janitor.errors import AccessError, ConfigError, JanitorError
from janitor.registry import Registry
from janitor.sources.sql_reader import Foreign, address

SECRET = "hunter2"  # noqa: S105 - looked for in messages
INSERT_SECRET = "INSERT INTO chats VALUES ('a', 'hunter2', 'x', now())"  # noqa: S105


def kept_in(name: str, source: Source) -> Source:
    return replace(source, sql=replace(source.sql, url=Secret(Keeper.ENV, name)))


def within(source: Source, timeout: timedelta) -> Source:
    return replace(source, sql=replace(source.sql, timeout=timeout))


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+psycopg://u@h/d?sslmode=require"),
        ("postgresql+asyncpg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("mysql://u@h/d", "mysql+pymysql://u@h/d"),
        ("mysql+mysqldb://u@h/d", "mysql+mysqldb://u@h/d"),
        ("sqlite:////a/app.db", "sqlite:////a/app.db"),
        ("sqlite+aiosqlite:///app.db", "sqlite:////here/app.db"),
    ],
)
def test_an_applications_address_is_taken_with_our_drivers(said: str, used: str) -> None:
    sql = replace(of_address(said).sql, directory=Path("/here"))
    assert address(sql).render_as_string() == used


def test_the_servers_session_writes_nothing(postgres: Server, app: str, registry: Registry) -> None:
    postgres.execute(CHATS.format(type="timestamptz"), app)
    postgres.execute(
        "CREATE FUNCTION spoil() RETURNS text LANGUAGE sql AS "
        "$$ INSERT INTO chats VALUES ('x') RETURNING id $$",
        app,
    )
    query = "SELECT spoil() AS id, now() AS updated_at WHERE now() > :watermark"
    with pytest.raises(JanitorError, match="source chats"):
        read(registry, of_address(postgres.url(app), query))
    assert postgres.execute("SELECT * FROM chats", app) == []


def test_a_file_is_opened_for_reading(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "app.db"
    write(path, CHATS.format(type="TEXT"))
    path.chmod(0o444)
    before = path.read_bytes()
    read(registry, of_file(path))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.glob("app*")] == ["app.db"]


def test_a_statement_of_a_server_has_an_end(postgres: Server, app: str, registry: Registry) -> None:
    query = "SELECT pg_sleep(60)::text AS id, now() AS updated_at WHERE now() > :watermark"
    source = within(of_address(postgres.url(app), query), timedelta(milliseconds=200))
    with pytest.raises(AccessError, match="took longer than"):
        read(registry, source)


def test_a_statement_of_a_file_has_an_end(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "app.db", CHATS.format(type="TEXT"))
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT max(i) AS id, 1 AS updated_at FROM n WHERE i > :watermark"
    )
    source = within(of_file(tmp_path / "app.db", query), timedelta(milliseconds=200))
    with pytest.raises(AccessError, match="took longer than"):
        read(registry, source)


def test_colons_of_the_query_stay_what_they_are(
    postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute(CHATS.format(type="timestamptz"), app)
    postgres.execute("INSERT INTO chats VALUES ('a', '2026-01-01', 'x', now())", app)
    query = (
        "SELECT id, 'thread'::text AS kind, '10:30 :x' AS \"metadata.at\", updated_at FROM chats "
        "WHERE updated_at > CAST(:watermark AS timestamptz) AND plan LIKE '%x'"
    )
    source = of_address(postgres.url(app), query)
    assert [read(registry, source).read for _ in range(2)] == [1, 1]
    assert next(iter(registry.threads.select())).thread.reported == {"at": "10:30 :x"}


def test_no_password_is_told(
    postgres: Server, app: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute("DROP ROLE IF EXISTS guarded")  # other tests may have left theirs
    postgres.execute("CREATE ROLE guarded LOGIN PASSWORD 'other'")
    host = postgres.url(app).partition("?")[2]
    monkeypatch.setenv("APP_URL", f"postgresql://guarded:{SECRET}@/{app}?{host}")
    try:
        with pytest.raises(
            AccessError, match="refused this user or password: check sources"
        ) as caught:
            read(registry, kept_in("APP_URL", of_address("")))
    finally:
        postgres.execute("DROP ROLE guarded")
    assert SECRET not in str(caught.value)


def test_an_empty_password_is_none_and_none_tells_databases_apart(
    postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute(CHATS.format(type="timestamptz"), app)
    url = postgres.url(app)
    spelled = [url, url.replace("postgres@", "postgres:@", 1), url.replace("s@", f"s:{SECRET}@", 1)]
    sources = [of_address(one) for one in spelled]
    assert [read(registry, one).read for one in sources[:2]] == [0, 0]
    assert len({Foreign("chats", one.sql).fingerprint for one in sources}) == 1


@pytest.mark.parametrize("said", ["", "no address", "sqlite:///missing.db", f"x{SECRET}://a:b:c"])
def test_an_address_that_is_none_is_told_without_being_shown(
    said: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_URL", said)
    with pytest.raises((AccessError, ConfigError), match="source chats: ") as caught:
        read(registry, kept_in("APP_URL", of_address("")))
    assert SECRET not in str(caught.value)


def test_a_driver_that_is_missing_is_told(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="install it next to janitor"):
        read(registry, of_address("mysql://u@127.0.0.1/app"))


def test_a_server_that_is_not_there_is_told(registry: Registry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(AccessError, match="check that it runs"):
        read(registry, of_address(f"postgresql://u@127.0.0.1:{port}/app"))


def test_a_value_of_a_row_is_not_told(postgres: Server, app: str, registry: Registry) -> None:
    postgres.execute(CHATS.format(type="timestamptz"), app)
    postgres.execute(INSERT_SECRET, app)
    query = QUERY.replace("created_at,", "created_at::timestamptz AS created_at,")
    with pytest.raises(ConfigError, match="fails on a value") as caught:
        read(registry, of_address(postgres.url(app), query))
    assert SECRET not in str(caught.value)


def test_a_table_that_may_not_be_read_says_what_to_grant(
    postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute(CHATS.format(type="timestamptz"), app)
    postgres.execute("CREATE ROLE reader_of_nothing LOGIN")
    try:
        with pytest.raises(AccessError, match="GRANT SELECT"):
            read(registry, of_address(postgres.url(app, "reader_of_nothing")))
    finally:
        postgres.execute("DROP ROLE reader_of_nothing")
