"""`janitor tag`: what it says, what it writes, and how it ends."""

from __future__ import annotations

from datetime import timedelta

from world import NOW, World

from janitor.emulator import Fault, How

CREATED_AT = "janitor_created_at"
KEPT = "  - {name: all, match: {project: main}, keep: forever}\n"


def test_a_dry_run_then_the_tags_then_nothing_more(world: World) -> None:
    world.configure(KEPT)
    ids = world.fill(3)
    dry = world.run("--output", "json", "tag", "--dry-run")
    assert (dry.code, dry.document["dry_run"], dry.document["tagged"]) == (0, True, 3)
    assert world.changes == []
    done = world.run("tag")
    assert (done.code, done.err) == (0, "")
    assert "3 threads were tagged; 0 had the tag already, 0 have no free key." in done.out
    wanted = (NOW - timedelta(days=45)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {world.emulator.metadata(one)[CREATED_AT] for one in ids} == {wanted}
    again = world.run("--output", "json", "tag")
    assert (again.document["tagged"], again.document["kept"]) == (0, {})
    assert len(world.changes) == 3


def test_a_run_of_tags_is_on_record_and_no_removal(world: World) -> None:
    world.fill(1)
    run = world.run("--output", "json", "tag").document["run"]
    shown = world.run("--output", "json", "runs", run)
    assert shown.code == 0
    assert [event["name"] for event in shown.document["events"]] == ["tagged"]
    assert shown.document["command"] == "tag"
    assert world.emulator.deletes == {}


def test_under_audit_it_says_why_not_and_a_dry_run_still_looks(world: World) -> None:
    world.configure(KEPT, mode="audit")
    world.fill(1)
    done = world.run("tag")
    assert done.code == 2
    assert "mode is audit: nothing is tagged upstream" in done.err
    assert world.run("tag", "--dry-run").code == 0
    assert world.changes == []


def test_one_that_fails_is_told_and_stops_no_other(world: World) -> None:
    world.configure(KEPT)
    ids = world.fill(3)
    fault = Fault(How.STATUS, method="POST", path=f"/conversations/{ids[0]}")
    with world.emulator.faulty(fault):
        done = world.run("tag")
    assert done.code == 1
    assert "2 threads were tagged" in done.out
    assert "failed 1" in done.out


def test_a_wrong_key_ends_it_with_3_and_changes_nothing(world: World) -> None:
    world.fill(3)
    world.environment["JANITOR_WORLD_KEY"] = "sk-wrong"
    for command in (("tag",), ("tag", "--dry-run")):
        done = world.run(*command)
        assert done.code == 3
        assert "refused the credential" in done.err
    assert world.changes == []
