"""What changes between one look and the next, or between a look and its settlement."""

from __future__ import annotations

from sweep_world import DAY, DELETED, World, enforced, matching, path_of

from janitor.drivers.send_guard import LOOK_LASTS
from janitor.model import Kind, Mode, State
from janitor.policy.rules import Delete, Policy


def test_an_item_that_arrives_between_the_two_looks_of_a_first_sweep_keeps_it(
    world: World,
) -> None:
    world.policies = enforced(DELETED)
    key = world.add()

    def wait_and_say_more() -> None:
        world.uptime += LOOK_LASTS  # which the next look is for
        world.server.append_item(key.id)

    world.on("GET", f"{path_of(key)}/items", wait_and_say_more)
    world.hooks[-1].after = True
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.server.exists(key.id)
    assert world.state(key) is State.ACTIVE
    world.sweep()
    assert world.server.exists(key.id)
    world.advance(31 * DAY)
    world.sweep()
    assert not world.server.exists(key.id)


def test_what_is_imported_during_a_look_is_looked_at_again(world: World) -> None:
    world.policies = enforced(
        Policy("trial", match=matching(plan="trial"), delete=Delete(30 * DAY))
    )
    key = world.add(metadata={"plan": "none"})

    def again() -> None:
        world.advance(DAY / 86400)
        world.register(key, metadata={"plan": "trial"})

    world.on("GET", path_of(key), again)
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    world.advance(DAY)
    world.sweep()
    assert not world.server.exists(key.id)


def test_a_thread_that_moves_under_an_audited_policy_between_two_looks_stays(world: World) -> None:
    world.policies = enforced(
        Policy("acts", match=matching(plan="a"), delete=Delete(30 * DAY)),
        Policy("looks", match=matching(plan="b"), delete=Delete(30 * DAY), mode=Mode.AUDIT),
    )
    key = world.add(Kind.THREAD, metadata={"plan": "a"}, upstream={"plan": "a"})

    def move() -> None:
        world.uptime += LOOK_LASTS
        world.server._world.named(key.id).metadata = {"plan": "b"}

    world.on("GET", f"{path_of(key)}/runs", move)
    world.hooks[-1].after = True
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.server.exists(key.id)
