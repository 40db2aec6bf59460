"""I4: deleted is what the server said of this very id; what was stopped midway stays visible."""

from __future__ import annotations

import pytest
from sweep_world import CHATS, DAY, DELETED, World, enforced, path_of

from janitor.emulator import Fault, How
from janitor.model import Hold, Kind, Mode, Outcome, Stage, State
from janitor.policy import Policies
from janitor.policy.rules import Delete, Items, Policy

QUICK = Policy("quick", delete=Delete(30 * DAY, Items.KEEP))
LIES = [How.EMPTY_OBJECT, How.NULL, How.HTML, How.DELETED_FALSE, How.WRONG_ID, How.CUT_BODY]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.CONVERSATION, Kind.AGENT_SESSION])
@pytest.mark.parametrize("how", LIES)
def test_a_success_that_says_something_else_is_not_believed(
    world: World, kind: Kind, how: How
) -> None:
    key = world.add(kind)
    with world.server.faulty(Fault(how, method="DELETE", path=path_of(key), times=1)):
        report = world.sweep()
    assert world.server.exists(key.id)
    assert world.state(key) is State.DELETING
    assert "deleted" not in world.story(key)
    assert report.exit_code == 1
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED
    assert world.server.deletes[key.id] == 1


@pytest.mark.parametrize("how", [How.STATUS, How.HTML])
def test_a_404_to_the_delete_is_no_proof(world: World, how: How) -> None:
    world.policies = enforced(QUICK)
    key = world.add()
    with world.server.faulty(Fault(how, method="DELETE", status=404)):
        for _ in range(3):
            world.sweep()
    assert world.server.exists(key.id)
    assert "deleted" not in world.story(key)
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_an_item_that_arrives_midway_tears_the_deletion(world: World) -> None:
    key = world.add(items=3)
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: world.server.append_item(key.id))
    report = world.sweep()
    assert world.server.exists(key.id)
    assert len(world.server.items(key.id)) == 1
    assert world.state(key) is State.DELETING
    assert world.story(key) == ["archived", "torn"]
    assert report.exit_code == 1
    assert [one.thread.key for one in world.registry.threads.select(failed=True)] == [key]


@pytest.mark.parametrize("policy", [CHATS, DELETED], ids=lambda one: str(one.name))
def test_a_hold_midway_stops_at_the_next_page(world: World, policy: Policy) -> None:
    world.policies = enforced(policy)
    key = world.add(items=150)
    court = Hold("court", ids=frozenset([key.id]))
    world.on("DELETE", "*/items/*", lambda: world.registry.holds.add(court, world.now), skip=50)
    world.sweep()
    assert world.server.exists(key.id)
    assert len(world.server.items(key.id)) == 50
    assert world.state(key) is State.DELETING
    assert world.story(key)[-1] == "torn"


def test_what_was_deleted_elsewhere_meanwhile_is_gone(world: World) -> None:
    key = world.add(items=3)
    [first, *_] = world.server.items(key.id)
    remove = world.server._world.named(key.id).items.pop
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: remove(first["id"]))
    world.sweep()
    assert world.state(key) is State.DELETED
    assert world.server.items(key.id) == []


def test_a_tombstone_stays_dead(world: World) -> None:
    key = world.add()
    world.sweep()
    world.server.clear_log()
    world.register(key, active_at=world.now, metadata={"plan": "trial"})
    world.registry.registrations.touch([(key, world.now)])
    world.advance(40 * DAY)
    world.sweep()
    assert world.server.log == []
    assert world.state(key) is State.DELETED
    assert world.entry(key).thread.reported is None


def test_every_event_of_a_sweep_is_counted_alike(world: World) -> None:
    """However a thread ended: run, totals and metrics have one number for it."""
    audited = Policy("audited", default=True, delete=Delete(30 * DAY), mode=Mode.AUDIT)
    world.policies = enforced(audited)
    world.add()
    world.sweep()
    world.policies = enforced(CHATS)
    failing, busy, changed = world.add(), world.add(Kind.THREAD), world.add()
    world.server.start_run(busy.id)
    world.on("GET", path_of(changed), lambda: world.server.append_item(changed.id), skip=1)
    fault = Fault(How.STATUS, status=500, path=f"{path_of(failing)}/items", skip=1)
    with world.server.faulty(fault):
        world.sweep()
    totals = world.registry.runs.totals()
    assert {outcome for _, _, outcome in totals} >= {Outcome.DONE, Outcome.KEPT, Outcome.BUSY}
    for (policy, stage, outcome), number in totals.items():
        labels = {"policy": policy, "stage": stage, "outcome": outcome}
        counted = world.metrics.collectors.get_sample_value("janitor_actions_total", labels)
        assert counted == number, labels
    assert ("audited", Stage.DELETE, Outcome.KEPT) in totals


def test_busy_threads_rest_longer_each_time_and_are_visible(world: World) -> None:
    key, other = world.add(Kind.AGENT_SESSION), world.add(Kind.AGENT_SESSION)
    world.server.lock(key.id)
    rests = []
    for _ in range(4):
        world.sweep()
        at = world.entry(key).review_at
        assert at is not None
        rests.append((at - world.now).total_seconds() / 60)
        world.advance(at - world.now)
    assert rests == [5, 10, 20, 40]
    assert world.state(other) is State.DELETED
    assert [one.thread.key for one in world.registry.threads.select(failed=True)] == [key]
    assert world.story(key) == ["busy"] * 4


def test_an_empty_conversation_is_archived_and_deleted(world: World) -> None:
    key = world.add(items=0)
    world.sweep()
    assert world.state(key) is State.DELETED
    copy = world.entry(key).thread.copy
    assert copy is not None
    assert (copy.items, copy.newest_item) == (0, None)


def test_no_policy_at_all_changes_nothing(world: World) -> None:
    world.policies = Policies(mode=Mode.ENFORCE)
    key = world.add()
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert world.changing_calls() == []
