"""What an edit of its metadata took from a protection is kept for the grace, then let go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sweep_world import CHATS, DAY, DELETED, NOW, World, enforced, matching, path_of

from janitor.engine.plan import PlanScope
from janitor.model import Hold, Key, Mode, State
from janitor.policy import rules as language
from janitor.policy.rules import KeepLast, Policy, Selector
from janitor.registry import InboxNotice

LEGAL = Policy("legal", match=matching(department="legal"), keep_forever=True)
PINNED = replace(DELETED, excepts=matching(department="legal"))
LAST = Policy("last", match=matching(department="legal"), keep_last=KeepLast(1, "department"))
COURT = Hold("court", metadata={"department": "legal"})
LAW, STAFF = {"department": "legal"}, {"department": "staff"}
GRACE = 7 * DAY
MOMENT = DAY / 24


def protected(world: World, *rules: Policy, upstream: bool = False) -> Key:
    """A thread that its metadata protects, as a sweep has seen."""
    world.policies = enforced(*rules)
    key = world.add(metadata=None if upstream else LAW, upstream=LAW if upstream else None)
    world.sweep()
    assert world.server.exists(key.id)
    return key


def edit_upstream(world: World, key: Key) -> None:
    world.server._world.named(key.id).metadata = dict(STAFF)


def spared_until_grace_ends(world: World, key: Key) -> None:
    """It is there until the grace is over and gone after it; the row tells of it meanwhile."""
    until = world.entry(key).thread.grace_until
    assert until is not None
    assert world.now < until <= world.now + GRACE
    world.advance(until - world.now - MOMENT)
    world.sweep()
    assert world.server.exists(key.id)
    world.advance(2 * MOMENT)
    world.sweep()
    world.sweep()
    assert not world.server.exists(key.id)


@pytest.mark.parametrize("rules", [(DELETED, LEGAL), (PINNED,), (DELETED, LAST)])
def test_an_edit_by_import_leaves_a_grace(world: World, rules: tuple[Policy, ...]) -> None:
    key = protected(world, *rules)
    world.register(key, metadata=STAFF)
    report = world.sweep()
    assert report.kept == {"released": 1}
    assert not report.backlog.due
    assert world.entry(key).reported_before is None
    spared_until_grace_ends(world, key)
    tombstone = world.entry(key).thread
    assert (tombstone.grace_until, tombstone.grace_by) == (None, None)


def test_an_edit_by_the_inbox_leaves_a_grace(world: World) -> None:
    tests = {"department": language.Test(any_of=frozenset({"legal"}))}
    tests["closed"] = language.Test(exists=False)
    key = protected(world, DELETED, replace(LEGAL, match=Selector(metadata=tests)))
    said = {"closed": "yes"}
    world.registry.inbox.append(
        [InboxNotice("main", key.kind, key.id, NOW - 50 * DAY, metadata=said)]
    )
    world.registry.inbox.drain(world.now)
    assert world.entry(key).reported_before == LAW
    assert world.sweep().kept == {"released": 1}
    spared_until_grace_ends(world, key)


def test_an_edit_at_the_server_leaves_a_grace_from_when_it_is_seen(world: World) -> None:
    key = protected(world, CHATS, LEGAL, upstream=True)
    edit_upstream(world, key)
    world.advance(8 * DAY)
    assert world.sweep().kept == {"released": 1}
    assert world.entry(key).thread.grace_by == "policy:legal"
    spared_until_grace_ends(world, key)


def test_an_edit_that_is_seen_when_its_hold_is_over_leaves_no_grace(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add(upstream=LAW)
    world.registry.holds.add(COURT, world.now)
    world.sweep()
    edit_upstream(world, key)
    world.registry.holds.release("court", world.now, reason="settled")
    world.advance(GRACE - MOMENT)
    world.sweep()
    assert world.server.exists(key.id)
    world.advance(2 * MOMENT)
    world.sweep()
    assert not world.server.exists(key.id)


def test_an_edit_beneath_a_hold_leaves_a_grace_and_its_release_no_second_one(
    world: World,
) -> None:
    world.policies = enforced(DELETED)
    key = world.add(metadata=LAW)
    world.registry.holds.add(COURT, world.now)
    world.sweep()
    world.register(key, metadata=STAFF)
    assert world.sweep().kept == {"released": 1}
    assert world.entry(key).thread.grace_by == "hold:court"
    world.advance(DAY)
    world.registry.holds.release("court", world.now, reason="settled")
    spared_until_grace_ends(world, key)


def test_two_edits_before_a_look_are_held_against_what_was_decided_on(world: World) -> None:
    key = protected(world, DELETED, LEGAL)
    world.register(key, metadata={"department": "hr"})
    world.register(key, metadata=STAFF)
    assert world.sweep().kept == {"released": 1}


def test_an_edit_there_and_back_spares_nothing_longer(world: World) -> None:
    key = protected(world, DELETED, LEGAL)
    world.register(key, metadata=STAFF)
    world.register(key, metadata=LAW)
    assert world.sweep().kept == {"keep_forever": 1}
    assert world.entry(key).thread.grace_until is None


def test_an_edit_during_the_look_is_not_forgotten(world: World) -> None:
    key = protected(world, CHATS, LEGAL, upstream=False)
    world.advance(8 * DAY)
    world.on("GET", path_of(key), lambda: world.register(key, metadata=STAFF))
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.entry(key).reported_before == LAW
    world.sweep()
    assert world.entry(key).thread.grace_by == "policy:legal"
    spared_until_grace_ends(world, key)


def test_a_hold_that_an_edit_escapes_between_the_decision_and_the_call_keeps_it(
    world: World,
) -> None:
    world.policies = enforced(DELETED)
    key = world.add(metadata=LAW)

    def hold_and_edit() -> None:
        world.registry.holds.add(COURT, world.now)
        world.register(key, metadata=STAFF)

    world.on("GET", path_of(key), hold_and_edit)
    report = world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.server.exists(key.id)
    assert world.changing_calls() == []
    assert report.kept == {"released": 1}
    world.sweep()
    assert world.entry(key).thread.grace_by == "hold:court"
    spared_until_grace_ends(world, key)


def test_what_an_import_edits_is_read_at_the_server_too(world: World) -> None:
    world.policies = enforced(DELETED, LEGAL)
    key = world.add(metadata=LAW, upstream=LAW)
    world.sweep()
    edit_upstream(world, key)
    world.register(key, metadata=STAFF)
    assert world.sweep().kept == {"released": 1}
    spared_until_grace_ends(world, key)


def test_a_plan_tells_of_it_and_writes_nothing(world: World) -> None:
    key = protected(world, DELETED, LEGAL)
    world.register(key, metadata=STAFF)
    made = world.plan(PlanScope(everything=True))
    assert made.kept == {"released": 1}
    assert world.entry(key).thread.grace_until is None
    assert world.entry(key).reported_before == LAW


def test_audit_records_it_too(world: World) -> None:
    key = protected(world, DELETED, LEGAL)
    world.policies = replace(world.policies, mode=Mode.AUDIT)
    world.register(key, metadata=STAFF)
    assert world.sweep().kept == {"released": 1}
    assert world.entry(key).thread.grace_until == world.now + GRACE
    assert world.state(key) is State.ACTIVE
