"""A list of items that ends early or never is a failure by name, and no copy is made of it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, World, enforced

from janitor.emulator import Fault, How
from janitor.kinds import CATALOGUE
from janitor.model import Kind, Outcome, Stage, State
from janitor.policy.rules import Limits, Policy

EARLY = Fault(How.ENDS_EARLY, path="*/items")
NEVER = Fault(How.NEVER_ENDS, path="*/items")


def failed(world: World) -> dict[str, str | None]:
    return {one.thread.key.id: one.last_error for one in world.registry.threads.select(failed=True)}


@pytest.mark.parametrize("policy", [CHATS, COPIED, DELETED], ids=lambda one: str(one.name))
def test_a_list_that_ends_early_fails_by_name_the_second_time(
    either_world: World, policy: Policy
) -> None:
    either_world.policies = enforced(policy)
    key, other = either_world.add(items=130), either_world.add(items=3)
    with either_world.server.faulty(EARLY):
        first = either_world.sweep()
        assert either_world.reasons(key)
        assert not failed(either_world)
        second = either_world.sweep()
    assert (first.exit_code, second.exit_code) == (0, 1)
    assert list(failed(either_world)) == [key.id]
    assert "the server's list of items ends early" in str(failed(either_world)[key.id])
    assert either_world.entry(key).intent is None
    assert either_world.entry(key).thread.copy is None
    assert len(either_world.server.items(key.id)) == 130
    assert "archived" not in either_world.story(key)
    done = [outcome for *names, outcome in second.outcomes if outcome == Outcome.DONE]
    assert not done, "the truncated copy is counted as none"
    assert either_world.state(other) in {State.DELETED, State.ARCHIVED}, "the others go on"
    assert either_world.sweep().outcomes == {}, "it rests"
    either_world.advance(DAY)
    either_world.sweep()
    assert either_world.state(key) is (State.ARCHIVED if policy is COPIED else State.DELETED)


def test_answers_that_would_take_too_much_memory_fail_by_name_and_stop_nobody(
    either_world: World,
) -> None:
    """A few kilobytes of gzip each: they tell of these threads, and nothing of their project."""
    either_world.policies = enforced(DELETED, limits=Limits(max_errors=2))
    heavy = [either_world.add(items=1) for _ in range(5)]  # two in a row, on either side
    light = either_world.add(items=1)
    with ExitStack() as stack:
        for key in heavy:
            bomb = Fault(How.BOMB, path=f"*/{key.id}", padding=1 << 15)
            stack.enter_context(either_world.server.faulty(bomb))
        report = either_world.sweep()
    assert report.exit_code == 1
    assert not report.stops
    assert either_world.state(light) is State.DELETED
    assert failed(either_world).keys() == {key.id for key in heavy}
    for key in heavy:
        assert f"{key.id} in project" in str(failed(either_world)[key.id])
        assert "would take more than 4 MiB of memory" in str(failed(either_world)[key.id])
    either_world.advance(DAY)
    either_world.sweep()
    assert {either_world.state(key) for key in heavy} == {State.DELETED}


@pytest.mark.parametrize("policy", [CHATS, COPIED, DELETED], ids=lambda one: str(one.name))
@pytest.mark.parametrize("items", [0, 3, 130])
def test_a_list_that_never_ends_fails_by_name(world: World, policy: Policy, items: int) -> None:
    world.policies = enforced(policy)
    key = world.add(items=items)
    with world.server.faulty(NEVER):
        report = world.sweep()
    assert report.exit_code == 1
    assert "the server's list never ends" in str(failed(world)[key.id])
    assert world.story(key)[-1] == "failed"
    assert world.entry(key).intent is None
    assert world.changing_calls() == []


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_list_read_to_the_end(world: World, kind: Kind) -> None:
    key = world.add(kind, items=130)
    path = f"*/{CATALOGUE[kind].items_path}"
    with world.server.faulty(Fault(How.ENDS_EARLY, path=path)):
        world.sweep()
        world.sweep()
    assert "ends early" in str(failed(world)[key.id])
    assert world.changing_calls() == []


def test_a_removal_of_what_was_copied_whole_is_not_begun_on_a_part_of_the_list(
    world: World,
) -> None:
    """The copy has all items, but those that the list leaves out would outlive the container."""
    key = world.add(items=130, created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep()
    world.advance(20 * DAY)
    with world.server.faulty(EARLY):
        for _ in range(3):
            world.sweep()
            world.advance(DAY)
    assert len(world.server.items(key.id)) == 130
    assert "ends early" in str(failed(world)[key.id])


def test_many_such_threads_are_no_failure_of_their_project(world: World) -> None:
    keys = [world.add(items=101) for _ in range(12)]
    with world.server.faulty(EARLY):
        world.sweep()
        report = world.sweep()
    assert report.stops == ()
    assert failed(world).keys() == {key.id for key in keys}


@pytest.mark.parametrize(("path", "skip"), [("", 0), ("/items", 1)], ids=["first", "last"])
def test_an_item_that_was_deleted_while_it_was_copied_is_no_list_that_ends_early(
    world: World, path: str, skip: int
) -> None:
    world.policies = enforced(COPIED)
    key = world.add(items=3, created_at=NOW - 5 * DAY, active_at=NOW - 5 * DAY)
    world.sweep()
    world.advance(5 * DAY)
    newest = world.server.items(key.id)[-1]["id"]
    remove = world.server._world.named(key.id).items.pop
    world.on("GET", f"/conversations/{key.id}{path}", lambda: remove(newest), skip=skip)
    report = world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert report.exit_code == 0
    assert not failed(world)


def test_an_item_that_arrives_after_a_copy_that_was_the_first_look_is_activity(
    world: World,
) -> None:
    key = world.add(items=3)
    path = f"/conversations/{key.id}/items"
    world.on("GET", path, lambda: world.server.append_item(key.id), skip=1)
    world.sweep()
    assert world.reasons(key) == ["changed while it was copied"]
    assert not failed(world)
    assert world.sweep().outcomes == {}
    world.advance(29 * DAY)
    world.sweep()
    assert world.server.exists(key.id)
    world.advance(2 * DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_items_that_arrive_while_they_are_copied_are_copied(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add(items=3)
    world.on("GET", f"/conversations/{key.id}/items", lambda: world.server.append_item(key.id))
    report = world.sweep()
    assert report.outcomes == {("copied", Stage.ARCHIVE, Outcome.DONE): 1}
    assert world.entry(key).thread.items == 4
