"""A pause is obeyed at once: before a look, before a removal, and in the midst of one."""

from __future__ import annotations

import pytest
from sweep_world import DELETED, World, enforced, path_of

from janitor.model import State
from janitor.registry import Pause

EVERYTHING, PROJECT, POLICY = "all", "project:main", "policy:deleted"


@pytest.fixture
def world(world: World) -> World:
    world.policies = enforced(DELETED)
    return world


def pause(world: World, scope: str = EVERYTHING) -> None:
    world.registry.pause(Pause(scope, "a look first", "ops", world.now))


@pytest.mark.parametrize("scope", [EVERYTHING, PROJECT, POLICY])
def test_what_is_paused_is_not_even_asked_for(world: World, scope: str) -> None:
    key = world.add()
    pause(world, scope)
    assert world.sweep().kept == {"paused": 1}
    assert not [one for one in world.server.log if key.id in one.path]
    world.registry.resume(scope)
    world.sweep()
    assert world.state(key) is State.DELETED


@pytest.mark.parametrize("scope", [EVERYTHING, PROJECT, POLICY])
def test_a_pause_during_the_first_look_is_found_before_anything_is_intended(
    world: World, scope: str
) -> None:
    key = world.add()
    world.on("GET", path_of(key), lambda: pause(world, scope))
    world.sweep()
    assert world.changing_calls() == []
    assert world.story(key) == ["kept"]
    assert world.reasons(key) == ["paused"]


def test_a_pause_after_the_last_look_keeps_it(world: World) -> None:
    key = world.add(items=0)
    world.on("GET", f"{path_of(key)}/items", lambda: pause(world), skip=2)
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.changing_calls() == []
    assert world.story(key) == ["withdrawn", "kept"]


def test_a_pause_between_items_stops_the_rest_and_it_goes_on_afterwards(world: World) -> None:
    key = world.add(items=120)
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: pause(world))
    world.sweep()
    assert len(world.server.items(key.id)) == 20
    assert world.state(key) is State.DELETING
    world.registry.resume(EVERYTHING)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_what_a_dead_run_left_open_waits_while_it_is_paused(world: World) -> None:
    key = world.add(items=3)
    world.die_at("DELETE", path_of(key))
    world.sweep_and_die()
    calls = len(world.changing_calls())
    pause(world, POLICY)
    world.sweep()
    assert len(world.changing_calls()) == calls
    assert world.state(key) is State.DELETING
    assert world.story(key) == []
    world.registry.resume(POLICY)
    world.sweep()
    assert world.state(key) is State.DELETED
