"""`janitor sync --discover`: what lists name enters, what they lack is told and stays."""

from __future__ import annotations

import signal

import pytest
from world import World, finished, until

from janitor.emulator import Fault, How
from janitor.registry import Registry

KEPT = "  - {name: all, match: {project: main}, keep: forever}\n"


@pytest.fixture
def world(world: World) -> World:
    world.configure(KEPT)
    return world


def lists(world: World, number: int) -> list[str]:
    return [world.emulator.add_agent_session() for _ in range(number)]


def rows(world: World, *options: str) -> dict[str, dict[str, object]]:
    done = world.run("--output", "json", "sync", "--discover", *options)
    assert done.code == 0, done.err
    return {row["kind"]: row for row in done.document["lists"]}


def test_what_is_listed_enters_and_what_is_not_listed_stays(world: World) -> None:
    ids = lists(world, 3)
    world.register("conv_1", "conv_2")
    assert world.run("sync", "--discover").code == 0
    assert set(world.states()) == {*ids, "conv_1", "conv_2"}
    assert world.changes == []


def test_the_lists_that_openai_does_not_have_are_told_as_such(world: World) -> None:
    lists(world, 3)
    found = rows(world)
    assert found["agent_session"]["added"] == 3
    assert [found[kind]["ended"] for kind in ("conversation", "thread", "chatkit_thread")] == [
        "not listed by this server",
        "not listed by this server",
        "whole",
    ]


def test_a_server_that_lists_all_kinds_is_discovered_whole(world: World) -> None:
    world.emulator.lists_all = True
    talk, thread = world.conversation(), world.emulator.add_thread()
    assert rows(world)["conversation"]["added"] == 1
    assert set(world.states()) == {talk, thread}


def test_a_dry_run_counts_the_same_and_writes_nothing(world: World) -> None:
    ids = lists(world, 3)
    world.register("conv_1")
    dry = rows(world, "--dry-run")["agent_session"]
    assert (dry["added"], world.states()) == (3, {"conv_1": "active"})
    assert rows(world)["agent_session"]["added"] == 3
    assert set(world.states()) == {*ids, "conv_1"}


def test_ids_that_are_left_out_are_counted_in_words_and_never_shown(world: World) -> None:
    lists(world, 2)
    for odd in ("a secret", "another/secret"):
        world.emulator.add_agent_session(id=odd)
    said = "project main, list of kind agent_session: 2 ids skipped. An id is 1 to 200 letters"
    for options in (["--dry-run"], []):
        done = world.run("sync", "--discover", *options)
        assert said in done.err
        assert "secret" not in done.out + done.err
    assert len(world.states()) == 2


def test_absent_threads_are_named(world: World) -> None:
    lists(world, 1)
    world.emulator.lists_all = True
    world.register("conv_gone")
    done = world.run("sync", "--discover")
    assert "1 thread is registered but not listed; none was removed or marked:" in done.out
    assert "conv_gone" in done.out
    lines = world.run("--output", "jsonl", "sync", "--discover").lines
    gone = {"project": "main", "kind": "conversation", "id": "conv_gone"}
    assert [line["absent"] for line in lines if "kind" not in line] == [gone]
    assert world.states()["conv_gone"] == "active"


def test_a_list_that_loops_ends_it_with_1_and_keeps_what_came_in(world: World) -> None:
    lists(world, 150)
    with world.emulator.faulty(Fault(How.IGNORE_AFTER, path="/agents/sessions")):
        done = world.run("sync", "--discover")
    assert done.code == 1
    assert "a loop; stopped. 100 threads were added by this call and stay" in done.err
    assert len(world.states()) == 100
    assert rows(world)["agent_session"]["added"] == 50


@pytest.mark.parametrize("option", ["--discover", "--dry-run"])
def test_a_wrong_key_ends_it_with_3(world: World, option: str) -> None:
    world.register("conv_1")
    world.environment["JANITOR_WORLD_KEY"] = "sk-wrong"
    done = world.run("sync", "--discover", *([option] if option == "--dry-run" else []))
    assert done.code == 3
    assert "refused the credential" in done.err
    assert len(world.emulator.log) == 1


def test_a_killed_walk_goes_on_behind_its_last_page(world: World) -> None:
    ids = lists(world, 250)
    number = world.emulator.add_fault(Fault(How.HANG, path="/agents/sessions", skip=1))
    process = world.start("sync", "--discover")
    until(lambda: world.emulator.struck()[number] == 1)
    process.send_signal(signal.SIGKILL)
    finished(process)
    world.emulator.clear_faults()
    with Registry.open(f"sqlite:///{world.registry}") as registry:
        assert registry.scans.cursor("discover:main:agent_session") == ids[99]
    found = rows(world)["agent_session"]
    assert (found["resumed"], found["added"], found["absent"]) == (True, 150, 0)
