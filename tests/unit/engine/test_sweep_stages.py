"""Every stage of the policy language, from one sweep to the next."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, OLD, World, enforced, matching

from janitor.engine.review import copied_after
from janitor.model import Hold, Key, Kind, State
from janitor.policy.rules import (
    AgeFrom,
    ArchiveAt,
    ArchiveRule,
    Delete,
    Items,
    KeepLast,
    Lifetime,
    Policy,
    Selector,
)

YOUNG = NOW - 10 * DAY


def test_a_new_item_makes_it_active_and_it_is_archived_anew(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add(created_at=YOUNG, active_at=YOUNG)
    world.sweep()
    [first] = world.objects()
    world.server.append_item(key.id)
    world.advance(DAY)
    world.register(key, active_at=world.now)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert world.objects() == [first]
    for _ in range(2):  # the look that finds the item dates it; a conversation carries no times
        world.advance(7 * DAY)
        world.sweep()
    assert world.state(key) is State.ARCHIVED
    [second] = world.objects()
    assert second != first
    copy = world.entry(key).thread.copy
    assert copy is not None
    assert (copy.items, str(second).endswith(copy.path)) == (4, True)
    assert world.story(key).count("archived") == 2


@pytest.mark.parametrize("touched", [False, True], ids=["untold", "touched"])
def test_an_item_that_nobody_announces_is_archived_too(world: World, *, touched: bool) -> None:
    world.policies = enforced(COPIED)
    key = world.add(created_at=YOUNG, active_at=YOUNG)
    world.sweep()
    world.advance(DAY)
    world.server.append_item(key.id)
    if touched:
        world.registry.registrations.touch([(key, world.now)])
    for _ in range(14):
        world.advance(DAY)
        world.sweep()
    copy = world.entry(key).thread.copy
    assert copy is not None
    assert copy.items == 4
    assert world.state(key) is State.ARCHIVED


def test_a_copy_of_what_is_still_is_looked_at_but_not_made_again(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add(created_at=YOUNG, active_at=YOUNG)
    world.sweep()
    world.server.clear_log()
    for _ in range(28):
        world.advance(DAY)
        world.sweep()
    assert len(world.server.log) == 4 * 2
    assert world.story(key) == ["archived"]


def test_a_long_thread_is_copied_at_once_whatever_its_default_says(world: World) -> None:
    early = ArchiveRule(items=5, keep_for=90 * DAY, at=ArchiveAt.EARLIEST)
    usual = ArchiveRule(60 * DAY, keep_for=90 * DAY)
    world.policies = enforced(
        Policy("long", Selector(kinds=frozenset(Kind)), archive=early, beside_default=True),
        Policy("rest", default=True, archive=usual, delete=Delete(90 * DAY)),
    )
    long, short = (world.add(items=n, created_at=YOUNG, active_at=YOUNG) for n in (6, 4))
    world.sweep()
    assert (world.state(long), world.state(short)) == (State.ARCHIVED, State.ACTIVE)
    world.advance(50 * DAY)  # the usual day of a copy
    world.sweep()
    assert (world.state(long), world.state(short)) == (State.ARCHIVED, State.ARCHIVED)
    world.advance(29 * DAY)
    world.sweep()
    assert not world.server.deletes
    world.advance(DAY)
    world.sweep()
    assert {world.state(long), world.state(short)} == {State.DELETED}
    assert world.story(long).count("archived") == 1


def test_a_copied_thread_is_looked_at_as_often_as_its_earliest_copy_asks(world: World) -> None:
    thread = world.entry(world.add()).thread
    rules = [
        Policy("usual", archive=ArchiveRule(60 * DAY)),
        Policy("soon", archive=ArchiveRule(9 * DAY)),
    ]
    assert copied_after(thread, enforced(*rules)) == 60 * DAY
    early = Policy("early", archive=ArchiveRule(2 * DAY, at=ArchiveAt.EARLIEST))
    assert copied_after(thread, enforced(*rules, early)) == 2 * DAY
    assert copied_after(thread, enforced()) is None


def test_items_can_be_left_to_the_api(world: World) -> None:
    world.policies = enforced(Policy("quick", delete=Delete(30 * DAY, Items.KEEP)))
    key = world.add(items=5)
    world.sweep()
    assert world.server.deletes == {key.id: 1}
    assert len(world.server.items(key.id)) == 5
    assert world.state(key) is State.DELETED


def test_the_most_recently_active_of_each_user_are_kept(world: World) -> None:
    world.policies = enforced(
        Policy("last", delete=Delete(30 * DAY), keep_last=KeepLast(1, "user_id"))
    )
    users = [("ann", 60), ("ann", 50), ("bob", 70), ("bob", 65), ("cleo", 90)]
    keys = [
        world.add(active_at=NOW - days * DAY, created_at=NOW - 90 * DAY, metadata={"user_id": name})
        for name, days in users
    ]
    anonymous = world.add(created_at=NOW - 90 * DAY, metadata={})
    world.sweep()
    gone = [world.state(key) is State.DELETED for key in keys]
    assert gone == [True, False, True, False, False]
    assert world.state(anonymous) is State.ACTIVE


def test_a_touch_changes_who_is_kept(world: World) -> None:
    world.policies = enforced(
        Policy("last", delete=Delete(30 * DAY), keep_last=KeepLast(1, "user_id"))
    )
    mine = {"user_id": "ann"}
    old = world.add(active_at=NOW - 80 * DAY, created_at=NOW - 90 * DAY, metadata=mine)
    new = world.add(active_at=NOW - 70 * DAY, created_at=NOW - 90 * DAY, metadata=mine)
    world.registry.registrations.touch([(old, NOW - 40 * DAY)])
    world.sweep()
    assert world.state(old) is State.ACTIVE
    assert world.state(new) is State.DELETED


def test_many_items_are_archived_before_their_age(world: World) -> None:
    world.policies = enforced(
        Policy("big", archive=ArchiveRule(after=90 * DAY, items=50, keep_for=DAY))
    )
    small = world.add(items=49, created_at=YOUNG, active_at=YOUNG)
    big = world.add(items=50, created_at=YOUNG, active_at=YOUNG)
    world.sweep()
    assert (world.state(small), world.state(big)) == (State.ACTIVE, State.ARCHIVED)
    world.server.append_item(small.id)
    world.advance(DAY)
    world.sweep()
    assert world.state(small) is State.ARCHIVED


def test_a_floor_stands_under_every_policy(world: World) -> None:
    world.policies = enforced(
        Policy("now", delete=Delete(timedelta(hours=1))), lifetime=Lifetime(min=61 * DAY)
    )
    key = world.add()
    world.sweep()
    assert world.state(key) is State.ACTIVE
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_ceiling_is_a_promise_to_delete(world: World) -> None:
    world.policies = enforced(
        Policy("never-matching", match=matching(plan="x"), delete=Delete(DAY)),
        lifetime=Lifetime(max=61 * DAY),
    )
    key = world.add(active_at=NOW)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_an_age_may_count_from_the_creation(world: World) -> None:
    world.policies = enforced(Policy("strict", delete=Delete(30 * DAY), age_from=AgeFrom.CREATED))
    key = world.add(active_at=NOW)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_date_to_keep_until_is_kept(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add()
    world.register(key, keep_until=NOW + 5 * DAY)
    world.sweep()
    assert world.reasons(key) == []
    assert world.state(key) is State.ACTIVE
    world.advance(5 * DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_an_untracked_conversation_ages_from_the_first_look(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add(active_at=None)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    world.advance(29 * DAY)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_hold_keeps_until_its_release_and_the_grace(world: World) -> None:
    world.policies = enforced(CHATS)
    key = world.add(metadata={"case": "7"})
    world.registry.holds.add(Hold("court", metadata={"case": "7"}), world.now)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    world.advance(400 * DAY)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    world.registry.holds.release("court", world.now, reason="settled")
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    world.advance(7 * DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_what_no_policy_matches_is_untouched(world: World) -> None:
    world.policies = enforced(Policy("web", match=matching(channel="web"), delete=Delete(DAY)))
    key = world.add(metadata={"channel": "mobile"})
    report = world.sweep()
    assert world.state(key) is State.ACTIVE
    assert dict(report.kept) == {"unmatched": 1}
    assert world.entry(key).review_at is None


def test_a_project_that_is_not_configured_is_kept_and_counted(world: World) -> None:
    key = Key("elsewhere", Kind.THREAD, "thread_1")
    world.register(key, active_at=OLD)
    report = world.sweep()
    assert dict(report.kept) == {"not_served": 1}
    assert world.state(key) is State.ACTIVE
