"""`plan` shows deletions that were begun before everything else, and says how to go on."""

from __future__ import annotations

import signal

import pytest
from world import World, finished, until

from janitor.emulator import Fault, How

ITEMS = 30


@pytest.fixture
def begun(world: World) -> str:
    """A conversation of which a janitor had deleted some items when it was killed."""
    world.configure("  - {name: old, default: true, delete: {after: 30d}}\n")
    begun = world.conversation(45, items=ITEMS)
    world.register(begun)
    world.emulator.latency = 0.05
    process = world.start("sweep")
    until(lambda: 0 < len(world.emulator.items(begun)) < ITEMS)
    process.kill()
    assert finished(process).code == -signal.SIGKILL
    world.emulator.latency = 0
    assert world.states() == {begun: "deleting"}
    world.fill(1)
    world.emulator.clear_log()
    return begun


def test_a_plan_shows_them_first_and_counts_them(world: World, begun: str) -> None:
    before = world.registry.read_bytes()
    done = world.run("plan")
    assert done.code == 0, done.err
    first, second = (
        done.out.index("Unfinished deletions"),
        done.out.index("What a sweep would"),
    )
    assert first < done.out.index(begun) < second
    assert "items, then the conversation" in done.out
    assert "Next: janitor sweep" in done.out
    said = world.run("--output", "json", "plan").document
    (one,) = said["unfinished"]
    assert (one["id"], one["policy"], one["container"], one["kept"]) == (begun, "old", True, None)
    assert [row["id"] for row in said["decisions"]] != [begun]
    assert said["cost"]["deletes"] == one["items"] + 1 + 3 * len(said["decisions"])
    assert world.registry.read_bytes() == before
    assert world.changes == []
    assert world.run("sweep").code == 0
    deletes = [call for call in world.emulator.log if call.method == "DELETE"]
    assert one["items"] > 0
    assert [call.path for call in deletes].count(f"/conversations/{begun}") == 1


def test_explain_says_that_it_is_being_deleted(world: World, begun: str) -> None:
    said = world.run("explain", begun).out
    assert "being deleted: the next run finishes or withdraws it" in said


def test_where_nothing_else_is_due_they_still_are(world: World, begun: str) -> None:
    (other,) = (one for one in world.states() if one != begun)
    done = world.run("hold", "add", "court", "--reason", "letter", "--no-copy", "--id", other)
    assert done.code == 0, done.err
    done = world.run("plan", "--offline")
    assert "not asked" in done.out
    assert "The server was not asked about 2" in done.out
    assert "Nothing is due" not in done.out
    assert "Next: janitor sweep" in done.out


def test_what_backs_off_says_until_when_and_why(world: World, begun: str) -> None:
    with world.emulator.faulty(Fault(How.STATUS, status=500, call="items.delete")):
        assert world.run("sweep").code == 1
    said = world.run("--output", "json", "plan").document["unfinished"]
    (one,) = (row for row in said if row["id"] == begun)
    assert (one["kept"], one["retried_at"] is None) == ("backoff", False)
    out = world.run("plan").out
    assert "backoff until 20" in out
    assert one["last_error"][:20] in out
