"""Two replicas in one sweep go by the same approval, whatever is approved meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from edits import BY_NAME, Chat
from sweep_world import World, path_of
from world import until

from janitor.engine.report import Report
from janitor.engine.sweep import Orders, sweep
from janitor.model import Key, State

SHORTER = BY_NAME["a shorter after"]


def shared_sweep(world: World) -> Report:
    with world.registry.lock(world.patience, shared=True):
        return world.run(lambda context: sweep(context, Orders(), threading.Event()))


@contextmanager
def replica_of(world: World) -> Iterator[World]:
    """Another janitor of the same registry, server and archive."""
    other = World(
        world.root,
        world.server,
        world.base_url,
        policies=world.policies,
        address=world.address,
        patience=world.patience,
    )
    try:
        yield other
    finally:
        other.close()


def test_who_joins_after_an_approval_goes_by_what_the_opener_saw(
    postgres_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = postgres_world
    monkeypatch.setattr(sys.modules[sweep.__module__], "PAGE", 1)
    world.concurrency = 1
    world.policies = SHORTER.old
    Chat(20).put(world, later=0)  # goes earlier by the edit, and is not due yet
    world.sweep()
    world.policies = SHORTER.new
    assert world.sweep().unapproved is not None
    due = Chat(60).put(world, later=0)
    world.advance(timedelta(seconds=1))
    early = [Chat(40).put(world, later=0) for _ in range(3)]

    def looked_at(key: Key) -> bool:
        return world.entry(key).sightings.baseline_at is not None

    with replica_of(world) as other:
        joining = threading.Thread(target=shared_sweep, args=(other,))

        def approve_and_be_joined() -> None:
            world.approve()
            joining.start()
            # The opener has claimed one of them already and waits here before it looks at it.
            until(lambda: sum(map(looked_at, early)) == len(early) - 1)

        world.on("DELETE", path_of(due), approve_and_be_joined)
        report = shared_sweep(world)
        joining.join()
    assert report.kept == {"unapproved": 1}
    assert world.state(due) is State.DELETED
    assert {world.state(key) for key in early} == {State.ACTIVE}
    world.sweep()
    assert {world.state(key) for key in early} == {State.DELETED}
