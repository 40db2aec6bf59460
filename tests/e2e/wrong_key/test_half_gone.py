"""A right key and half of the threads gone: told from a wrong key by those that answer."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from world import KEY_VARIABLE, NOW, World

from janitor.emulator import Fault, How
from wrong_key.accounts import DELETED, alternating, approve, nowhere, register

ARCHIVED = """\
  - name: old
    match: {project: main}
    archive: {after: 7d, keep_for: 90d}
    delete: {after: 30d}
"""
REASON = "deleted by hand on 3 May"
UNKNOWN: dict[str, object] = {
    "error": {"type": "invalid_request_error", "message": "No such thing", "code": None}
}


def listed(world: World) -> list[dict[str, str]]:
    """What `missing list` says."""
    done = world.run("--output", "jsonl", "missing", "list")
    assert done.code == 0, done.err
    return done.lines


def counted(world: World) -> Counter[str]:
    """How many threads are in each state."""
    return Counter(world.states().values())


def advance(world: World, days: int) -> None:
    """Let the registry's times lie so many days further back: no clock can be set in a process."""
    by = f"-{days} days"
    with sqlite3.connect(world.registry) as connection:
        for name in ("missing_since", "review_at"):
            moved = f"strftime('%Y-%m-%d %H:%M:%S.000000', {name}, ?)"
            connection.execute(f"UPDATE thread SET {name} = {moved}", [by])  # noqa: S608


def test_half_of_a_thousand_are_gone(world: World) -> None:
    world.configure(DELETED)
    here, gone = alternating(world, 500)
    register(world, [*here, *gone])
    done = world.process("sweep")
    assert done.code == 4
    assert f"{len(gone)} of " in done.err
    assert "the key and endpoint are right" in done.err
    assert "janitor missing list --project main" in done.err
    assert "janitor missing accept --project main --reason R" in done.err
    states = world.states()
    assert {states[one] for one in gone} == {"missing"}
    assert world.emulator.deletes.total() < 50, "what was under way when it stopped"
    assert {one["id"] for one in listed(world)} == set(gone)
    accepted = world.process("--output", "json", "missing", "accept", "--reason", REASON)
    assert accepted.code == 0, accepted.err
    assert accepted.document["outcomes"] == [
        {"policy": "old", "stage": "delete", "outcome": "missing", "threads": len(gone)}
    ]
    assert listed(world) == []
    assert world.process("sweep").code == 0
    assert counted(world) == {"deleted": 1000}
    assert world.emulator.deletes == dict.fromkeys(here, 1)


def test_without_a_word_the_next_sweep_goes_on_with_the_others(world: World) -> None:
    world.configure(DELETED)
    here, gone = alternating(world, 20)
    register(world, [*here, *gone])
    assert world.run("sweep").code == 4
    assert world.run("sweep").code == 0
    assert counted(world) == {"deleted": 20, "missing": 20}


def test_what_was_accepted_is_told_as_missing_and_never_as_deleted_by_us(world: World) -> None:
    world.configure(DELETED)
    here, gone = alternating(world, 6)
    register(world, [*here, *gone])
    world.fill(1, age=1)
    world.run("sweep")
    arguments = ("missing", "accept", "--actor", "ops", "--reason", REASON)
    accepted = world.run(*arguments, "--id", gone[0])
    assert accepted.code == 0, accepted.err
    assert Counter(world.states()[one] for one in gone) == {"missing": 5, "deleted": 1}
    explained = world.run("--output", "json", "explain", gone[0]).out
    assert '"missing_accepted"' in explained
    assert f"ops: {REASON}" in explained
    run = world.run("--output", "json", "runs").document["runs"][0]
    assert (run["command"], run["result"]) == ("missing accept", "done")
    assert run["counts"] == {"old/delete/missing": 1}
    assert "intact" in world.run("runs", run["id"]).out
    assert world.run(*arguments, "--id", "conv_unheard_of").code == 2
    assert world.run(*arguments, "--id", gone[0]).code == 2


def test_what_answers_again_is_active_again_and_a_held_one_keeps_its_row(world: World) -> None:
    world.configure(DELETED.replace("delete:", "soft_delete:"))
    here, gone = alternating(world, 8)
    register(world, [*here, *gone])
    world.run("sweep")
    back, held, *others = gone
    world.emulator.add_conversation(id=back, created_at=NOW, items=1)
    added = world.run("hold", "add", "court", "--reason", "r", "--id", held, "--no-copy")
    assert added.code == 0, added.err
    accepted = world.run("--output", "json", "missing", "accept", "--reason", REASON)
    assert accepted.code == 0, accepted.err
    assert accepted.document["kept"] == {"found": 1, "hold": 1}
    states = world.states()
    assert (states[back], states[held]) == ("active", "missing")
    assert {states[one] for one in others} == {"deleted"}
    assert world.changes == []


def test_a_copy_in_the_archive_is_kept_as_after_a_deletion(world: World) -> None:
    world.configure(ARCHIVED.replace("30d", "365d"))
    ids = world.fill(12)
    world.fill(1, age=1)
    assert world.run("sweep").code == 0
    for one in ids[:2]:
        unknown = Fault(How.STATUS, path=f"/conversations/{one}*", status=404, body=UNKNOWN)
        world.emulator.add_fault(unknown)
    world.configure(ARCHIVED)
    approve(world)
    world.run("sweep")
    assert {one["id"] for one in listed(world)} == set(ids[:2])
    assert world.run("missing", "accept", "--reason", REASON).code == 0
    with sqlite3.connect(world.registry) as connection:
        found = connection.execute(
            "SELECT archive_keep_until FROM thread WHERE id IN (?, ?)", ids[:2]
        ).fetchall()
    ends = [datetime.fromisoformat(until).replace(tzinfo=UTC) for (until,) in found]
    assert len(ends) == 2
    assert all(timedelta(89) < end - datetime.now(UTC) < timedelta(91) for end in ends)


def test_missing_ones_are_asked_for_after_one_seven_and_thirty_days(world: World) -> None:
    world.configure(DELETED.replace("30d", "3650d"))
    here = world.fill(30, age=2)
    [gone] = nowhere(1)
    register(world, [gone])
    world.run("sweep")
    assert world.states()[gone] == "missing"
    asked = []
    for day in range(1, 34):
        advance(world, 1)
        world.emulator.clear_log()
        world.run("sweep") if day in (1, 2, 6, 7, 8, 29, 30, 31, 33) else None
        asked += [day] * any(gone in one.path for one in world.emulator.log)
    assert asked == [1, 7, 30]
    assert world.states()[gone] == "missing"
    world.emulator.add_conversation(id=gone, created_at=NOW, items=1)
    assert world.run("missing", "accept", "--reason", REASON).code == 0
    assert world.states()[gone] == "active"
    assert {world.states()[one] for one in here} <= {"active"}


def test_a_kind_that_is_gone_as_a_whole_needs_a_deliberate_word(world: World) -> None:
    world.configure(DELETED)
    threads = nowhere(30, "thread")
    register(world, threads, kind="thread")
    young = [world.conversation(age=1) for _ in range(3)]
    register(world, young)
    done = world.run("sweep")
    assert done.code == 4
    assert "no other thread of kind thread answers" in done.err
    arguments = ("missing", "accept", "--reason", "the API was shut down", "--without-canary")
    assert world.run(*arguments).code == 2
    assert world.run(*arguments, "--project", "main").code == 2
    assert world.run("missing", "accept", "--reason", "r", "--kind", "thread").code == 0
    assert set(world.states().values()) == {"active"}
    accepted = world.run(*arguments, "--project", "main", "--kind", "thread")
    assert accepted.code == 0, accepted.err
    assert counted(world) == {"deleted": 30, "active": 3}
    assert world.run("sweep").code == 0


@pytest.mark.parametrize(("key", "code"), [("sk-unknown", 3), ("sk-other", 4)])
def test_nothing_is_accepted_under_a_wrong_key(world: World, key: str, code: int) -> None:
    world.configure(DELETED.replace("delete:", "soft_delete:"))
    here, gone = alternating(world, 8)
    register(world, [*here, *gone])
    world.run("sweep")
    states = world.states()
    if code == 4:
        world.emulator.add_fault(Fault(How.STATUS, status=404, body=UNKNOWN))
    else:
        world.environment[KEY_VARIABLE] = key
    refused = world.run("missing", "accept", "--reason", REASON)
    assert refused.code == code
    assert "projects.main" in refused.err
    assert world.states() == states
