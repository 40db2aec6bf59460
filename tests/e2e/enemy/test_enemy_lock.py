"""One registry under two names is still one registry."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sweep_world import World

from janitor.errors import LockedError
from janitor.registry import Registry


def test_a_link_to_the_registry_is_locked_with_it(world: World) -> None:
    link = world.root / "link.db"
    link.symlink_to(world.root / "janitor.db")
    with (
        world.registry.lock(timedelta()),
        Registry.open(f"sqlite:///{link}") as other,
        pytest.raises(LockedError),
        other.lock(timedelta()),
    ):
        pass
