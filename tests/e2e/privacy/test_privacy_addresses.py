"""I10: of an address nobody is shown what may be a part of its password."""

from __future__ import annotations

import pytest
from postgres import Server
from world import World

SOURCE = """\
sources:
  chats:
    sql: {url: {env: APP_DATABASE_URL}, query: "SELECT id FROM chats", watermark: null}
"""
COMMANDS = (
    "validate",
    "doctor",
    "sync",
    "-v sweep",
    "plan",
    "explain ID",
    "init new.yaml --source env:APP_DATABASE_URL --table chats",
    "init new.yaml --source URL --table chats",
)
UNESCAPED = "postgresql://me:MA@RK@127.0.0.1:1/app"


@pytest.mark.parametrize(
    "url",
    [
        UNESCAPED,
        "postgresql://me:MA/@RK@127.0.0.1:1/app",
        "postgresql://me:MA%40RK@127.0.0.1:1/app",
        "postgresql://me@127.0.0.1:1/app?password=MA%40RK",
        "mysql://me:MA@RK@127.0.0.1:1/app",
        "nonsense://me:MA@RK@127.0.0.1:1/app",
        "me:MA@RK@127.0.0.1:1/app",
    ],
)
def test_no_command_shows_a_part_of_a_sources_password(
    world: World, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(world.directory)
    (one,) = world.fill(1)
    with world.config.open("a") as file:
        file.write(SOURCE)
    world.environment["APP_DATABASE_URL"] = url
    for command in COMMANDS:
        said = command.replace("source URL", f"source {url}").replace("ID", one)
        done = world.run(*said.split())
        if "init" in command:
            assert done.code in {2, 3}
        for mark in ("MA", "RK"):
            assert mark not in done.out + done.err, command
        assert "Traceback" not in done.err


def test_the_cause_is_named_with_its_source(world: World) -> None:
    with world.config.open("a") as file:
        file.write(SOURCE)
    world.environment["APP_DATABASE_URL"] = UNESCAPED
    done = world.run("sync")
    assert done.code == 2
    assert (
        "APP_DATABASE_URL holds: there is a second @: write each @ of the password as %40"
        in done.err
    )


def test_a_registry_is_shown_without_its_user(world: World, postgres: Server) -> None:
    with postgres.database() as name:
        url = postgres.url(name)
        world.configure()
        text = world.config.read_text()
        world.config.write_text(text.replace(f"sqlite:///{world.registry.name}", url))
        assert world.run("import", "--id", "conv_1", "--kind", "conversation").code == 0
        for command in ("validate", "doctor"):
            done = world.run(command)
            assert f"postgresql+psycopg:///{name}?host=" in done.out
            assert "postgres@" not in done.out + done.err
