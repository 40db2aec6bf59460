"""A wrong key looks exactly like an empty account: nothing of a whole registry may be believed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from world import KEY_VARIABLE, NOW, World, until

from janitor.emulator import Emulator, Fault, How
from wrong_key.accounts import DELETED, approve, at_the_end_of_its_path, nowhere, register, rows

MANY = 1000
FEW_CALLS = 100


@pytest.mark.parametrize("concurrency", [4, 32])
def test_a_thousand_against_an_empty_account(world: World, concurrency: int) -> None:
    world.configure(DELETED, concurrency=concurrency)
    register(world, nowhere(MANY))
    before = rows(world)
    done = world.process("sweep")
    assert done.code == 4
    assert rows(world) == before
    assert world.changes == []
    assert len(world.emulator.log) < FEW_CALLS
    for said in (
        "project main",
        "none of its threads was ever seen alive",
        "projects.main",
        "`janitor plan`",
        "janitor missing accept --project main --kind KIND --without-canary",
    ):
        assert said in done.err
    assert world.process("missing", "list").out == "Nothing is missing.\n"


def test_it_stays_stopped_at_every_sweep(world: World) -> None:
    world.configure(DELETED)
    register(world, nowhere(20))
    before = rows(world)
    assert [world.run("sweep").code for _ in range(3)] == [4, 4, 4]
    assert rows(world) == before
    assert world.changes == []


@pytest.mark.parametrize("number", [1, 4])
def test_a_few_are_not_believed_missing_either(world: World, number: int) -> None:
    world.configure(DELETED)
    register(world, nowhere(number))
    done = world.run("sweep")
    assert done.code == 0
    assert set(world.states().values()) == {"active"}
    listed = world.run("--output", "jsonl", "missing", "list").lines
    assert [one["state"] for one in listed] == ["active"] * number
    assert world.run("missing", "accept", "--reason", "r").code == 4
    assert set(world.states().values()) == {"active"}


def test_a_key_of_another_project_of_the_same_account(world: World) -> None:
    other = Emulator({"sk-main": "main", "sk-other": "other"})
    with other.serve() as served:
        world.configure(DELETED, base_url=served.base_url)
        at = NOW - timedelta(days=90)
        here = [other.add_conversation(project="main", created_at=at) for _ in range(40)]
        world.environment[KEY_VARIABLE] = "sk-other"
        register(world, here)
        before = rows(world)
        done = world.run("sweep")
        assert (done.code, rows(world)) == (4, before)
        assert other.deletes.total() == 0
        world.environment[KEY_VARIABLE] = "sk-main"
        assert world.run("sweep").code == 0
        assert other.deletes == dict.fromkeys(here, 1)


def test_a_key_that_was_right_before_is_told_to_be_another_one(world: World) -> None:
    world.configure(DELETED)
    ids = world.fill(40, age=5)
    assert world.run("sweep").code == 0
    world.configure(DELETED.replace("30d", "3d"))
    approve(world)
    other = Emulator({"sk-other": "other"})
    with other.serve() as served:
        world.configure(DELETED.replace("30d", "3d"), base_url=served.base_url)
        world.environment[KEY_VARIABLE] = "sk-other"
        mine = other.add_conversation(items=1)
        register(world, [mine])
        for _ in range(2):
            done = world.run("sweep")
            assert done.code == 4
            assert "its threads last answered under another endpoint or credential" in done.err
            assert [world.states()[one] for one in ids] == ["active"] * 40
        refused = world.run("missing", "accept", "--reason", "r")
        assert refused.code == 0
        assert "nothing was done" in refused.out
        assert [world.states()[one] for one in ids] == ["active"] * 40


@pytest.mark.parametrize(
    ("fault", "limit"),
    [
        (at_the_end_of_its_path(200), "max_errors"),
        (at_the_end_of_its_path(404), "max_errors"),
        (Fault(How.STATUS, status=404, body="not found"), "max_errors"),
        (Fault(How.STATUS, status=404, body={"detail": "Not Found"}), "max_errors"),
        (Fault(How.STATUS, status=404, body={}), "max_errors"),
        (Fault(How.STATUS, status=401), "unauthorised"),
        (Fault(How.STATUS, status=403), "unauthorised"),
    ],
    ids=["html-200", "html-404", "text-404", "json-404", "empty-404", "401", "403"],
)
def test_a_gateway_between_says_nothing_of_any_thread(
    world: World, fault: Fault, limit: str
) -> None:
    world.configure(DELETED)
    ids = world.fill(60)
    with world.emulator.faulty(fault):
        done = world.run("--output", "json", "sweep")
    assert done.code == (3 if limit == "unauthorised" else 4)
    assert done.document["stopped"] == [limit]
    assert world.changes == []
    assert len(world.emulator.log) < FEW_CALLS
    assert {world.states()[one] for one in ids} == {"active"}
    assert world.run("--output", "jsonl", "missing", "list").lines == []
    assert world.run("--output", "jsonl", "list", "--failed").lines == []


def emptied(world: World) -> Callable[[], bool]:
    """Whether a server that knew all so far has been told to know nothing any more."""

    def happened() -> bool:
        if len(world.emulator.log) < 60:
            return False
        error = {"type": "invalid_request_error", "message": "No such thing", "code": None}
        world.emulator.add_fault(Fault(How.STATUS, method="GET", status=404, body={"error": error}))
        return True

    return happened


def test_an_account_that_empties_midway_is_not_believed(world: World) -> None:
    world.configure(DELETED.replace("delete: {after: 30d}", "soft_delete: {after: 30d}"))
    ids = world.fill(600)
    world.emulator.latency = 0.01
    process = world.start("sweep")
    until(emptied(world))
    _, err = process.communicate()
    assert process.returncode == 4
    assert b"its threads last answered under this endpoint and credential" in err
    assert set(world.states().values()) <= {"active", "soft_deleted"}
    assert len(ids) == len(world.states())
