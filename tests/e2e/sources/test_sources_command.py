"""`janitor sync`: what it says, how it exits, and that a dry run only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from world import World

from janitor.registry import Registry

SOURCE = """\
  {name}:
    sql: {{url: "sqlite:///{name}.db", watermark: updated_at,
          query: "SELECT id, 'thread' AS kind, updated_at FROM chats
            WHERE updated_at > :watermark"}}
"""
AT = "2026-03-01 12:00:00"


def tell(world: World, name: str, ids: Iterable[str], at: str = AT) -> Path:
    """Let an application's table name these threads."""
    path = world.directory / f"{name}.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS chats (id, updated_at)")
        connection.executemany("INSERT INTO chats VALUES (?, ?)", [(one, at) for one in ids])
    return path


@pytest.fixture
def sources(world: World) -> World:
    """Two sources, each over a table of its own."""
    with world.config.open("a", encoding="utf-8") as file:
        file.write("sources:\n" + SOURCE.format(name="one") + SOURCE.format(name="other"))
    tell(world, "one", ["a", "b"])
    tell(world, "other", ["c"])
    return world


def test_each_source_is_read_and_told(sources: World) -> None:
    done = sources.run("--output", "jsonl", "sync")
    assert done.code == 0, done.err
    assert [(row["source"], row["read"], row["added"]) for row in done.lines] == [
        ("one", 2, 2),
        ("other", 1, 1),
    ]
    assert done.lines[0]["watermark"] == "2026-03-01T12:00:00+00:00"
    assert done.lines[0]["error"] is None
    again = sources.run("sync", "--source", "one")
    assert again.code == 0
    columns = again.out.splitlines()[2].split()
    assert columns[:7] == ["one", "2", "0", "0", "2", "0", "0"]
    assert "other" not in again.out


def test_a_dry_run_says_the_same_and_writes_nothing(sources: World) -> None:
    assert sources.run("import", "--id", "thread_x").code == 0
    before = sources.registry.read_bytes()
    done = sources.run("--output", "json", "sync", "--dry-run")
    assert done.code == 0, done.err
    assert [row["added"] for row in done.document["sources"]] == [2, 1]
    assert done.document["dry_run"] is True
    assert sources.registry.read_bytes() == before
    assert set(sources.states()) == {"thread_x"}


def test_a_refused_row_is_named_and_exits_1(sources: World) -> None:
    tell(sources, "one", ["no id", "d"])
    done = sources.run("sync")
    assert done.code == 1
    assert "janitor: source one: row 3: the id must be" in done.err
    assert set(sources.states()) == {"a", "b", "c", "d"}


@pytest.mark.parametrize("command", ["sync", "sweep"])
def test_another_format_of_the_watermark_is_said_and_costs_no_row(
    sources: World, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert sources.run("sync").code == 0
    for number, at in enumerate(("2026-03-01 12:30:00", "2026-03-01T12:30:05")):
        tell(sources, "one", [f"n{number}"], at)
    tell(sources, "other", ["early"], "1772367000000")
    told = sources.run(command).err + caplog.text  # a sweep logs it
    assert "source one: `updated_at` holds times in more than one format" in told
    assert "source other: `updated_at` holds times in more than one format" in told
    assert set(sources.states()) == {"a", "b", "c", "n0", "n1", "early"}
    again = sources.run("--output", "json", "sync", "--source", "one")
    assert "more than one format" in again.document["sources"][0]["drift"]


def test_bytes_that_are_no_text_cost_their_row_alone_and_are_not_shown(sources: World) -> None:
    path = tell(sources, "one", [])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO chats VALUES (CAST(x'4a6f73e9' AS TEXT), ?)", (AT,))
        connection.execute("INSERT INTO chats VALUES ('d', ?)", (AT,))
    done = sources.run("sync")
    assert done.code == 1
    assert "janitor: source one: row 3: id: bytes, or text that is not UTF-8" in done.err
    assert "Jos" not in done.err
    assert set(sources.states()) == {"a", "b", "c", "d"}
    assert sources.run("sweep").code == 0


@pytest.mark.parametrize(
    ("names", "code"), [(("one",), 3), (("other",), 2), (("one", "other"), 1), ((), 1)]
)
def test_the_exit_code_says_why_all_of_them_failed(
    sources: World, names: tuple[str, ...], code: int
) -> None:
    (sources.directory / "one.db").unlink()
    with closing(sqlite3.connect(sources.directory / "other.db")) as connection:
        connection.execute("ALTER TABLE chats RENAME TO conversations")
    arguments = [word for name in names for word in ("--source", name)]
    done = sources.run("--output", "json", "sync", *arguments)
    assert done.code == code
    told = {row["source"]: row["error"] for row in done.document["sources"]}
    for name in names or ("one", "other"):
        assert told[name].startswith(f"source {name}: ")
        assert told[name] in done.err


def test_one_source_that_fails_does_not_stop_another(sources: World) -> None:
    (sources.directory / "one.db").unlink()
    assert sources.run("sync").code == 1
    assert set(sources.states()) == {"c"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "two"], "known: one, other"),
        (["--accept-vanished"], "needs --source"),
        (["--accept-vanished", "--source", "one", "--dry-run"], "cannot be a dry run"),
    ],
)
def test_what_cannot_be_done_is_said(sources: World, arguments: list[str], said: str) -> None:
    done = sources.run("sync", *arguments)
    assert done.code == 2
    assert said in done.err


def test_without_sources_there_is_nothing_to_do(world: World) -> None:
    done = world.run("sync")
    assert done.code == 2
    assert "no sources are configured" in done.err


def test_another_janitor_that_reads_is_waited_for(sources: World) -> None:
    with Registry.open(f"sqlite:///{sources.registry}") as registry:
        assert sources.run("sync").code == 0
        with registry.syncing(timedelta()):
            done = sources.run("sync", "--wait", "1s")
    assert done.code == 5
    assert "another janitor holds the reading of sources" in done.err
