"""Another process hashes stored metadata while a removal is under way: no hold is overlooked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import pytest
from sweep_world import DELETED, OLD, World, enforced, path_of

from janitor.errors import ConfigError
from janitor.model import Hold, Key, State
from janitor.policy.stored_metadata import MetadataFilter
from janitor.registry import Registration, Registry, RestrictionReader
from janitor.registry.sqlite import Sqlite
from janitor.registry.stored_metadata import StoredMetadata

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


class Died(Exception):  # noqa: N818 - it is no error of ours
    """The process that hashes ends here."""


def die(*_: object) -> None:
    raise Died


def test_a_pass_that_died_halfway_hides_no_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.policies = enforced(DELETED)
    world.registry.holds.add(Hold("court", metadata=ALICE), world.now)
    key = world.add(items=20, metadata={})

    def report_and_hash_rows_alone() -> None:
        with Registry.open(world.url) as other:
            other.registrations.add([Registration(key, OLD, metadata=ALICE)], world.now)
        with monkeypatch.context() as patched, suppress(Died):
            patched.setattr(StoredMetadata, "_screen_rest", die)
            Registry.open(world.url, screen=HASHING).close()

    world.on("DELETE", f"{path_of(key)}/items/*", report_and_hash_rows_alone, skip=8)
    with pytest.raises(ConfigError, match="now keeps other metadata"):
        world.sweep()
    assert world.hooks[0].happened
    assert world.server.exists(key.id)


def apart(work: Callable[[], None]) -> None:
    """Run it in a thread of its own, outside the transaction of this one."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize("at", range(1, 4))
def test_the_hold_on_a_twin_is_seen_though_labels_are_hashed_between_two_reads(
    either_world: World, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    world = either_world
    world.keys = {"main": "sk-main", "legal": "sk-main"}
    world.policies = enforced(DELETED)
    world.registry.holds.add(Hold("court", metadata=ALICE), world.now)
    key = world.add(items=3, metadata={})
    world.register(replace(key, project="legal"), metadata={})  # its row is worked on first
    read, reads = RestrictionReader.with_entries, list[Collection[Key]]()

    def report() -> None:
        with Registry.open(world.url) as other:
            other.registrations.add([Registration(key, OLD, metadata=ALICE)], world.now)

    def convert() -> None:
        Registry.open(world.url, screen=HASHING).close()

    def with_entries(reader: RestrictionReader, keys: Collection[Key], now: datetime) -> object:
        reads.extend([keys] if keys else [])
        if not keys or len(reads) != at:
            return read(reader, keys, now)
        apart(report)
        found = read(reader, keys, now)
        apart(convert)
        return found

    monkeypatch.setattr(RestrictionReader, "with_entries", with_entries)
    monkeypatch.setattr(Sqlite, "scrub", lambda _: None)  # it waits for whoever reads
    with suppress(ConfigError):
        world.sweep()
    assert len(reads) >= at
    assert world.server.exists(key.id)
