"""A server, a credential or an answer that is not what it should be: nothing is believed."""

from __future__ import annotations

import socket

import pytest
from world import KEY_VARIABLE, World

from bad_input.refusals import assert_good_run_follows, assert_refused
from janitor.emulator import Emulator, Fault, How

NUMBER = 12
"""More threads than a project may fail in a row, or miss."""


def assert_kept(world: World, ids: list[str]) -> None:
    assert set(world.emulator.ids()) == set(ids)
    assert set(world.states().values()) <= {"active", "archived"}


def test_html_to_everything_is_believed_nowhere(world: World) -> None:
    ids = world.fill(NUMBER)
    with world.emulator.faulty(Fault(How.HTML)):
        assert_refused(world, world.run("plan"), 4, "project main", "with a body that is not JSON")
        assert_refused(world, world.run("sweep"), 4, "project main", "with a body that is not JSON")
    assert_kept(world, ids)
    assert "conv_" not in world.run("list", "--failed").out, "the server failed, not the threads"
    assert_good_run_follows(world, len(ids))


@pytest.mark.slow
@pytest.mark.parametrize("status", [404, 500, 502, 503, 204, 302, 418])
def test_a_gateways_page_is_no_answer(world: World, status: int) -> None:
    ids = world.fill(2)
    page = Fault(How.STATUS, status=status, body="<html>No such page</html>")
    with world.emulator.faulty(page):
        done = world.run("sweep")
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.err
    assert_kept(world, ids)


def test_a_refused_key_stops_the_project(world: World) -> None:
    ids = world.fill(3)
    world.environment[KEY_VARIABLE] = "sk-wrong-MARKER"
    for command in ("sweep", "plan"):
        done = world.run(command)
        assert_refused(world, done, 3, "project main", "api_key", "nothing more is removed")
        assert "MARKER" not in done.out + done.err
    assert_kept(world, ids)
    world.environment[KEY_VARIABLE] = world.emulator.key
    assert_good_run_follows(world, len(ids))


def test_an_empty_project_behind_the_key_is_not_believed(world: World) -> None:
    """I5: a wrong key looks exactly like an empty account."""
    ids = world.fill(NUMBER)
    empty = Emulator({world.emulator.key: "another"})
    with empty.serve() as served:
        world.configure(base_url=served.base_url)
        assert_refused(world, world.run("sweep"), 4, "not found", "check api_key")
    assert [entry.method for entry in empty.log if entry.method != "GET"] == []
    assert set(world.states().values()) == {"active"}
    world.configure()
    assert_good_run_follows(world, len(ids))


@pytest.mark.slow
def test_a_refused_connection_is_no_answer(world: World) -> None:
    ids = world.fill(2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    world.configure(base_url=f"http://127.0.0.1:{port}/v1")
    done = world.run("sweep")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "project main: 2 threads were asked for and none was answered" in done.err
    assert "no answer from 127.0.0.1" in done.err
    assert world.run("--output", "jsonl", "list", "--failed").lines == [], "the project failed"
    assert_kept(world, ids)


@pytest.mark.parametrize("how", [How.DELETED_FALSE, How.EMPTY_OBJECT, How.NULL, How.WRONG_ID])
def test_a_deletion_is_not_believed_without_its_word(world: World, how: How) -> None:
    ids = world.fill(1)
    with world.emulator.faulty(Fault(how, call="delete")):
        done = world.run("sweep")
    assert done.code == 1
    assert world.states()[ids[0]] == "deleting"
    assert world.emulator.ids() == ids
    (failed,) = world.run("--output", "jsonl", "list", "--failed").lines
    assert failed["last_error"]


@pytest.mark.parametrize("how", [How.TRUNCATED, How.CUT_BODY, How.IGNORE_AFTER, How.NO_LAST_ID])
def test_a_broken_page_is_no_export(world: World, how: How) -> None:
    one = world.conversation(items=250)
    world.register(one)
    with world.emulator.faulty(Fault(how, call="items.list")):
        done = world.run("sweep")
    assert "Traceback" not in done.err
    if how is not How.TRUNCATED:
        assert done.code == 1
        assert world.emulator.exists(one)
        assert world.changes == []


def test_a_policy_for_nobody_and_a_project_that_was_removed(world: World) -> None:
    ids = world.fill(2)
    text = world.config.read_text().replace("  main:", "  other:")
    world.config.write_text(text)
    done = world.run("sweep")
    assert done.code == 0
    assert "not_served 2" in done.out
    assert world.emulator.ids() == ids
