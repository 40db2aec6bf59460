"""I2: a registry that is another one by now removes nothing more, at whatever moment that shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from postgres import Server
from sqlalchemy import text
from sweep_world import DAY, DELETED, World, enforced, path_of, world_in

from janitor.errors import StoreError
from janitor.model import State
from janitor.policy.rules import DeletionMark, Policy, SoftDelete

MARKED = Policy("marked", soft_delete=SoftDelete(30 * DAY, mark=DeletionMark.UPSTREAM))


@pytest.fixture
def world(world: World) -> World:
    world.policies = enforced(DELETED)
    return world


@pytest.fixture
def shared(tmp_path: Path, postgres: Server) -> Iterator[World]:
    with postgres.registry() as name, world_in(tmp_path, postgres.url(name)) as made:
        made.policies = enforced(DELETED)
        yield made


def put_a_copy_there(world: World) -> None:
    """What a person does who restores a backup under a running service."""
    path, copy = world.root / "janitor.db", world.root / "copy.db"
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    path.rename(world.root / "old.db")
    copy.rename(path)


def put_back(world: World) -> None:
    (world.root / "janitor.db").unlink()
    (world.root / "old.db").rename(world.root / "janitor.db")


def rename(world: World, id: str) -> None:
    with world.registry.store.database.engine.begin() as connection:
        connection.execute(text("UPDATE meta SET value = :id WHERE key = 'id'"), {"id": id})


@pytest.mark.parametrize("skip", range(3))
def test_a_file_replaced_before_the_call_stops_it(world: World, skip: int) -> None:
    key = world.add(items=120)  # one list for the look, two pages before the first call
    world.on("GET", f"{path_of(key)}/items", lambda: put_a_copy_there(world), skip=skip)
    with pytest.raises(StoreError, match="replaced by another file while in use"):
        world.sweep()
    assert world.changing_calls() == []
    with pytest.raises(StoreError, match="replaced by another file"):
        world.sweep()
    put_back(world)
    world.sweep()
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_file_replaced_between_items_keeps_the_rest(world: World) -> None:
    key = world.add(items=120)
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: put_a_copy_there(world))
    with pytest.raises(StoreError, match="replaced by another file"):
        world.sweep()
    assert len(world.server.items(key.id)) >= 20
    assert world.server.exists(key.id)
    put_back(world)
    assert world.state(key) is State.DELETING


def test_a_mark_upstream_is_not_written_either(world: World) -> None:
    world.policies = enforced(MARKED)
    key = world.add(items=0)
    world.on("GET", f"{path_of(key)}/items", lambda: put_a_copy_there(world))
    with pytest.raises(StoreError, match="replaced by another file"):
        world.sweep()
    assert world.changing_calls() == []


@pytest.mark.slow
@pytest.mark.parametrize("skip", range(3))
def test_a_database_behind_the_same_name_with_another_id_stops_it(shared: World, skip: int) -> None:
    key = shared.add(items=120)
    shared.on("GET", f"{path_of(key)}/items", lambda: rename(shared, "f" * 32), skip=skip)
    with pytest.raises(StoreError, match="contains another registry, not the one in use"):
        shared.sweep()
    assert shared.changing_calls() == []
    with pytest.raises(StoreError, match="contains another registry"):
        shared.sweep()
    rename(shared, shared.registry.id)
    shared.sweep()
    shared.sweep()
    assert shared.state(key) is State.DELETED
