"""A soft delete is taken back, mark upstream included, and the thread is kept for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sweep_world import DAY, NOW, World, enforced

from janitor.emulator import Fault, How
from janitor.engine.context import RunContext
from janitor.engine.executor import SOFT_DELETE_MARK
from janitor.engine.restore import Restored, chosen, restore
from janitor.errors import ConfigError
from janitor.model import Key, Kind, Mode, State
from janitor.policy.rules import (
    ArchiveRule,
    Delete,
    DeletionMark,
    Limits,
    Policies,
    Policy,
    SoftDelete,
)

MARKED = Policy(
    "marked", soft_delete=SoftDelete(20 * DAY, DeletionMark.UPSTREAM), delete=Delete(30 * DAY)
)
COPIED_TOO = replace(MARKED, archive=ArchiveRule(after=DAY))


UNKNOWN = {"error": {"type": "invalid_request_error", "message": "No such thing", "code": None}}
BUSY = {"error": {"type": "conflict", "message": "Another process works on it", "code": None}}
ERRORS = 3


def soft_deleted(world: World, kind: Kind = Kind.CONVERSATION, policy: Policy = MARKED) -> Key:
    world.policies = enforced(policy)
    key = world.add(kind, upstream={"own": "1"})
    world.sweep()
    assert world.state(key) is State.SOFT_DELETED
    return key


def restored(world: World, ids: Sequence[str], keep: timedelta = 30 * DAY) -> Restored:
    async def work(context: RunContext) -> Restored:
        return await restore(context, chosen(context, ids), keep)

    return world.run(work)


@pytest.mark.parametrize("kind", Kind)
def test_it_is_active_again_and_its_mark_is_gone(world: World, kind: Kind) -> None:
    key = soft_deleted(world, kind)
    run = restored(world, [key.id]).run
    thread = world.entry(key).thread
    assert (thread.state, thread.soft_deleted_at) == (State.ACTIVE, None)
    assert thread.keep_until == NOW + 30 * DAY
    assert SOFT_DELETE_MARK not in world.server.metadata(key.id)
    assert world.story(key) == ["soft_deleted", "restored"]
    assert (run.command, run.result) == ("restore", "done")


def test_nothing_of_it_is_removed_while_it_is_kept(world: World) -> None:
    key = soft_deleted(world)
    restored(world, [key.id])
    world.advance(30 * DAY - timedelta(microseconds=1))
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert world.server.metadata(key.id) == {"own": "1"}
    world.advance(timedelta(microseconds=1))
    world.sweep()
    assert world.state(key) is State.SOFT_DELETED


def test_with_a_copy_it_is_archived_again(world: World) -> None:
    key = soft_deleted(world, policy=COPIED_TOO)
    restored(world, [key.id])
    assert world.state(key) is State.ARCHIVED


def test_a_date_to_keep_until_is_only_put_off(world: World) -> None:
    key = soft_deleted(world)
    world.register(key, keep_until=NOW + 400 * DAY)
    restored(world, [key.id])
    assert world.entry(key).thread.keep_until == NOW + 400 * DAY


@pytest.mark.parametrize(
    ("id", "said"), [("conv_unknown", "not registered"), ("conv_active", "not soft-deleted")]
)
def test_what_cannot_be_restored_is_refused_before_anything_is_done(
    world: World, id: str, said: str
) -> None:
    key = soft_deleted(world)
    world.server.add_conversation(id="conv_active")
    world.register(Key("main", Kind.CONVERSATION, "conv_active"), active_at=world.now)
    with pytest.raises(ConfigError, match=said):
        restored(world, [key.id, id])
    assert world.state(key) is State.SOFT_DELETED
    assert [run.command for run in world.registry.runs.newest()] == ["sweep"]


def test_what_is_deleted_is_not_restored(world: World) -> None:
    key = soft_deleted(world)
    world.advance(10 * DAY)
    world.sweep()
    with pytest.raises(ConfigError, match="deleted"):
        restored(world, [key.id])


def test_the_marked_one_of_an_id_that_two_projects_have_is_meant(world: World) -> None:
    key = soft_deleted(world)
    world.register(replace(key, project="other"))
    entry = world.entry(key)
    restored(world, [key.id])
    assert world.state(entry.thread.key) is State.ACTIVE


def test_nothing_is_restored_under_audit(world: World) -> None:
    key = soft_deleted(world)
    world.policies = replace(world.policies, mode=Mode.AUDIT)
    with pytest.raises(ConfigError, match="audit"):
        restored(world, [key.id])


def test_a_mark_that_cannot_be_removed_leaves_it_as_it_is(world: World) -> None:
    key = soft_deleted(world)
    fault = Fault(How.STATUS, status=500, method="POST")
    with world.server.faulty(fault):
        found = restored(world, [key.id])
    assert (found.exit_code, found.done) == (1, ())
    assert "HTTP 500" in found.failed[key]
    assert world.state(key) is State.SOFT_DELETED
    assert world.registry.runs.newest()[0].result == "failed"
    assert world.registry.runs.unclosed() == []


@pytest.fixture
def several(world: World) -> list[Key]:
    """As many soft-deleted threads as may fail in a row, and one more."""
    world.policies = Policies(
        (MARKED,), mode=Mode.ENFORCE, limits=Limits(max_percent=100, max_errors=ERRORS)
    )
    keys = [world.add(upstream={"own": "1"}) for _ in range(ERRORS + 1)]
    world.sweep()
    assert {world.state(key) for key in keys} == {State.SOFT_DELETED}
    return keys


def test_a_project_that_fails_is_called_no_more_and_a_sweep_is_not_advised(
    world: World, several: list[Key]
) -> None:
    world.server.clear_log()
    with world.server.faulty(Fault(How.STATUS, status=500, method="POST")):
        found = restored(world, [key.id for key in several])
    posted = {entry.path for entry in world.server.log if entry.method == "POST"}
    assert len(posted) == ERRORS
    assert set(found.failed) == set(several)
    assert "nothing more of it is touched" in found.failed[several[-1]]
    assert "janitor sweep" not in " ".join(found.causes)  # it would delete what is to be restored


@pytest.mark.parametrize(("status", "body"), [(404, UNKNOWN), (409, BUSY)])
def test_threads_that_are_gone_or_busy_keep_no_other_from_being_restored(
    world: World, several: list[Key], status: int, body: dict[str, object]
) -> None:
    *odd, last = several
    for key in odd:
        world.server.add_fault(Fault(How.STATUS, path=f"*/{key.id}*", status=status, body=body))
    found = restored(world, [key.id for key in several])
    assert (found.done, set(found.failed)) == ((last,), set(odd))
    assert world.state(last) is State.ACTIVE
