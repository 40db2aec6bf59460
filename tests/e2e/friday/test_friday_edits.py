"""Policies changed on a Friday evening: what was promised goes on, what got earlier waits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edits import BY_NAME, COPIED, EDITS, Chat, Edit
from sweep_world import DAY, World, enforced

from janitor.model import Key, Stage, State
from janitor.policy import Policies, policies_digest
from janitor.policy.rules import Delete, Policy

GONE = frozenset({State.DELETED, State.SOFT_DELETED})
EACH = pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)


def edited(world: World, edit: Edit) -> tuple[Key, Key]:
    """A world swept under the old policies, whose file has changed since: early and due."""
    world.policies = edit.old
    early, due = edit.early.put(world), edit.due.put(world)
    for other in edit.others:
        other.put(world)
    world.sweep()
    assert not GONE & {world.state(early), world.state(due)}
    world.advance(DAY)
    world.policies = edit.new
    return early, due


def reasons(world: World) -> dict[Key, tuple[str | None, tuple[Stage, ...]]]:
    return {row.key: (row.reason, row.stages) for row in world.plan().decisions}


@EACH
def test_a_tightening_waits_until_it_is_approved(world: World, edit: Edit) -> None:
    waits_until_approved(world, edit)


@pytest.mark.parametrize("name", ["a lower keep_last", "a dropped keep: forever"])
def test_so_it_does_on_postgresql(postgres_world: World, name: str) -> None:
    waits_until_approved(postgres_world, BY_NAME[name])


def waits_until_approved(world: World, edit: Edit) -> None:
    early, due = edited(world, edit)
    report = world.sweep()
    assert (report.exit_code, report.run.result) == (0, "done")
    assert world.state(due) in GONE
    assert world.state(early) not in GONE
    assert world.server.exists(early.id)
    assert report.unapproved is not None
    assert report.unapproved.digest == policies_digest(edit.new)
    assert sum(report.unapproved.threads.values()) >= 1
    reason, stages = reasons(world)[early]
    assert reason == "unapproved"
    assert stages in ((Stage.DELETE,), (Stage.SOFT_DELETE,))
    world.approve()
    assert reasons(world)[early] == (None, stages)
    report = world.sweep()
    assert report.unapproved is None
    assert world.state(early) in GONE


@EACH
def test_an_edit_that_nobody_approves_changes_nothing(world: World, edit: Edit) -> None:
    early, _ = edited(world, edit)
    for _ in range(3):
        world.sweep()
        world.policies = edit.new
    assert world.state(early) not in GONE
    world.policies = edit.old
    assert world.sweep().unapproved is None
    assert world.registry.policies.unapproved() is None
    assert world.state(early) not in GONE


@EACH
def test_the_way_back_needs_no_approval(world: World, edit: Edit) -> None:
    key = replace(edit.early, idle=None).put(world, edit.early.age)
    world.policies = edit.new
    world.sweep()
    world.policies = edit.old
    assert world.sweep().unapproved is None
    last = world.registry.policies.approval()
    assert last is not None
    assert (last.digest, last.actor) == (policies_digest(edit.old), "janitor")
    assert not world.plan().pending
    assert world.state(key) is State.ACTIVE


def test_a_dropped_archive_still_copies_until_it_is_approved(either_world: World) -> None:
    world = either_world
    world.policies = enforced(COPIED)
    first, second = Chat(30).put(world), Chat(30).put(world, later=2)
    world.policies = enforced(Policy("chats", COPIED.match, delete=COPIED.delete))
    start = Policy("chats", COPIED.match, archive=COPIED.archive, delete=Delete(300 * DAY))
    approved_first(world, enforced(start))
    world.advance(DAY)
    assert world.sweep().unapproved is not None
    assert world.state(first) is world.state(second) is State.ARCHIVED
    world.approve()
    world.sweep()
    assert world.state(first) is State.DELETED
    world.advance(DAY)
    late = Chat(30).put(world, later=0)
    before = len(world.objects())
    world.sweep()
    assert world.state(second) is world.state(late) is State.DELETED
    assert len(world.objects()) == before


def approved_first(world: World, policies: Policies) -> None:
    """Let other policies be the ones that the registry saw first."""
    configured, world.policies = world.policies, policies
    world.approve()
    world.policies = configured


def test_a_thread_registered_later_is_under_both(world: World) -> None:
    edit = EDITS[0]
    edited(world, edit)
    world.sweep()
    early, due = edit.early.put(world), edit.due.put(world, later=0)
    world.sweep()
    assert (world.state(early), world.state(due)) == (State.ACTIVE, State.DELETED)
