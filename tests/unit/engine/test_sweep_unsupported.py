"""A server that does not have a call: a failure with its remedy, and nothing was changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sweep_world import CHATS, DAY, DELETED, World, enforced, path_of

from janitor.emulator import Fault, How
from janitor.model import Kind, State
from janitor.policy.rules import Delete, DeletionMark, Items, Policy, SoftDelete

ITEMS = (
    "this server cannot delete items; `delete: {items: keep}` deletes only the conversation; its "
    "items stay if the server keeps them"
)
QUICK = Policy("quick", delete=Delete(30 * DAY, Items.KEEP))


def failed(world: World) -> dict[str, str | None]:
    return {one.thread.key.id: one.last_error for one in world.registry.threads.select(failed=True)}


@pytest.mark.slow
@pytest.mark.parametrize("policy", [CHATS, DELETED], ids=lambda one: str(one.name))
@pytest.mark.parametrize("status", [405, 501])
def test_a_server_that_cannot_delete_items_fails_every_thread_with_the_remedy(
    either_world: World, policy: Policy, status: int
) -> None:
    either_world.policies = enforced(policy)
    keys = [either_world.add(items=2) for _ in range(12)]  # more than `max_errors`
    lacks = Fault(How.STATUS, method="DELETE", path="/conversations/*/items/*", status=status)
    with either_world.server.faulty(lacks):
        report = either_world.sweep()
        assert (report.exit_code, report.stops) == (1, ())
        assert failed(either_world).keys() == {key.id for key in keys}
        assert all(ITEMS in str(error) for error in failed(either_world).values())
        assert all(either_world.entry(key).intent is None for key in keys)
        asked = len(either_world.changing_calls())
        either_world.sweep()
        assert len(either_world.changing_calls()) == asked, "they rest"
    assert all(len(either_world.server.items(key.id)) == 2 for key in keys)
    either_world.policies = enforced(QUICK)
    either_world.approve()
    either_world.advance(DAY)
    either_world.sweep()
    assert {either_world.state(key) for key in keys} == {State.DELETED}


@pytest.mark.slow
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("status", [405, 501])
def test_a_server_that_cannot_delete_the_container_says_so(
    world: World, kind: Kind, status: int
) -> None:
    world.policies = enforced(QUICK)
    key = world.add(kind)
    fault = Fault(How.STATUS, method="DELETE", path=path_of(key), status=status)
    with world.server.faulty(fault):
        report = world.sweep()
    assert report.exit_code == 1
    assert f"this server cannot delete {kind.replace('_', ' ')}s" in str(failed(world)[key.id])
    assert world.entry(key).intent is None
    assert world.server.exists(key.id)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CHATKIT_THREAD])
def test_a_server_that_cannot_write_metadata_names_the_other_mark(world: World, kind: Kind) -> None:
    marked = replace(DELETED, soft_delete=SoftDelete(20 * DAY, DeletionMark.UPSTREAM))
    world.policies = enforced(marked)
    key = world.add(kind)
    with world.server.faulty(Fault(How.STATUS, method="POST", path=path_of(key), status=405)):
        report = world.sweep()
    assert report.exit_code == 1
    assert "`soft_delete: {mark: registry}`" in str(failed(world)[key.id])
    assert world.state(key) is State.ACTIVE


def test_items_that_are_gone_leave_the_removal_open(world: World) -> None:
    """Emptied, but not deleted: it may not be taken as untouched."""
    key = world.add()
    fault = Fault(How.STATUS, method="DELETE", path=path_of(key), status=501)
    with world.server.faulty(fault):
        world.sweep()
    assert world.state(key) is State.DELETING
    assert "items are gone already" in str(failed(world)[key.id])
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED
