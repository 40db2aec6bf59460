"""`doctor --canary`: whether items outlive their conversation, and what is left of the trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import KEY, KEY_VARIABLE, World

from doctor.doctored import doctor, edit, only
from janitor.emulator import Emulator, Fault, How

CHECK = "canary main"


@pytest.fixture
def kindly(tmp_path: Path) -> Iterator[World]:
    """A server that drops the items with their conversation."""
    emulator = Emulator({KEY: "main"}, items_outlive=False)
    with emulator.serve() as served:
        made = World(tmp_path, emulator, served.base_url, {KEY_VARIABLE: KEY})
        made.configure()
        yield made


def test_items_that_outlive_their_conversation(world: World) -> None:
    world.configure(mode="audit")  # it is the person's own wish
    assert "is needed" in only(doctor(world, "--canary"), CHECK, "ok")[0]
    assert world.emulator.ids() == []
    (tombstone,) = world.states().values()
    assert tombstone == "deleted"
    (run,) = world.run("--output", "json", "runs").document["runs"]
    assert (run["command"], run["result"]) == ("doctor --canary", "done")
    shown = world.run("--output", "json", "runs", run["id"])
    assert shown.code == 0
    assert [event["name"] for event in shown.document["events"]] == ["deleted"]
    assert world.run("sweep").code == 0


def test_a_policy_that_would_leave_items_behind(world: World) -> None:
    edit(world, "delete: {after: 30d}", "delete: {after: 30d, items: keep}")
    said = only(doctor(world, "--canary"), CHECK, "warn")
    assert "trial-chats" in said[1]


def test_items_that_go_with_their_conversation(kindly: World) -> None:
    said = only(doctor(kindly, "--canary"), CHECK, "ok")
    assert "its item is gone too" in said[0]
    assert kindly.emulator.ids() == []


def test_without_it_nothing_is_made(world: World) -> None:
    assert CHECK not in doctor(world)
    assert world.changes == []


def test_one_that_fails_midway_is_cleaned_up(world: World) -> None:
    world.emulator.add_fault(Fault(How.STATUS, status=500, call="items.create"))
    assert only(doctor(world, "--canary", code=1), CHECK, "fail")
    assert world.emulator.ids() == []
    assert list(world.states().values()) == ["deleted"]


def test_one_that_cannot_be_deleted_is_named_and_registered(world: World) -> None:
    world.emulator.add_fault(Fault(How.STATUS, status=500, method="DELETE"))
    found = doctor(world, "--canary", code=3)
    (left,) = world.emulator.ids()
    assert any(left in says and "could not be deleted" in says for _, says, _ in found[CHECK])
    assert world.states() == {left: "active"}


def test_an_answer_about_the_item_that_cannot_be_believed(world: World) -> None:
    world.emulator.add_fault(Fault(How.HTML, call="items.retrieve"))
    assert only(doctor(world, "--canary", code=1), CHECK, "fail")
    assert list(world.states().values()) == ["deleted"]


def test_not_beside_another_janitor(world: World) -> None:
    from janitor.registry import Registry

    world.fill(1)
    with Registry.open(f"sqlite:///{world.registry}") as registry, registry.lock():
        found = doctor(world, "--canary", "--wait", "1s", code=5)
    assert "another janitor" in only(found, "canary", "fail")[0]
    assert world.changes == []
