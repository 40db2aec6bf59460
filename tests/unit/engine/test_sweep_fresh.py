"""No DELETE leaves on an old look, however long it had to wait, and yet every thread gets on."""

from __future__ import annotations

import pytest
from rates import UNLIMITED
from sweep_world import CHATS, DELETED, World, enforced, matching, path_of

from janitor.drivers.send_guard import LOOK_LASTS
from janitor.emulator import Fault, How
from janitor.model import Hold, Kind, State
from janitor.policy.rules import Policy
from janitor.rate_limit import Verb

LEGAL = Policy("legal", match=matching(department="legal"), keep_forever=True)
SLOW = {**UNLIMITED, Verb.DELETE: 1.0}
SLOWEST = {**UNLIMITED, Verb.DELETE: 1.0, Verb.READ: 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("rates", [SLOW, SLOWEST], ids=["deletes", "reads"])
@pytest.mark.parametrize("policy", [CHATS, DELETED], ids=lambda one: str(one.name))
def test_one_call_a_minute_still_removes_everything(
    world: World, rates: dict[Verb, float], policy: Policy
) -> None:
    world.rates, world.policies = dict(rates), enforced(policy)
    keys = [world.add(Kind.CONVERSATION, items=2) for _ in range(4)]
    world.sweep()
    assert {world.state(key) for key in keys} == {State.DELETED}
    assert all("failed" not in world.story(key) for key in keys)


def test_an_item_that_has_to_wait_while_newer_ones_go_is_no_new_one(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add(Kind.CONVERSATION, items=2)
    oldest, newest = (item["id"] for item in world.server.items(key.id))
    body = {"error": {"type": "requests", "code": "rate_limit_exceeded", "message": "slow down"}}
    world.server.add_fault(
        Fault(
            How.STATUS,
            method="DELETE",
            path=f"*/items/{oldest}",
            status=429,
            body=body,
            headers={"retry-after": f"{3 * LOOK_LASTS:.0f}"},
            times=1,
        )
    )
    world.sweep()
    items = [one.path.split("/")[-1] for one in world.server.log if "/items/" in one.path]
    assert sorted(items) == [oldest, oldest, newest]
    assert items[-1] == oldest
    assert world.state(key) is State.DELETED
    assert "torn" not in world.story(key)


def stall(world: World, seconds: float) -> None:
    world.uptime += seconds


@pytest.mark.parametrize(
    ("kind", "items", "reads", "story"),
    [
        (Kind.CONVERSATION, 2, 2, ["kept"]),
        (Kind.THREAD, 2, 3, ["kept"]),
        (Kind.CONVERSATION, 120, 4, ["withdrawn", "kept"]),  # the last two list what is to go
    ],
    ids=["conversation", "thread", "long"],
)
def test_what_is_said_while_a_removal_waits_keeps_it(
    world: World, kind: Kind, items: int, reads: int, story: list[str]
) -> None:
    world.policies = enforced(DELETED, LEGAL)
    key = world.add(kind, items=items)

    def wait_and_protect() -> None:
        stall(world, LOOK_LASTS + 1)
        world.server._world.named(key.id).metadata["department"] = "legal"

    # The last read before the removing call: it is answered, and then nothing goes for a while.
    world.on("GET", f"{path_of(key)}*", wait_and_protect, skip=reads - 1)
    world.hooks[-1].after = True
    world.sweep()
    assert world.hooks[-1].happened
    assert world.changing_calls() == []
    assert world.state(key) is State.ACTIVE
    assert world.story(key) == story
    assert world.entry(key).attempts == 0


def test_a_hold_between_items_at_a_slow_pace_stops_the_rest(world: World) -> None:
    world.rates, world.policies = dict(SLOW), enforced(DELETED)
    key = world.add(items=20)

    def hold() -> None:
        world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)

    world.on("DELETE", f"{path_of(key)}/items/*", hold, skip=1)
    world.sweep()
    assert 2 <= len(world.changing_calls()) <= 8
    assert world.state(key) is State.DELETING
    assert "torn" in world.story(key)


def test_an_item_between_items_at_a_slow_pace_stops_the_rest(world: World) -> None:
    world.rates, world.policies = dict(SLOW), enforced(DELETED)
    key = world.add(items=20)
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: world.server.append_item(key.id), skip=1)
    world.sweep()
    assert 2 <= len(world.changing_calls()) <= 8
    assert world.state(key) is State.DELETING
    assert "torn" in world.story(key)


def test_a_removal_that_never_gets_through_in_time_is_kept_and_not_blamed(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add(Kind.CHATKIT_THREAD)
    now = world.guard.now
    ticking = iter(range(0, 10**6, 20))
    world.guard.now = lambda: now() + next(ticking)
    report = world.sweep()
    assert world.changing_calls() == []
    assert world.state(key) is State.ACTIVE
    assert world.entry(key).attempts == 0
    assert world.entry(key).intent is None
    assert report.exit_code == 0
    world.guard.now = now
    world.sweep()
    assert world.state(key) is State.DELETED
