"""I3, I4: whatever was going on when the janitor died, the next sweep ends where none had died."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sweep_world import CHATS, DAY, DELETED, NOW, World, enforced, matching, path_of

from janitor.emulator import Fault, How
from janitor.model import Hold, Key, Kind, Mode, State
from janitor.policy import Policies
from janitor.policy.rules import Delete, DeletionMark, Policy, SoftDelete
from janitor.registry import Intent

CALLS = {Kind.CONVERSATION: 8, Kind.THREAD: 5}  # with and without items to delete first
STEPS = [(kind, step) for kind, calls in CALLS.items() for step in range(calls)]


def half_deleted(world: World, items: int = 20) -> Key:
    """A conversation whose janitor died after some item deletes had been carried out."""
    key = world.add(items=items, metadata={})
    world.die_at("DELETE", f"{path_of(key)}/items/*", skip=8)
    world.sweep_and_die()
    assert world.state(key) is State.DELETING
    assert 0 < len(world.server.items(key.id)) < items
    return key


def gone(world: World, kind: Kind = Kind.CONVERSATION) -> Key:
    """A container that is gone, whose janitor died before it learnt of it."""
    key = world.add(kind)
    world.die_at("DELETE", path_of(key), after=True)
    world.sweep_and_die()
    assert not world.server.exists(key.id)
    assert world.state(key) is State.DELETING
    return key


def assert_as_if_nobody_had_died(world: World, key: Key, items: list[str]) -> None:
    assert world.state(key) is State.DELETED
    assert not world.server.exists(key.id)
    assert world.server.deletes[key.id] == 1
    assert all(world.server.deletes[item] <= 1 for item in items)
    assert world.story(key).count("deleted") == 1
    assert len(world.objects()) == 1
    copy = world.entry(key).thread.copy
    assert copy is not None
    assert copy.items == len(items)
    assert world.entry(key).intent is None
    assert world.registry.threads.population() == {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("kind", "step"), STEPS)
def test_death_around_any_request(world: World, kind: Kind, step: int, *, after: bool) -> None:
    key = world.add(kind)
    items = [item["id"] for item in world.server.items(key.id)]
    world.die_at("*", "*", skip=step, after=after)
    world.sweep_and_die()
    report = world.sweep()
    assert report.exit_code == 0
    assert_as_if_nobody_had_died(world, key, items)


def test_a_removal_that_was_never_sent_is_withdrawn_and_decided_anew(world: World) -> None:
    key = world.add(items=1)
    world.die_at("DELETE", "*")
    world.sweep_and_die()
    assert world.state(key) is State.DELETING
    world.sweep()
    assert world.story(key) == ["archived", "withdrawn", "deleted"]


def test_a_crash_is_no_failure(world: World) -> None:
    key = world.add(items=1)
    world.die_at("DELETE", "*")
    world.sweep_and_die()
    world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    assert (world.entry(key).attempts, world.entry(key).last_error) == (0, None)


def test_the_next_run_is_its_own_and_closes_the_dead_one(world: World) -> None:
    world.add(items=1)
    world.die_at("DELETE", "*")
    world.sweep_and_die()
    [dead] = world.registry.runs.unclosed()
    report = world.sweep()
    assert report.run.id != dead.id
    assert report.run.result == "done"
    closed = world.registry.runs.get(dead.id)
    assert closed is not None
    assert closed.result == "failed"


@pytest.mark.parametrize("kind", Kind)
def test_a_delete_whose_answer_was_lost_is_believed_once_it_is_proven(
    world: World, kind: Kind
) -> None:
    key = world.add(kind)
    fault = Fault(How.RESET, method="DELETE", path=path_of(key), applied=True, times=1)
    with world.server.faulty(fault):
        report = world.sweep()
    assert world.state(key) is State.DELETING
    assert report.exit_code == 1
    world.server.clear_log()
    assert world.sweep().exit_code == 0
    assert world.state(key) is State.DELETED
    calls = [one for one in world.server.log if one.path.endswith(key.id)]
    asked = [f"{one.method} {one.status}" for one in calls]
    assert asked[:2] == ["GET 404", "GET 404"]
    assert asked[-2:] == ["DELETE 404", "GET 404"]
    [done] = [event for event in world.registry.runs.history(key) if event.name == "deleted"]
    assert done.reason == "recovered"


def test_the_rest_of_the_items_goes_too(world: World) -> None:
    key = half_deleted(world)
    world.sweep()
    assert world.state(key) is State.DELETED
    assert world.server.items(key.id) == []
    assert max(world.server.deletes.values()) == 1


def test_without_a_copy_the_rest_goes_too(world: World) -> None:
    world.policies = enforced(DELETED)
    key = half_deleted(world)
    world.sweep()
    assert world.state(key) is State.DELETED
    assert world.server.items(key.id) == []


def test_gone_under_another_credential_proves_nothing(world: World) -> None:
    key = gone(world)
    world.server._site.keys["sk-new"] = "other"  # type: ignore[index]
    world.keys["main"] = "sk-new"
    world.server.clear_log()
    report = world.sweep()
    assert world.state(key) is State.DELETING
    assert world.changing_calls() == []
    assert report.exit_code == 1
    assert world.entry(key).intent is not None
    assert [one.thread.key for one in world.registry.threads.select(failed=True)] == [key]
    world.keys["main"] = "sk-main"
    world.sweep()
    assert world.state(key) is State.DELETED


def test_an_intent_that_saw_nothing_alive_proves_nothing(world: World) -> None:
    key = Key("main", Kind.THREAD, "thread_never")
    world.register(key)
    world.registry.settlements.intend([Intent(key, "gone", NOW, "chats")])
    world.sweep()
    assert world.state(key) is State.DELETING
    assert world.changing_calls() == []


def test_under_a_hold_the_rest_stays_and_is_visible(world: World) -> None:
    key = half_deleted(world)
    left = world.server.items(key.id)
    world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)
    world.server.clear_log()
    report = world.sweep()
    assert world.state(key) is State.DELETING
    assert world.server.items(key.id) == left
    assert world.changing_calls() == []
    assert world.story(key)[-1] == "torn"
    assert report.exit_code == 1
    assert "hold" in str(world.entry(key).last_error)
    world.registry.holds.release("court", world.now, reason="settled")
    world.advance(8 * DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_metadata_that_protects_by_now_stops_a_half_done_removal(world: World) -> None:
    legal = Policy("legal", match=matching(department="legal"), keep_forever=True)
    world.policies = enforced(CHATS, legal)
    key = half_deleted(world)
    world.server._world.named(key.id).metadata["department"] = "legal"
    world.server.clear_log()
    world.sweep()
    assert world.changing_calls() == []
    assert world.story(key)[-1] == "torn"


@pytest.mark.parametrize("policy", [CHATS, DELETED], ids=lambda one: str(one.name))
def test_a_new_item_in_a_half_deleted_conversation_stops_it(world: World, policy: Policy) -> None:
    world.policies = enforced(policy)
    key = half_deleted(world)
    world.server.append_item(key.id, "I am still here.")
    left = world.server.items(key.id)
    world.server.clear_log()
    for _ in range(2):
        world.sweep()
    assert world.state(key) is State.DELETING
    assert world.server.items(key.id) == left
    assert world.changing_calls() == []
    assert world.story(key)[-1] == "torn"


def test_a_new_item_where_nothing_had_gone_makes_it_active(world: World) -> None:
    key = world.add(items=1)
    world.die_at("DELETE", "*")
    world.sweep_and_die()
    world.server.append_item(key.id)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert len(world.server.items(key.id)) == 2


def test_a_locked_half_deleted_conversation_waits(world: World) -> None:
    key = half_deleted(world)
    [copy] = world.objects()
    world.server.lock(key.id)
    for _ in range(2):
        world.sweep()
    assert world.state(key) is State.DELETING
    assert world.entry(key).intent is not None
    world.server.lock(key.id, locked=False)
    world.server.clear_log()
    world.sweep()
    assert world.changing_calls() == [], "it rests after a failed attempt"
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED
    assert world.objects() == [copy]
    found = world.entry(key).thread.copy
    assert found is not None
    assert found.items == 20


def test_a_half_deleted_conversation_whose_copy_is_damaged_is_kept(world: World) -> None:
    key = half_deleted(world)
    [copy] = world.objects()
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-9] + bytes(9))
    left = world.server.items(key.id)
    for _ in range(3):
        world.advance(DAY)
        world.sweep()
    assert world.server.items(key.id) == left
    assert world.state(key) is State.DELETING
    copy.write_bytes(whole)
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


@pytest.mark.parametrize("make", [gone, half_deleted])
def test_under_audit_nothing_is_recovered_by_a_changing_call(
    world: World, make: Callable[[World], Key]
) -> None:
    key = make(world)
    world.policies = Policies((CHATS,), mode=Mode.AUDIT)
    world.server.clear_log()
    world.sweep()
    assert world.changing_calls() == []
    assert world.state(key) is State.DELETING
    world.policies = enforced(CHATS)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_held_container_that_seems_gone_is_not_deleted_again(world: World) -> None:
    key = gone(world)
    world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)
    world.server.clear_log()
    world.sweep()
    assert world.changing_calls() == []
    assert world.state(key) is State.MISSING


def test_an_outage_during_recovery_keeps_the_intent(world: World) -> None:
    key = gone(world)
    for fault in (Fault(How.RESET), Fault(How.HTML), Fault(How.STATUS, status=500)):
        for method in ("GET", "DELETE"):
            with world.server.faulty(Fault(fault.how, method=method, status=fault.status)):
                world.sweep()
            assert world.state(key) is State.DELETING
            assert world.entry(key).intent is not None
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_soft_delete_that_died_after_its_mark_is_made_again(world: World) -> None:
    marks = Policy(
        "m", soft_delete=SoftDelete(20 * DAY, DeletionMark.UPSTREAM), delete=Delete(30 * DAY)
    )
    world.policies = enforced(marks)
    key = world.add(upstream={"own": "1"})
    world.die_at("POST", "*", after=True)
    world.sweep_and_die()
    assert world.state(key) is State.ACTIVE
    world.sweep()
    assert world.state(key) is State.SOFT_DELETED
    assert len(world.server.metadata(key.id)) == 2
