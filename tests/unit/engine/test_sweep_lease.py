"""A janitor that was held up for longer than its lease does nothing more, wherever it stood."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sweep_world import DELETED, World, enforced, path_of

from janitor.engine.lease import Lease
from janitor.errors import ClaimLostError
from janitor.model import State

LENGTH = timedelta(seconds=30)
Held = Callable[[float], None]


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Lets so many seconds pass for leases."""
    passed = [0.0]
    monkeypatch.setattr("janitor.engine.lease._now", lambda: passed[0])

    def pass_by(seconds: float) -> None:
        passed[0] += seconds

    return pass_by


@pytest.fixture
def world(world: World) -> World:
    world.policies = enforced(DELETED)
    world.registry.lease = LENGTH
    return world


def sweep_and_lose(world: World) -> None:
    with pytest.raises(ClaimLostError, match="it stopped"):
        world.sweep()
    assert world.hooks[-1].happened


def test_a_lease_is_believed_for_two_thirds_of_its_length(held_up: Held) -> None:
    lease = Lease(LENGTH, lambda: None)
    held_up(20)
    assert not lease.is_over
    held_up(0.1)
    assert lease.is_over
    held_up(-20)
    assert lease.is_over


def test_nothing_more_is_looked_at(world: World, held_up: Held) -> None:
    world.concurrency = 1
    keys = [world.add(items=0) for _ in range(9)]
    world.on("GET", "/conversations/*", lambda: held_up(21))
    sweep_and_lose(world)
    asked = {key for key in keys for one in world.server.log if key.id in one.path}
    assert len(asked) <= 2
    assert world.changing_calls() == []


def test_no_removal_is_begun_and_nothing_is_written(world: World, held_up: Held) -> None:
    key = world.add(items=0)
    world.on("GET", path_of(key), lambda: held_up(21))
    sweep_and_lose(world)
    assert world.changing_calls() == []
    assert world.story(key) == []
    assert world.entry(key).attempts == 0


def test_no_further_page_is_asked_for(world: World, held_up: Held) -> None:
    key = world.add(items=3)
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: held_up(21), skip=2)
    world.hooks[-1].after = True
    sweep_and_lose(world)
    assert len(world.changing_calls()) == 3
    assert world.story(key) == []
    assert world.state(key) is State.DELETING


def test_no_further_item_is_deleted(world: World, held_up: Held) -> None:
    key = world.add(items=20)
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: held_up(21))
    sweep_and_lose(world)
    assert 1 <= len(world.changing_calls()) <= 8
    assert world.state(key) is State.DELETING
