"""Rows that must not get stuck: whatever stopped them, a later sweep brings them to their end."""

from __future__ import annotations

from sweep_world import CHATS, DAY, DELETED, NOW, World, enforced, path_of

from janitor.engine.sweep import Orders
from janitor.model import Key, Kind, State
from janitor.policy.rules import Delete, Policy
from janitor.registry import RunResult


def test_a_removal_that_worked_is_believed_though_the_policy_was_lengthened_since(
    world: World,
) -> None:
    world.policies = enforced(DELETED)
    key = world.add()
    world.die_at("DELETE", path_of(key), after=True)
    world.sweep_and_die()
    world.hooks.clear()
    assert world.state(key) is State.DELETING
    assert not world.server.exists(key.id)
    world.policies = enforced(Policy("deleted", delete=Delete(365 * DAY)))
    report = world.sweep()
    assert world.state(key) in (State.DELETED, State.MISSING)
    assert report.exit_code == 0


def test_a_dead_run_is_closed_and_its_deeds_are_counted(world: World) -> None:
    world.policies = enforced(DELETED)
    world.concurrency = 1
    keys = [world.add() for _ in range(2)]
    world.die_at("DELETE", path_of(keys[1]))
    world.sweep_and_die()
    world.hooks.clear()
    world.sweep()
    assert world.registry.runs.unclosed() == []
    assert sum(world.registry.runs.totals().values()) == len(keys)


def test_only_a_sweep_through_everything_counts_as_the_last_one(world: World) -> None:
    world.add()
    world.add()
    world.sweep(Orders(limit=1))
    assert world.registry.runs.last_completed(NOW) is None
    world.sweep(Orders(policy="chats"))
    assert world.registry.runs.last_completed(NOW) is None
    assert world.sweep().run.result is RunResult.DONE
    assert world.registry.runs.last_completed(NOW) is not None


def test_a_policy_that_no_longer_archives_deletes_all_the_same(world: World) -> None:
    key = world.add(created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.policies = enforced(CHATS)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    world.policies = enforced(DELETED)
    world.advance(30 * DAY)
    world.archive = None  # type: ignore[assignment]
    report = world.sweep()
    assert report.exit_code == 0
    assert not world.server.exists(key.id)


def cut_off(world: World) -> Key:
    """A thread whose removal worked and was never settled; another one was seen alive before."""
    world.policies = enforced(DELETED)
    world.add(created_at=NOW, active_at=NOW)
    world.sweep()
    world.advance(DAY)
    key = world.add()
    world.die_at("DELETE", path_of(key), after=True)
    world.sweep_and_die()
    world.hooks.clear()
    return key


def test_a_removal_is_believed_under_a_new_access_that_sees_another_thread(world: World) -> None:
    key = cut_off(world)
    world.base_url += "/"
    assert world.sweep().exit_code == 0
    assert world.state(key) is State.DELETED


def test_a_removal_is_not_believed_under_a_key_that_sees_only_what_is_new(world: World) -> None:
    key = cut_off(world)
    world.keys["main"] = "sk-other"
    other = world.server.add_conversation(project="other", created_at=NOW, items=1)
    world.register(Key("main", Kind.CONVERSATION, other), active_at=NOW)
    for _ in range(2):
        world.advance(DAY)
        assert world.sweep().exit_code == 1
    assert world.state(key) is State.DELETING
