"""A query, a value of a row, a column's type and the address are each blamed for their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from application import of_address, of_file, read, write
from postgres import Server

from janitor.config import Keeper, Secret, Source
from janitor.errors import ConfigError, JanitorError
from janitor.registry import Registry

SECRET = "hunter2"  # noqa: S105 - looked for in messages
QUERY = 'SELECT id, {} AS "metadata.x", at FROM chats WHERE at > :watermark'
BY_VALUES = {
    "json_extract(v, '$.a')": "malformed JSON",
    "json_extract('{}', v)": "",
    "abs(n)": "integer overflow",
    "zeroblob(z)": "string or blob too big",
    "v LIKE replace(hex(zeroblob(30000)), '0', 'a')": "LIKE or GLOB pattern too complex",
    "v REGEXP '('": "user-defined function raised exception",
    "json_array(CAST(v AS BLOB))": "JSON cannot hold BLOB values",
}
BY_ITSELF = {
    "nope(1)": "no such function: nope",
    "abs(1, 2)": "wrong number of arguments",
    "(SELECT 1, 2)": "sub-select returns 2 columns",
    f"{'(' * 200}1{')' * 200}": "parser stack overflow",
    "1 # 2": "unrecognized token",
    "nowhere": "no such column: nowhere",
}
BY_VALUES_OF_A_SERVER = {
    "v::json->>'a'": "InvalidTextRepresentation",
    "1 / length(left(v, 0))": "DivisionByZero",
    "abs(n)": "NumericValueOutOfRange",
    "repeat(v, z)": "ProgramLimitExceeded",
    "complain(v)": "RaiseException",
    "(SELECT id FROM chats UNION ALL SELECT id FROM chats)": "CardinalityViolation",
    "current_setting(v)": "UndefinedObject",
    "v::regclass::text": "InvalidName|UndefinedTable|SyntaxError",
}
BY_ITSELF_OF_A_SERVER = {
    "nope(1)": "function nope",
    "(SELECT 1, 2)": "subquery must return only one column",
    "nowhere": 'column "nowhere" does not exist',
}


def told(registry: Registry, source: Source, kind: type[JanitorError] = ConfigError) -> str:
    with pytest.raises(kind, match="source chats: ") as caught:
        read(registry, source)
    assert SECRET not in str(caught.value)
    assert "own shell" not in str(caught.value)
    return str(caught.value)


def asks(source: Source, expression: str) -> Source:
    return replace(source, sql=replace(source.sql, query=QUERY.format(expression)))


@pytest.fixture
def file(tmp_path: Path) -> Source:
    path = tmp_path / "app.db"
    write(path, "CREATE TABLE chats (id TEXT, v TEXT, n INTEGER, z INTEGER, at TEXT)")
    row = ("a", f"{{{SECRET}", -(2**63), 2**31 - 1, "2026-01-01 00:00:00")
    write(path, "INSERT INTO chats VALUES (?, ?, ?, ?, ?)", rows=[row])
    return of_file(path, QUERY, "at")


@pytest.fixture
def server(postgres: Server, app: str) -> Source:
    postgres.execute(
        "CREATE TABLE chats (id text, v text, n bigint, z integer, at timestamptz);"
        "INSERT INTO chats VALUES ('a', '{hunter2', -9223372036854775808, 2147483647, now());"
        "CREATE FUNCTION complain(said text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no %', said; END $$",
        app,
    )
    return of_address(postgres.url(app), QUERY, "at")


@pytest.mark.parametrize("expression", BY_VALUES)
def test_a_value_that_a_query_cannot_work_with_is_blamed(
    expression: str, file: Source, registry: Registry
) -> None:
    said = told(registry, asks(file, expression))
    assert "the query fails on a value in the table" in said
    assert BY_VALUES[expression] in said
    assert said.endswith("; change sources.chats.sql.query")


@pytest.mark.parametrize("expression", BY_ITSELF, ids=range(len(BY_ITSELF)))
def test_a_query_that_fails_whatever_the_rows_hold_is_blamed(
    expression: str, file: Source, registry: Registry
) -> None:
    said = told(registry, asks(file, expression))
    assert f"the query fails: {BY_ITSELF[expression]}" in said
    assert said.endswith("; correct sources.chats.sql")


@pytest.mark.parametrize("expression", BY_VALUES_OF_A_SERVER)
def test_a_value_that_a_query_of_a_server_cannot_work_with_is_blamed(
    expression: str, server: Source, registry: Registry
) -> None:
    said = told(registry, asks(server, expression))
    assert "the query fails on a value in the table" in said
    assert any(name in said for name in BY_VALUES_OF_A_SERVER[expression].split("|"))
    assert said.endswith("; change sources.chats.sql.query")


@pytest.mark.parametrize("expression", BY_ITSELF_OF_A_SERVER)
def test_a_query_of_a_server_that_fails_whatever_the_rows_hold_is_blamed(
    expression: str, server: Source, registry: Registry
) -> None:
    said = told(registry, asks(server, expression))
    assert f"the query fails: {BY_ITSELF_OF_A_SERVER[expression]}" in said
    assert said.endswith("; correct sources.chats.sql")


UNORDERED = {
    "uuid": "gen_random_uuid()",
    "boolean": "true",
    "xid8": "'9'",
    "jsonb": "'{}'",
    "bytea": "'a'",
    "interval": "'1 day'",
    "inet": "'10.0.0.1'",
    "time without time zone": "'10:00'",
    "money": "'17'",
    "oid": "17",
    "text[]": "'{}'",
    "mood": "'fine'",
    "tsvector": "'a'",
    "bit varying": "B'1'",
}


@pytest.mark.parametrize("type", UNORDERED)
@pytest.mark.parametrize("is_empty", [True, False])
def test_a_column_of_a_type_that_orders_no_times_is_no_watermark(
    type: str, is_empty: bool, postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute("CREATE TYPE mood AS ENUM ('fine', 'bad')", app)
    postgres.execute(f"CREATE TABLE chats (id text, at {type})", app)
    if not is_empty:
        postgres.execute(f"INSERT INTO chats VALUES ('a', {UNORDERED[type]})", app)  # noqa: S608
    said = told(registry, of_address(postgres.url(app), QUERY.format("id"), "at"))
    assert f"`at` is of the type {type}, which cannot be a watermark" in said


@pytest.mark.parametrize(
    "type", ["numeric", "double precision", "integer", "varchar", "name", "spelled"]
)
def test_a_column_of_times_as_numbers_or_text_is_a_watermark(
    type: str, postgres: Server, app: str, registry: Registry
) -> None:
    is_text = type in {"varchar", "name", "spelled"}
    postgres.execute("CREATE DOMAIN spelled AS text", app)
    postgres.execute(f"CREATE TABLE chats (id text, at {type})", app)
    value = "'2026-01-01 00:00:00'" if is_text else 1767225600
    postgres.execute(f"INSERT INTO chats VALUES ('thread_a', {value})", app)  # noqa: S608
    done = read(registry, of_address(postgres.url(app), QUERY.format("id"), "at"))
    assert (done.done.added, str(done.watermark)) == (1, "2026-01-01 00:00:00+00:00")


REFUSED = (
    *("sslmode=hunter2", "service=hunter2", "connect_timeout=hunter2", "hostaddr=hunter2"),
    *("options=hunter2", "options=-c%20hunter2%3D1", "foo=hunter2", "target_session_attrs=hunter2"),
    *("require_auth=hunter2", "ssl_min_protocol_version=hunter2", "conninfo=hunter2"),
    *("autocommit=true", "row_factory=hunter2"),
)
Keep = Callable[[str], Source]


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Keep:
    """A source whose address is in the environment."""

    def kept(url: str) -> Source:
        monkeypatch.setenv("APP_URL", url)
        source = of_address("", QUERY.format("id"), "at")
        return replace(source, sql=replace(source.sql, url=Secret(Keeper.ENV, "APP_URL")))

    return kept


@pytest.mark.parametrize("setting", REFUSED)
def test_a_setting_in_an_address_is_named_without_its_value(
    setting: str, postgres: Server, app: str, registry: Registry, keep: Keep
) -> None:
    said = told(registry, keep(f"{postgres.url(app)}&{setting}"))
    assert f"`{setting.partition('=')[0]}`" in said
    assert "sources.chats.sql.url" in said


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://{SECRET}:x@127.0.0.1:1/{SECRET}",
        f"postgresql://u@{SECRET}.invalid/x",
        f"postgresql://u@/x?host=/{SECRET}",
        f"sqlite:////{SECRET}/app.db",
        f"{SECRET}://u@h/x",
        f"postgresql+{SECRET}://u@h/x",
    ],
)
def test_nothing_of_an_address_that_is_kept_secret_is_shown(
    url: str, registry: Registry, keep: Keep
) -> None:
    told(registry, keep(url), JanitorError)


def test_the_cause_is_said_beside_a_secret_address(registry: Registry, keep: Keep) -> None:
    said = told(registry, keep("postgresql://u@127.0.0.1:1/x"), JanitorError)
    assert "its database cannot be reached: Connection refused; check that it runs" in said
    assert "127.0.0.1" not in said
