"""An export that is the look: what it shows last decides nothing before a second reading agrees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, OLD, World, enforced, matching

from janitor.emulator import Fault, How
from janitor.engine.export import LONGEST
from janitor.kinds import CATALOGUE
from janitor.model import Key, Kind, Mode, State
from janitor.policy.rules import ArchiveRule, KeepLast, Limits, Policy, SoftDelete

COPY = ArchiveRule(after=7 * DAY, keep_for=90 * DAY)
ARCHIVED = Policy("archived", match=matching(team="a"), archive=COPY)
MARKED = Policy("marked", soft_delete=SoftDelete(after=20 * DAY))
WITH_METADATA = [kind for kind in Kind if CATALOGUE[kind].has_metadata]


def ends_early(part: str) -> Fault:
    return Fault(How.ENDS_EARLY, path=f"*/{part}")


def kept(world: World, key: Key, items: int) -> bool:
    return len(world.server.items(key.id)) == items and world.changing_calls() == []


@pytest.mark.parametrize("policy", [DELETED, MARKED], ids=lambda one: str(one.name))
@pytest.mark.parametrize("kind", WITH_METADATA)
def test_a_list_that_ends_early_decides_nothing_where_no_copy_is_made_after_all(
    world: World, kind: Kind, policy: Policy
) -> None:
    """The application said team a, whose policy archives; the server says team b."""
    world.policies = enforced(ARCHIVED, policy)
    key = world.add(kind, items=130, metadata={"team": "a"}, upstream={"team": "b"})
    with world.server.faulty(ends_early(CATALOGUE[kind].items_path)):
        world.sweep()
    assert kept(world, key, 130)
    assert world.state(key) is State.ACTIVE


@pytest.mark.parametrize("policy", [CHATS, DELETED], ids=lambda one: str(one.name))
@pytest.mark.parametrize("pages", [1, 2, None])
def test_a_list_of_half_the_items_removes_none(
    world: World, policy: Policy, pages: int | None
) -> None:
    world.policies = enforced(policy)
    key = world.add(items=50)
    cut = Fault(How.TRUNCATED, "GET", CATALOGUE[key.kind].items_path.join(("*/", "")), times=pages)
    with world.server.faulty(cut):
        world.sweep()
    assert kept(world, key, 50)


@pytest.mark.parametrize("status", ["in_progress", "completed"])
def test_a_list_of_runs_that_ends_early_hides_no_run(world: World, status: str) -> None:
    key = world.add(Kind.THREAD, items=3)
    runs = [world.server.start_run(key.id, "completed") for _ in range(130)]
    runs.append(world.server.start_run(key.id, status))
    known = world.server._world.named(key.id)
    for one in (*known.runs.values(), *known.items.values()):
        one["created_at"] = int(OLD.timestamp())
    if status == "completed":
        known.runs[runs[-1]]["created_at"] = int((NOW - DAY).timestamp())
    with world.server.faulty(ends_early("runs")):
        world.sweep()
    assert world.server.exists(key.id)
    assert world.changing_calls() == []


@pytest.mark.parametrize(("items", "exports"), [(130, 1), (LONGEST + 1, 2)])
def test_a_thread_too_long_for_a_look_is_probed_and_copied_whole(
    world: World, items: int, exports: int
) -> None:
    world.policies = enforced(COPIED)
    key = world.add(Kind.CHATKIT_THREAD, items=items)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    copy = world.entry(key).thread.copy
    assert copy is not None
    assert copy.items == items
    assert len(world.objects()) == 1
    probes = exports - 1
    assert sum(one.path.endswith(key.id) for one in world.server.log) == exports + probes


def test_a_part_that_cannot_be_exported_fails_its_thread_and_leaves_it_a_head(world: World) -> None:
    last = replace(CHATS, keep_last=KeepLast(1))
    world.policies = enforced(last, limits=Limits(max_percent=100))
    recent = NOW - 20 * DAY
    head = world.add(Kind.AGENT_SESSION, created_at=recent, active_at=recent)
    others = [world.add(Kind.AGENT_SESSION) for _ in range(3)]
    with world.server.faulty(Fault(How.STATUS, path=f"*/{head.id}/turns", status=500, body={})):
        world.sweep()
    assert world.story(head) == ["failed"]
    assert {world.state(key) for key in others} == {State.DELETED}


def test_in_audit_nothing_is_exported(world: World) -> None:
    world.policies = replace(enforced(CHATS, limits=Limits(max_percent=100)), mode=Mode.AUDIT)
    key = world.add(Kind.AGENT_SESSION)
    world.sweep()
    assert [one.path.rpartition("/")[2] for one in world.server.log] == [key.id, "items"]


def test_a_time_of_creation_that_differs_in_its_fraction_is_exported_once(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add(created_at=OLD)
    world.register(key, created_at=OLD.replace(microsecond=500_000))
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    assert sum(one.path.endswith(key.id) for one in world.server.log) == 1
