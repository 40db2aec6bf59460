"""Soft deletes and how they are undone."""

from __future__ import annotations

from sweep_world import DAY, World, enforced, path_of

from janitor.engine.context import RunContext
from janitor.engine.executor import SOFT_DELETE_MARK
from janitor.engine.restore import Restored, chosen, restore
from janitor.errors import ConfigError
from janitor.model import Key, Kind, State
from janitor.policy.rules import Delete, DeletionMark, Lifetime, Policy, SoftDelete

MARKED = Policy(
    "marked", soft_delete=SoftDelete(20 * DAY, mark=DeletionMark.UPSTREAM), delete=Delete(90 * DAY)
)


def test_activity_that_undoes_a_soft_delete_takes_the_mark_upstream_back(world: World) -> None:
    world.policies = enforced(MARKED)
    key = world.add(upstream={"plan": "trial"})
    world.sweep()
    assert SOFT_DELETE_MARK in world.server.metadata(key.id)
    world.advance(DAY)
    world.server.append_item(key.id)
    world.registry.registrations.touch([(key, world.now)])
    world.register(key, metadata={"said": "again"})
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert world.server.metadata(key.id) == {"plan": "trial"}
    assert "revived" in world.story(key)


def test_restoring_what_no_project_serves_any_more_is_refused_in_words(world: World) -> None:
    world.policies = enforced(MARKED)
    key = world.add()
    world.sweep()
    assert world.state(key) is State.SOFT_DELETED
    world.kinds = frozenset({Kind.THREAD})

    async def work(context: RunContext) -> Restored:
        return await restore(context, chosen(context, [key.id]), 30 * DAY)

    found = world.run(work)
    assert found.exit_code == ConfigError.exit_code
    assert "conversation" in found.failed[key]
    assert world.state(key) is State.SOFT_DELETED


def restored(world: World, key: Key) -> None:
    async def work(context: RunContext) -> None:
        await restore(context, chosen(context, [key.id]), 30 * DAY)

    world.run(work)


def test_a_date_to_keep_until_that_comes_during_a_restore_is_not_shortened(world: World) -> None:
    world.policies = enforced(MARKED)
    key = world.add()
    world.sweep()
    later = world.now + 300 * DAY
    world.on("POST", path_of(key), lambda: world.register(key, keep_until=later))
    restored(world, key)
    assert all(hook.happened for hook in world.hooks)
    assert world.entry(key).thread.keep_until == later


def test_a_restored_thread_is_deleted_at_the_ceiling_all_the_same(world: World) -> None:
    world.policies = enforced(MARKED, lifetime=Lifetime(max=70 * DAY))
    key = world.add()
    world.sweep()
    restored(world, key)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    world.advance(10 * DAY)
    world.sweep()
    assert not world.server.exists(key.id)
