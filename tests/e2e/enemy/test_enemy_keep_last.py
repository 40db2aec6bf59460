"""Places in a `keep_last` group are those of this moment, whatever the registry last heard."""

from __future__ import annotations

from sweep_world import DAY, NOW, OLD, World, enforced

from janitor.model import Key, Kind, State
from janitor.policy.rules import AgeFrom, Delete, KeepLast, Policy


def test_a_thread_that_turns_out_to_be_the_most_recent_one_is_kept(world: World) -> None:
    rule = Policy("two", age_from=AgeFrom.CREATED, keep_last=KeepLast(2), delete=Delete(30 * DAY))
    world.policies = enforced(rule)
    for days in (2, 3, 4):
        world.add(active_at=NOW - days * DAY)
    added = world.server.add_thread(
        project="main", created_at=OLD, last_active_at=NOW - DAY, items=2
    )
    lately = Key("main", Kind.THREAD, added)
    world.register(lately, active_at=OLD)
    world.sweep()
    assert world.state(lately) is State.ACTIVE
    assert world.server.exists(lately.id)
