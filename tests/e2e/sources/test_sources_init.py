"""`init` with a table of the application's own: what a person gets who has just installed it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from world import World

TOLD = "what somebody told the assistant"
COLUMNS = (
    "conversation_id TEXT NOT NULL, title TEXT, user_id TEXT, plan TEXT, created_at TIMESTAMP, "
    "last_message_at TIMESTAMP, updated_at TIMESTAMP NOT NULL"
)
INSERT = "INSERT INTO chats VALUES (?, ?, 'u1', 'trial', ?, ?, ?)"
AT = "2026-01-01 10:00:00"


@pytest.fixture
def app(world: World) -> Path:
    """An application's database with seven chats, which exist at the server."""
    path = world.directory / "app.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE chats ({COLUMNS})")
        rows = [(world.conversation(), TOLD, AT, AT, AT) for _ in range(7)]
        connection.executemany(INSERT, rows)
    return path


def test_without_a_configuration_it_is_written_with_the_source(world: World, app: Path) -> None:
    path = world.directory / "fresh" / "janitor.yaml"
    done = world.run("init", str(path), "--source", f"sqlite:///{app}", "--table", "chats")
    assert done.code == 0, done.err
    assert done.out.count("conversation  2026-01-01 10:00:00") == 5
    assert "user_id=u1, plan=trial" in done.out
    assert done.out.count("is taken for the id") == 1
    assert TOLD not in done.out + path.read_text()
    world.environment["OPENAI_API_KEY"] = "sk-none"
    accepted = world.run("validate", str(path))
    assert (accepted.code, accepted.err) == (0, "")
    assert "source chats: threads that vanish from it are kept" in accepted.out


def test_a_configuration_that_exists_stays_and_the_source_is_printed(
    world: World, app: Path
) -> None:
    before = world.config.read_bytes()
    world.environment["APP_DATABASE_URL"] = f"sqlite:///{app}"
    arguments = ("init", str(world.config), "--source", "env:APP_DATABASE_URL", "--table", "chats")
    done = world.run(*arguments)
    assert (done.code, world.config.read_bytes()) == (0, before)
    assert f"{world.config} already exists. Put this in place of its `sources: {{}}`" in done.out
    assert "      url: {env: APP_DATABASE_URL}\n" in done.out
    document = world.run("--output", "json", *arguments).document
    assert (document["written"], document["source"]) == (False, "chats")
    assert document["columns"]["last_active_at"] == "last_message_at"
    assert len(document["rows"]) == 5
    assert document["rows"][0]["metadata"] == {"user_id": "u1", "plan": "trial"}
    with world.config.open("a", encoding="utf-8") as file:
        file.write(document["stanza"])
    synced = world.run("--output", "json", "sync")
    assert synced.code == 0, synced.err
    (source,) = synced.document["sources"]
    assert (source["read"], source["added"], source["refused"]) == (7, 7, 0)
    listed = world.run("--output", "jsonl", "list").lines
    assert {one["metadata"]["plan"] for one in listed} == {"trial"}
    assert len(listed) == 7


def test_what_would_be_refused_is_said_before_the_proposal(world: World, app: Path) -> None:
    with closing(sqlite3.connect(app)) as connection, connection:
        connection.execute(INSERT, ("in work", TOLD, AT, AT, AT))
    arguments = ("init", str(world.config), "--source", f"sqlite:///{app}", "--table", "chats")
    done = world.run(*arguments)
    assert done.code == 0, done.err
    before, _, after = done.out.partition("sources:")
    assert "1 of the first 8 rows would be refused, such as row 8: " in before
    assert "SELECT conversation_id AS id" in after
    document = world.run("--output", "json", *arguments).document
    assert (document["tried"], len(document["doubts"])) == (8, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "postgresql://app:secret@db/app", "--table", "chats"], "env:APP_DATABASE"),
        (["--source", "sqlite:///app.db"], "--source and --table go together"),
        (["--table", "chats"], "--source and --table go together"),
        (["--source", "env:NOT_SET", "--table", "chats"], "NOT_SET is missing"),
    ],
)
def test_what_is_refused_writes_nothing(world: World, arguments: list[str], said: str) -> None:
    path = world.directory / "fresh.yaml"
    done = world.run("init", str(path), *arguments)
    assert done.code == 2
    assert said in done.err
    assert "secret" not in done.out + done.err
    assert not path.exists()
