"""What vanished from the application's own table goes when that says so, and not before."""

from __future__ import annotations

import pytest
from sweep_world import DAY, NOW, World, enforced, path_of

from janitor.emulator import Fault, How
from janitor.model import Hold, Key, Kind, State
from janitor.policy import VANISHED
from janitor.policy.rules import ArchiveRule, Delete, Policy
from janitor.registry import Pause, Registration

EXPIRE = {"chats": 30 * DAY}
YEAR = Policy("year", delete=Delete(365 * DAY))
COPIES = Policy("copies", archive=ArchiveRule(after=300 * DAY, keep_for=90 * DAY))


@pytest.fixture
def world(world: World) -> World:
    world.policies = enforced(YEAR, expire=EXPIRE)
    return world


def feed(world: World, *keys: Key) -> None:
    said = [Registration(key, metadata={}, source="chats") for key in keys]
    world.registry.registrations.add(said, world.now)


def vanish(world: World, number: int = 1, kind: Kind = Kind.THREAD, items: int = 0) -> list[Key]:
    """Chats of the source, all of which have just vanished from it."""
    keys = [world.add(kind, items=items, metadata={}) for _ in range(number)]
    feed(world, *keys)
    world.sweep()
    assert world.registry.scans.vanish("pass", "chats", NOW + DAY, world.now) == number
    return keys


def test_it_goes_at_its_time_and_not_a_second_before(world: World) -> None:
    [key] = vanish(world)
    world.advance(30 * DAY - DAY / 86400)
    world.sweep()
    assert (world.state(key), world.entry(key).policy) == (State.ACTIVE, VANISHED)
    assert world.entry(key).review_at == NOW + 30 * DAY
    world.advance(DAY / 86400)
    world.sweep()
    assert (world.state(key), world.entry(key).policy) == (State.DELETED, VANISHED)
    assert not world.server.exists(key.id)


def test_what_no_policy_matches_goes_too_and_what_is_held_stays(world: World) -> None:
    world.policies = enforced(expire=EXPIRE)
    loose, held = vanish(world, 2)
    world.registry.holds.add(Hold("court", ids=frozenset([held.id])), world.now)
    world.advance(30 * DAY)
    world.sweep()
    assert (world.state(loose), world.state(held)) == (State.DELETED, State.ACTIVE)
    assert world.server.exists(held.id)


def test_a_table_that_was_emptied_trips_the_limit(world: World) -> None:
    keys = vanish(world, 25)
    world.sweep()
    world.advance(29 * DAY)
    world.sweep()  # a sweep long ago would lift the limit by the downtime
    world.advance(DAY)
    report = world.sweep()
    assert report.exit_code == 4
    assert set(report.backlog.tripped) == {VANISHED}
    assert {world.state(key) for key in keys} == {State.ACTIVE}


def test_a_copy_goes_first_and_one_that_fails_keeps_it(world: World) -> None:
    world.policies = enforced(COPIES, expire=EXPIRE)
    [key] = vanish(world)
    world.advance(30 * DAY)
    world.server.add_fault(Fault(How.STATUS, "GET", f"/threads/{key.id}/messages", times=None))
    world.sweep()
    assert (world.state(key), world.objects()) == (State.ACTIVE, [])
    assert world.server.exists(key.id)


def test_a_row_that_is_back_last_of_all_keeps_it(world: World) -> None:
    [key] = vanish(world, kind=Kind.CONVERSATION, items=3)
    world.advance(30 * DAY)
    # After the look: the list of what is to go, right before the first DELETE.
    world.on("GET", f"{path_of(key)}/items", lambda: feed(world, key), skip=1)
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.state(key) is State.ACTIVE
    assert world.entry(key).intent is None
    assert world.reasons(key)[-1] == "not_due"


def test_a_pause_of_what_vanished_keeps_it(world: World) -> None:
    [key] = vanish(world)
    world.registry.pauses.add(Pause(f"policy:{VANISHED}", "a look first", "ops", world.now))
    world.advance(30 * DAY)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    world.registry.pauses.end(f"policy:{VANISHED}")
    world.sweep()
    assert world.state(key) is State.DELETED


def test_to_expire_waits_for_approval_and_to_keep_does_not(world: World) -> None:
    expiring, keeping = world.policies, enforced(YEAR)
    world.policies = keeping
    [key] = vanish(world)
    world.sweep()
    world.policies = expiring
    world.advance(30 * DAY)
    report = world.sweep()
    assert report.unapproved is not None
    assert dict(report.unapproved.threads) == {VANISHED: 1}
    assert world.state(key) is State.ACTIVE
    world.approve()
    world.policies = keeping
    world.sweep()
    assert world.state(key) is State.ACTIVE
    world.policies = expiring
    world.sweep()
    world.approve()
    world.sweep()
    assert world.state(key) is State.DELETED
