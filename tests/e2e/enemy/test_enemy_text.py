"""Text that models do emit and few parsers take: half of a surrogate pair."""

from __future__ import annotations

import json

from sweep_world import CHATS, World, enforced, path_of

from janitor.emulator import Fault
from janitor.model import Record, State

HALF = "\ud83d"


def page(world: World, key_id: str) -> str:
    items = [{**item, "note": HALF} for item in world.server.items(key_id)]
    ids = {"first_id": items[0]["id"], "last_id": items[-1]["id"]}
    return json.dumps({"object": "list", "data": items, "has_more": False, **ids})


def test_half_a_character_is_copied_as_it_is_and_deleted_with_the_rest(world: World) -> None:
    world.policies = enforced(CHATS)
    key = world.add(items=1)
    path = f"{path_of(key)}/items"
    headers = {"content-type": "application/json"}
    world.server.add_fault(
        Fault("status", "GET", path, status=200, body=page(world, key.id), headers=headers, times=2)
    )
    world.sweep()
    assert world.state(key) is State.DELETED
    copy = world.entry(key).thread.copy
    assert copy is not None
    [item] = [one for one in world.archive.read(copy.path) if isinstance(one, Record)][1:]
    assert json.loads(item.body)["note"] == HALF


def test_half_a_character_in_an_id_or_in_metadata_is_one_threads_failure(world: World) -> None:
    world.policies = enforced(CHATS)
    odd, fine = world.add(items=1), world.add()
    body = json.dumps(
        {"id": odd.id, "object": "conversation", "created_at": 1, "metadata": {"a": HALF}}
    )
    headers = {"content-type": "application/json"}
    world.server.add_fault(
        Fault("status", "GET", path_of(odd), status=200, body=body, headers=headers)
    )
    assert world.sweep().exit_code == 1
    assert (world.state(odd), world.state(fine)) == (State.ACTIVE, State.DELETED)
