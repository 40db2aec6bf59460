"""A soft delete marks, waits out the undo window, and is undone by activity."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sweep_world import DAY, NOW, World, enforced

from janitor.engine.executor import SOFT_DELETE_MARK
from janitor.model import Kind, Mode, State
from janitor.policy import Policies
from janitor.policy.rules import ArchiveRule, Delete, DeletionMark, Policy, SoftDelete


def marking(mark: DeletionMark = DeletionMark.REGISTRY) -> Policies:
    return enforced(
        Policy("marked", soft_delete=SoftDelete(20 * DAY, mark), delete=Delete(30 * DAY))
    )


@pytest.mark.parametrize("mark", DeletionMark)
@pytest.mark.parametrize("kind", [Kind.CONVERSATION, Kind.AGENT_SESSION, Kind.THREAD])
def test_marked_first_and_deleted_once_the_undo_window_is_over(
    world: World, mark: DeletionMark, kind: Kind
) -> None:
    world.policies = marking(mark)
    key = world.add(kind, upstream={"own": "1"})
    world.sweep()
    assert world.state(key) is State.SOFT_DELETED
    assert world.entry(key).thread.soft_deleted_at == NOW
    marks = {SOFT_DELETE_MARK: NOW.isoformat(timespec="seconds")}
    expected = {"own": "1"} | (marks if mark is DeletionMark.UPSTREAM else {})
    assert world.server.metadata(key.id) == expected
    world.advance(10 * DAY - timedelta(seconds=1))
    world.sweep()
    assert world.state(key) is State.SOFT_DELETED
    world.advance(timedelta(seconds=1))
    world.sweep()
    assert world.state(key) is State.DELETED
    assert not world.server.exists(key.id)
    assert world.story(key) == ["soft_deleted", "deleted"]


def test_a_kind_without_metadata_is_marked_in_the_registry(world: World) -> None:
    world.policies = marking(DeletionMark.UPSTREAM)
    key = world.add(Kind.CHATKIT_THREAD)
    world.sweep()
    assert world.state(key) is State.SOFT_DELETED
    assert world.changing_calls() == []


def test_a_marked_copy_still_equals_what_is_upstream(world: World) -> None:
    world.policies = enforced(
        Policy(
            "all",
            archive=ArchiveRule(after=7 * DAY),
            soft_delete=SoftDelete(20 * DAY, DeletionMark.UPSTREAM),
            delete=Delete(30 * DAY),
        )
    )
    key = world.add()
    world.sweep()
    world.advance(10 * DAY)
    world.sweep()
    assert world.story(key) == ["archived", "soft_deleted", "deleted"]


def test_activity_undoes_a_soft_delete(world: World) -> None:
    world.policies = marking()
    key = world.add()
    world.sweep()
    world.advance(5 * DAY)
    world.server.append_item(key.id)
    world.advance(5 * DAY)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert world.entry(key).thread.soft_deleted_at is None
    assert "revived" in world.story(key)
    assert world.server.exists(key.id)
    world.advance(30 * DAY)
    world.sweep()
    world.advance(10 * DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_reported_activity_undoes_a_soft_delete(world: World) -> None:
    world.policies = marking()
    key = world.add()
    world.sweep()
    world.advance(5 * DAY)
    world.registry.registrations.touch([(key, world.now)])
    world.advance(5 * DAY)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert "revived" in world.story(key)


def test_under_audit_no_mark_is_taken_back(world: World) -> None:
    world.policies = marking(DeletionMark.UPSTREAM)
    key = world.add()
    world.sweep()
    world.advance(5 * DAY)
    world.server.append_item(key.id)
    world.advance(5 * DAY)
    world.policies = replace(world.policies, mode=Mode.AUDIT)
    world.sweep()
    assert len(world.changing_calls()) == 1
    assert SOFT_DELETE_MARK in world.server.metadata(key.id)
