"""A server that for a moment does not know what it holds: nothing is removed because of it."""

from __future__ import annotations

import pytest
from sweep_world import DAY, World, path_of

from janitor.emulator import Fault, How
from janitor.model import Key, Kind, State


def unsent(world: World, kind: Kind) -> Key:
    """A container whose janitor died between the intent and the first removing call."""
    key = world.add(kind, items=1)
    world.die_at("DELETE", "*")
    world.sweep_and_die()
    assert world.state(key) is State.DELETING
    return key


@pytest.mark.parametrize("kind", Kind)
def test_one_not_found_sends_no_removal(world: World, kind: Kind) -> None:
    key = unsent(world, kind)
    world.server.append_item(key.id, "I am still here.")
    world.server.clear_log()
    with world.server.faulty(not_found(key, times=1)):
        world.sweep()
    assert world.changing_calls() == []
    assert world.server.exists(key.id)
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.ACTIVE


def test_items_go_first_however_the_container_was_found(world: World) -> None:
    key = unsent(world, Kind.CONVERSATION)
    with world.server.faulty(not_found(key, times=2)):
        world.sweep()
    assert world.state(key) is State.DELETED
    assert not world.server.exists(key.id)
    assert world.server.items(key.id) == []


def not_found(key: Key, times: int) -> Fault:
    return Fault(How.STATUS, method="GET", path=path_of(key), status=404, times=times)
