"""`discover: true`: lists are walked before a sweep, once a day, and never hinder it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from world import NOW, World

from janitor.emulator import Fault, How

DELETED = "  - {name: old, match: {kind: agent_session}, delete: {after: 30d}}\n"
PATH = "/agents/sessions"


@pytest.fixture
def world(world: World) -> World:
    world.configure(DELETED)
    told(world)
    return world


def told(world: World) -> None:
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("concurrency:", "discover: true\n    concurrency:"))


def old(world: World, number: int) -> list[str]:
    """Sessions that are due, as soon as anybody knows of them."""
    at = NOW - timedelta(days=45)
    return [
        world.emulator.add_agent_session(created_at=at, last_active_at=at) for _ in range(number)
    ]


def pages(world: World) -> int:
    return sum(entry.call == "list" for entry in world.emulator.log)


def test_what_is_listed_is_swept_at_once(world: World) -> None:
    ids = old(world, 3)
    done = world.run("sweep")
    assert done.code == 0, done.err
    assert world.states() == dict.fromkeys(ids, "deleted")


def test_lists_are_walked_once_a_day_unless_asked_for(world: World) -> None:
    old(world, 1)
    world.run("sweep")
    walked = pages(world)
    assert walked > 0
    world.run("sweep")
    assert pages(world) == walked


def test_a_sweep_says_how_many_ids_of_a_list_it_left_out(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.emulator.add_agent_session(id="a secret")
    done = world.run("sweep")
    assert "project main, list of kind agent_session: 1 id skipped" in caplog.text
    assert "secret" not in done.out + done.err + caplog.text


def test_unless_told_nothing_is_listed(world: World) -> None:
    world.configure(DELETED)
    old(world, 1)
    world.run("sweep")
    assert pages(world) == 0


def test_a_list_that_loops_stops_no_removal_and_is_told(world: World) -> None:
    old(world, 150)
    with world.emulator.faulty(Fault(How.IGNORE_AFTER, path=PATH)):
        done = world.run("sweep")
    assert done.code == 1
    assert "a loop; stopped. 100 threads were added" in done.err
    assert set(world.states().values()) == {"deleted"}
    assert len(world.emulator.ids()) == 50


def test_a_paused_project_is_not_listed(world: World) -> None:
    old(world, 1)
    assert world.run("db", "upgrade").code == 0
    assert world.run("pause", "--reason", "a look first").code == 0
    world.run("sweep")
    assert pages(world) == 0
    world.run("resume")
    world.run("sweep")
    assert pages(world) > 0


def test_a_list_that_fails_is_told_until_it_is_walked(world: World) -> None:
    ids = old(world, 1)
    with world.emulator.faulty(Fault(How.STATUS, path=PATH, call="list", status=500)):
        assert world.run("sweep").code == 1
    said = world.run("doctor").out
    assert "fail  discovery: discover:main:agent_session: the last walk of this list failed" in said
    assert "discover:main:conversation" not in said
    assert world.run("sweep").code == 0
    assert "discovery" not in world.run("doctor").out
    assert world.states() == dict.fromkeys(ids, "deleted")
