"""I1: an item that arrives after the last look is never deleted with those that were copied."""

from __future__ import annotations

import pytest
from sweep_world import CHATS, DELETED, World, enforced

from janitor.model import State
from janitor.policy.rules import Policy


@pytest.mark.parametrize("policy", [CHATS, DELETED])
def test_an_item_that_the_listing_before_the_first_delete_shows_stops_it(
    world: World, policy: Policy
) -> None:
    world.policies = enforced(policy)
    items = 120  # more than a look lists
    key, arrived = world.add(items=items), list[str]()
    earlier = 3 if policy is CHATS else 1  # the copy and the newest item after it, or the look

    def say_more() -> None:
        arrived.append(world.server.append_item(key.id))

    world.on("GET", "/items", say_more, skip=earlier)
    world.sweep()
    assert arrived
    assert not world.server.deletes
    assert len(world.server.items(key.id)) == items + 1
    assert world.state(key) in {State.ACTIVE, State.ARCHIVED}
    assert world.reasons(key) == ["an item has arrived since the check"]
    world.sweep()
    assert not world.server.deletes  # it is activity
