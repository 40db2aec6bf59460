"""Ways around the limits: every removal is counted under its own policy before the first one."""

from __future__ import annotations

from sweep_world import DAY, NOW, OLD, World, enforced, matching

from janitor.emulator import Fault
from janitor.engine.sweep import Orders
from janitor.model import Kind, State
from janitor.policy.rules import AgeFrom, ArchiveRule, Delete, Policy

MANY = 25


def test_unread_metadata_hides_nobody_from_the_policy_that_removes(world: World) -> None:
    world.policies = enforced(
        Policy("a-trial", match=matching(plan="trial"), delete=Delete(30 * DAY)),
        Policy("b-support", match=matching(plan="support"), delete=Delete(30 * DAY)),
    )
    keys = [world.add(Kind.THREAD, upstream={"plan": "support"}) for _ in range(MANY)]
    world.sweep()
    assert {world.state(key) for key in keys} == {State.ACTIVE}
    assert world.sweep().exit_code == 4
    assert {world.state(key) for key in keys} == {State.ACTIVE}


def test_what_upstream_says_otherwise_is_counted_where_it_belongs(world: World) -> None:
    world.policies = enforced(
        Policy("trial", match=matching(plan="trial"), delete=Delete(30 * DAY), max_percent=100.0),
        Policy("support", match=matching(plan="support"), delete=Delete(30 * DAY)),
    )
    keys = [
        world.add(Kind.THREAD, metadata={"plan": "trial"}, upstream={"plan": "support"})
        for _ in range(MANY)
    ]
    world.sweep()
    assert {world.state(key) for key in keys} == {State.ACTIVE}
    assert world.sweep().exit_code == 4
    assert {world.state(key) for key in keys} == {State.ACTIVE}


def test_a_removal_is_not_counted_under_the_policy_that_merely_copies(world: World) -> None:
    world.policies = enforced(
        Policy("copied", archive=ArchiveRule(after=40 * DAY, keep_for=DAY), max_percent=100.0),
        Policy("removed", delete=Delete(30 * DAY)),
    )
    keys = [world.add() for _ in range(MANY)]
    assert world.sweep().exit_code == 4
    assert State.DELETED not in {world.state(key) for key in keys}


def test_an_older_creation_than_was_reported_is_counted_first(world: World) -> None:
    rule = Policy("old", age_from=AgeFrom.CREATED, delete=Delete(30 * DAY))
    world.policies = enforced(rule)
    keys = [world.add(Kind.THREAD, active_at=OLD) for _ in range(MANY)]
    for key in keys:
        world.register(key, created_at=NOW - DAY, active_at=NOW - DAY)
    world.sweep()
    assert {world.state(key) for key in keys} == {State.ACTIVE}
    assert world.sweep().exit_code == 4
    assert {world.state(key) for key in keys} == {State.ACTIVE}


def test_what_was_missing_and_is_found_again_is_counted_first(world: World) -> None:
    world.policies = enforced(
        Policy("chats", match=matching(plan="trial"), delete=Delete(30 * DAY)),
        Policy("kept", match=matching(plan="kept"), keep_forever=True),
    )
    day = NOW - DAY
    for _ in range(4 * MANY):
        world.add(metadata={"plan": "kept"}, created_at=day, active_at=day)
    lost = [
        world.add(metadata={"plan": "trial"}, created_at=day, active_at=day) for _ in range(MANY)
    ]
    unknown = {"type": "invalid_request_error", "message": "No such conversation.", "code": None}
    for key in lost:
        world.server.add_fault(
            Fault("status", path=f"*/{key.id}", status=404, body={"error": unknown})
        )
    world.sweep()
    assert {world.state(key) for key in lost} == {State.MISSING}
    world.server.clear_faults()
    world.advance(31 * DAY)
    world.sweep()
    assert {world.state(key) for key in lost} == {State.ACTIVE}
    assert world.sweep().exit_code == 4
    assert {world.state(key) for key in lost} == {State.ACTIVE}


def test_a_sweep_of_one_policy_leaves_what_moved_under_another(world: World) -> None:
    world.policies = enforced(
        Policy("a", match=matching(plan="a"), delete=Delete(90 * DAY)),
        Policy("b", match=matching(plan="b"), delete=Delete(30 * DAY)),
    )
    key = world.add(Kind.THREAD, metadata={"plan": "a"}, upstream={})
    world.sweep()
    world.register(key, metadata={"plan": "b"})
    world.sweep(Orders(policy="a"))
    assert world.server.exists(key.id)
    world.sweep(Orders(policy="b"))
    assert not world.server.exists(key.id)
