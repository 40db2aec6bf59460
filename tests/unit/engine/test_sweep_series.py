"""A series keeps an older copy for as long as it alone holds something."""

from __future__ import annotations

from urllib.request import Request, urlopen

from sweep_world import COPIED, DAY, World, enforced

from janitor.model import Key, Record, State


def take_away(world: World, key: Key, item: str) -> None:
    """What the application, or a removal that was cut short, may do to a conversation."""
    url = f"{world.base_url}/conversations/{key.id}/items/{item}"
    headers = {"Authorization": f"Bearer {world.keys['main']}"}
    with urlopen(Request(url, method="DELETE", headers=headers)) as reply:  # noqa: S310
        assert reply.status == 200


def test_an_older_copy_stays_while_it_alone_holds_an_item(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add(items=3)
    world.sweep()
    [first] = world.objects()
    older = world.registry.threads.get(key)
    assert older is not None
    assert older.thread.copy is not None
    parts = world.archive.read(older.thread.copy.path)
    items = [part.id for part in parts if isinstance(part, Record) and part.is_item]
    take_away(world, key, items[0])
    world.server.append_item(key.id)
    world.advance(30 * DAY)
    world.sweep()
    world.advance(30 * DAY)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    assert first in world.objects()
    assert len(world.objects()) == 2
