"""I6: a plan changes nothing anywhere; under audit a sweep only records what it saw."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sweep_world import CHATS, DAY, DELETED, NOW, World, enforced, matching

from janitor.emulator import Fault, How
from janitor.engine.context import RunContext
from janitor.engine.plan import PlanScope
from janitor.errors import AccessError
from janitor.model import Hold, Key, Kind, Mode, Stage, State
from janitor.policy import Policies
from janitor.policy.rules import Delete, Limits, Policy
from janitor.registry import Registry

AUDITED = Policies((CHATS,), mode=Mode.AUDIT)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_plan_leaves_every_byte_as_it_is(world: World) -> None:
    for kind in Kind:
        world.add(kind)
    world.registry.close()
    before = contents(world.root)
    world.registry = Registry.open(world.url, read_only=True)
    made = world.plan()
    world.registry.close()
    assert contents(world.root) == before
    assert len(made.decisions) == 4
    assert {one.method for one in world.server.log} == {"GET"}


def test_a_plan_after_a_death_leaves_every_byte_as_it_is(world: World) -> None:
    world.add()
    world.die_at("DELETE", "*")
    world.sweep_and_die()
    before = contents(world.root)
    kept, world.registry = world.registry, Registry.open(world.url, read_only=True)
    world.server.clear_log()
    world.plan()
    world.registry.close()
    world.registry = kept
    assert contents(world.root) == before
    assert world.changing_calls() == []


def test_a_plan_says_what_the_sweep_then_does(world: World) -> None:
    keys = [world.add(kind) for kind in Kind]
    young = world.add(created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    held = world.add(metadata={"case": "7"})
    world.registry.holds.add(Hold("court", metadata={"case": "7"}), world.now)
    made = world.plan()
    said = {one.key: one.stages for one in made.decisions}
    both = (Stage.ARCHIVE, Stage.DELETE)
    assert said == dict.fromkeys(keys, both) | {young: both[:1], held: both[:1]}
    world.sweep()
    done = {key: world.story(key) for key in said}
    names = {Stage.ARCHIVE: "archived", Stage.DELETE: "deleted"}
    assert done == {key: [names[stage] for stage in stages] for key, stages in said.items()}


def test_a_plan_counts_why_others_are_kept(world: World) -> None:
    world.policies = enforced(DELETED)
    world.add(active_at=NOW)
    world.register(Key("elsewhere", Kind.THREAD, "thread_1"))
    world.register(Key("main", Kind.THREAD, "thread_unknown"))
    made = world.plan()
    assert dict(made.kept) == {"not_due": 1, "not_served": 1, "missing": 1}
    assert [one.reason for one in world.plan(PlanScope(everything=True)).decisions] == ["not_due"]


def test_a_plan_shows_a_limit_without_tripping_over_it(world: World) -> None:
    world.policies = enforced(CHATS, limits=Limits(max_threads=1))
    keys = [world.add() for _ in range(2)]
    made = world.plan()
    assert made.document()["limits"]["tripped"] is True
    assert {one.key for one in made.decisions} == set(keys)


def test_an_offline_plan_asks_nobody(world: World) -> None:
    world.add()
    made = world.plan(PlanScope(offline=True))
    assert world.server.log == []
    assert (made.not_probed, len(made.decisions)) == (1, 1)


def test_a_plan_probes_no_more_than_it_may(world: World) -> None:
    for _ in range(5):
        world.add(Kind.CHATKIT_THREAD)
    made = world.plan(PlanScope(probes=2))
    assert made.not_probed == 3
    assert len({one.path.split("/")[3] for one in world.server.log}) == 2


def test_a_plan_under_a_new_policy_sees_all(world: World) -> None:
    world.policies = enforced(Policy("later", delete=Delete(400 * DAY)))
    key = world.add()
    world.sweep()
    world.policies = enforced(DELETED)
    assert [one.key for one in world.plan().decisions] == [key]


def test_a_plan_does_not_hide_a_refused_credential(world: World) -> None:
    world.add()
    world.keys["main"] = "sk-wrong"
    made = world.plan()
    assert made.exit_code == AccessError.exit_code
    assert (len(made.decisions), dict(made.kept)) == (0, {"not_asked": 1})
    assert "HTTP 401" in made.troubles[0]


def test_a_plan_counts_what_did_not_answer(world: World) -> None:
    world.add()
    with world.server.faulty(Fault(How.STATUS, status=500)):
        assert dict(world.plan().kept) == {"failed": 1}


def test_drivers_of_a_dry_run_refuse_to_change_anything(world: World) -> None:
    key = world.add()

    async def remove(context: RunContext) -> None:
        await context.projects["main"].drivers[key.kind].delete(key.id)

    with pytest.raises(RuntimeError):
        world.run(remove, changing=False)
    assert world.server.exists(key.id)


@pytest.mark.parametrize("kind", Kind)
def test_under_audit_facts_are_recorded_and_nothing_is_changed(world: World, kind: Kind) -> None:
    world.policies = AUDITED
    key = world.add(kind)
    report = world.sweep()
    entry = world.entry(key)
    assert entry.thread.state is State.ACTIVE
    assert entry.sightings.baseline_at == NOW
    assert entry.sightings.newest_item == world.server.items(key.id)[-1]["id"]
    assert (entry.policy, entry.due_at) == ("chats", NOW - 53 * DAY)
    assert world.objects() == []
    assert world.changing_calls() == []
    assert dict(report.kept) == {"audit": 1}
    assert world.reasons(key) == ["audit"]
    assert report.exit_code == 0


def test_what_audit_kept_is_done_once_it_is_enforced(world: World) -> None:
    world.policies = AUDITED
    key = world.add()
    for _ in range(3):
        world.sweep()
        world.advance(DAY)
    assert world.state(key) is State.ACTIVE
    world.policies = enforced(CHATS)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_one_policy_alone_may_be_in_audit(world: World) -> None:
    trial = Policy("trial", match=matching(plan="trial"), delete=Delete(DAY), mode=Mode.AUDIT)
    world.policies = enforced(trial, replace(DELETED, match=matching(plan="paid")))
    audited = world.add(metadata={"plan": "trial"})
    deleted = world.add(metadata={"plan": "paid"})
    world.sweep()
    assert (world.state(audited), world.state(deleted)) == (State.ACTIVE, State.DELETED)


def test_a_first_sight_under_audit_starts_the_clock(world: World) -> None:
    world.policies = AUDITED
    key = world.add(active_at=None)
    world.sweep()
    world.policies = enforced(CHATS)
    world.advance(30 * DAY - timedelta(microseconds=1))
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    world.advance(timedelta(microseconds=1))
    world.sweep()
    assert world.state(key) is State.DELETED
