"""Another process hashes stored metadata while a removal is under way: no hold is overlooked."""

from __future__ import annotations

import pytest
from sweep_world import DELETED, OLD, World, enforced, path_of

from janitor.errors import ConfigError
from janitor.model import Hold, State
from janitor.policy.stored_metadata import MetadataFilter
from janitor.registry import Registration, Registry

HASHING = MetadataFilter(frozenset({"user_id"}), frozenset({"user_id"}), b"s" * 32)
ALICE = {"user_id": "alice"}


def test_a_hold_whose_labels_were_hashed_meanwhile_still_keeps(world: World) -> None:
    world.policies = enforced(DELETED)
    world.registry.holds.add(Hold("court", metadata=ALICE), world.now)
    key = world.add(items=20, metadata={})

    def hash_and_report() -> None:
        with Registry.open(world.url, screen=HASHING) as other:
            other.registrations.add([Registration(key, OLD, metadata=ALICE)], world.now)

    world.on("DELETE", f"{path_of(key)}/items/*", hash_and_report, skip=8)
    with pytest.raises(ConfigError, match="now keeps other metadata"):
        world.sweep()
    assert world.hooks[0].happened
    assert world.server.exists(key.id)
    assert world.state(key) is State.DELETING
