"""Whoever looks is shown what applications have just told: the inbox is drained first."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from world import World

from janitor.app import inbox
from janitor.registry import inbox as registry_inbox

SECRET = "a value that nobody may read"  # noqa: S105 - metadata of a test


def tell(world: World, *ids: str, kind: str = "conversation", metadata: str | None = None) -> None:
    """Append to the inbox as an application does."""
    row = "INSERT INTO janitor_inbox (v, project, kind, id, at, event, metadata) VALUES "
    row += "(1, 'main', ?, ?, '2026-01-31 12:00:00', 'register', ?)"
    with closing(sqlite3.connect(world.registry)) as connection, connection:
        connection.executemany(row, [(kind, one, metadata) for one in ids])


@contextmanager
def locked(world: World) -> Iterator[None]:
    """While another process writes, and does not end."""
    with closing(sqlite3.connect(world.registry, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def filled(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(inbox, "PATIENCE", timedelta(milliseconds=100))
    world.fill(1)
    return world


def test_list_and_explain_show_what_was_just_told(filled: World) -> None:
    tell(filled, "conv_told")
    assert "conv_told" in filled.states()
    tell(filled, "conv_later")
    done = filled.run("--output", "json", "explain", "conv_later")
    assert done.code == 0, done.err
    assert done.document["threads"][0]["last_active_at"] == "2026-01-31T12:00:00+00:00"
    assert done.err == ""


def test_import_takes_in_what_was_told_before(filled: World) -> None:
    tell(filled, "conv_told")
    done = filled.run("import", "--id", "conv_told")
    assert done.out == "0 added, 0 updated, 1 unchanged.\n"


def test_a_registry_that_cannot_be_written_is_looked_at_all_the_same(filled: World) -> None:
    tell(filled, "conv_told", "conv_more")
    with locked(filled):
        done = filled.run("--output", "jsonl", "list")
        assert (done.code, len(done.lines)) == (0, 1)
        assert "2 rows are waiting in the inbox and are not shown" in done.err
        assert filled.run("explain", done.lines[0]["id"]).code == 0
    assert len(filled.states()) == 3


def test_a_plan_takes_nothing_in_and_says_so(filled: World) -> None:
    tell(filled, "conv_told")
    assert filled.run("--output", "json", "plan").document["undrained"] == 1
    assert "1 registration waits in the inbox" in filled.run("plan").out


@pytest.mark.parametrize("command", [["list"], ["sweep"]])
def test_what_is_refused_is_told_with_a_reason_and_no_value(
    filled: World, command: list[str]
) -> None:
    tell(filled, "conv_odd", metadata=f'{{"plan": ["{SECRET}"]}}')
    tell(filled, "folder_1", kind="folder")
    done = filled.process(*command)
    assert done.code == 0, done.err
    assert "2 of 2 rows of the inbox were refused" in done.err
    assert "conv_odd: metadata 'plan' must be text" in done.err
    assert SECRET not in done.err + done.out
    assert "conv_odd" not in filled.states()


def test_what_the_registry_is_not_to_keep_does_not_come_in_by_a_look(filled: World) -> None:
    text = filled.config.read_text(encoding="utf-8")
    filled.config.write_text(text.replace('janitor.db"', 'janitor.db", keys: [plan]'))
    assert filled.run("db", "upgrade").code == 0
    tell(filled, "conv_told", metadata=f'{{"plan": "trial", "note": "{SECRET}"}}')
    done = filled.run("--output", "jsonl", "list")
    (told,) = (row for row in done.lines if row["id"] == "conv_told")
    assert told["metadata"] == {"plan": "trial"}
    with closing(sqlite3.connect(filled.registry)) as connection:
        assert list(connection.execute("SELECT metadata FROM janitor_inbox")) == [(None,)]


def test_while_the_inbox_cannot_be_read_nothing_is_removed(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (due,) = world.fill(1)
    tell(world, "conv_a", "conv_b")
    with monkeypatch.context() as patch:
        patch.setattr(registry_inbox, "judge", trip)
        done = world.run("--output", "json", "sweep")
        assert done.code == 1
        assert done.document["sources_down"] == ["the inbox"]
        assert done.document["kept"] == {"source_down": 1}
        assert "the inbox: unexpected KeyError" in done.err
        assert [SECRET in record.getMessage() for record in caplog.records] == [False]
        told = world.run("doctor").out
        assert "fail  inbox: the inbox: unexpected KeyError" in told
        assert "2 notices are waiting" in told
        assert world.states()[due] == "archived"
    assert world.run("sweep").code == 0
    assert world.states()[due] == "deleted"
    assert "ok    inbox: 0 notices are waiting" in world.run("doctor").out


def trip(_row: object) -> str:
    raise KeyError(SECRET)
