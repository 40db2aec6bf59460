"""The archive under attack: cut exports, older copies, a store that is gone."""

from __future__ import annotations

from sweep_world import CHATS, COPIED, DAY, NOW, World, enforced, path_of

from janitor.emulator import Fault
from janitor.model import State

RECENT = NOW - 10 * DAY


def test_an_older_copy_outlives_an_export_that_was_cut_short(world: World) -> None:
    world.policies = enforced(CHATS)
    key = world.add(items=4, created_at=RECENT, active_at=RECENT)
    world.sweep()
    [whole] = world.objects()
    world.server._world.named(key.id).metadata = {"title": "changed since"}
    world.advance(60 * DAY)
    world.sweep()
    assert not world.entry(key).thread.copy_is_current
    world.server.add_fault(Fault("truncated", path=f"{path_of(key)}/items", skip=1, times=1))
    world.sweep()
    assert world.server.exists(key.id)
    assert whole in world.objects()
    world.advance(DAY)  # longer than it rests after the failure
    world.sweep()
    assert world.state(key) is State.DELETED
    assert len(world.objects()) == 1


def test_what_is_only_copied_is_copied_again_after_activity_was_reported(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add(items=4, created_at=RECENT, active_at=RECENT)
    world.sweep()
    newest = world.server.append_item(key.id)
    world.advance(DAY)
    world.registry.registrations.touch([(key, world.now)])
    for _ in range(3):
        world.sweep()
        world.advance(8 * DAY)
    copy = world.entry(key).thread.copy
    assert copy is not None
    assert copy.newest_item == newest
