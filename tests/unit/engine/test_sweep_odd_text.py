"""I8: text of a server's that no database stores concerns its thread alone, on either engine."""

from __future__ import annotations

import json
from typing import Any

from sweep_world import OLD, World, path_of

from janitor.emulator import Fault, How
from janitor.model import Key, State

SECRET = "sesame"  # noqa: S105 - what no message may quote
WIDE = "\U00020000"
METADATA: dict[str, Any] = {
    "a NUL": {"plan": f"{SECRET}\0"},
    "a NUL in a key": {f"{SECRET}\0": "trial"},
    "half a character": {"plan": f"{SECRET}\ud800"},
    "half a character in a key": {f"{SECRET}\udfff": "trial"},
    "more than an index takes": {WIDE * 64: WIDE * 512},
    "a long value": {"plan": SECRET * 100},
    "a long key": {SECRET * 100: "trial"},
    "no key": {"": SECRET},
    "many": {f"{SECRET}{n}": "x" for n in range(65)},
}
ITEM_IDS = {"a NUL": "msg_\0", "half a character": "msg_\ud800"}


def container(key: Key, metadata: object) -> bytes:
    body = {"id": key.id, "object": "conversation", "created_at": int(OLD.timestamp())}
    return json.dumps({**body, "metadata": metadata}).encode()


def page(item: str) -> bytes:
    item_body = {"id": item, "type": "message", "role": "user", "content": []}
    said = {"object": "list", "data": [item_body], "has_more": False, "last_id": item}
    return json.dumps(said).encode()


def test_metadata_that_cannot_be_stored_concerns_its_own_thread(either_world: World) -> None:
    world = either_world
    odd = {name: world.add() for name in METADATA}
    good = world.add()
    for name, key in odd.items():
        body = container(key, METADATA[name])
        world.server.add_fault(
            Fault(How.STATUS, status=200, method="GET", path=path_of(key), body=body)
        )
    _requires_failures_of_their_own(world, list(odd.values()), good)


def test_item_ids_that_cannot_be_stored_concern_their_own_thread(either_world: World) -> None:
    world = either_world
    odd = [(world.add(), item) for item in ITEM_IDS.values()]
    good = world.add()
    for key, item in odd:
        path = f"{path_of(key)}/items"
        world.server.add_fault(
            Fault(How.STATUS, status=200, method="GET", path=path, body=page(item))
        )
    _requires_failures_of_their_own(world, [key for key, _ in odd], good)


def _requires_failures_of_their_own(world: World, odd: list[Key], good: Key) -> None:
    report = world.sweep()
    assert world.state(good) is State.DELETED
    assert report.exit_code == 1
    for key in odd:
        entry = world.entry(key)
        assert (entry.thread.state, entry.thread.upstream) == (State.ACTIVE, None)
        assert key.id in str(entry.last_error)
        assert SECRET not in str(entry.last_error)
