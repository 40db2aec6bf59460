"""Who approves what, and from when on it counts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from edits import BY_NAME, CHATS, TWO, Chat
from sweep_world import DAY, World, enforced, path_of

from janitor.engine import redecide
from janitor.engine.apply import load
from janitor.engine.context import RunContext
from janitor.engine.plan import Plan, PlanScope
from janitor.engine.redecide import joined, under_approval
from janitor.errors import LimitError
from janitor.model import Key, Mode, State
from janitor.policy import Policies, policies_digest
from janitor.policy.rules import Delete, Policy
from janitor.registry import Approval

SHORTER = BY_NAME["a shorter after"]


def last(world: World) -> Approval:
    found = world.registry.policies.approval()
    assert found is not None
    return found


def pending(world: World, *ages: int) -> list[Key]:
    """Threads that go earlier by a shorter `after`, which a sweep has found and let wait."""
    world.policies = SHORTER.old
    keys = [Chat(age).put(world, later=0) for age in ages]
    world.sweep()
    world.policies = SHORTER.new
    report = world.sweep()
    assert report.unapproved is not None
    assert report.unapproved.threads == {"chats": len(ages)}
    assert report.kept.get("unapproved", 0) == sum(age >= 30 for age in ages)
    return keys


def written(made: Plan) -> Plan:
    """The plan as `apply` reads it from a file."""
    return load(json.dumps(made.document(), default=str).encode(), "plan.json")


def test_the_first_policies_are_approved_by_the_first_run_that_changes_anything(
    world: World,
) -> None:
    key = Chat(40).put(world)
    assert not world.plan().pending
    assert world.registry.policies.approval() is None
    world.policies = SHORTER.new
    assert world.sweep().unapproved is None
    assert (last(world).digest, last(world).actor) == (policies_digest(SHORTER.new), "janitor")
    assert last(world).reason == "the first policies"
    assert world.state(key) is State.DELETED


def test_apply_may_be_the_first_run(world: World) -> None:
    world.policies = SHORTER.new
    key = Chat(40).put(world)
    world.apply(written(world.plan()))
    assert world.state(key) is State.DELETED
    assert last(world).reason == "the first policies"


def test_applying_a_plan_approves_what_it_was_made_with(world: World) -> None:
    early, young = pending(world, 40, 2)
    made = written(world.plan())
    assert made.pending
    assert [row.key for row in made.decisions] == [early]
    report = world.apply(made)
    assert (report.exit_code, report.unapproved) == (0, None)
    assert (world.state(early), world.state(young)) == (State.DELETED, State.ACTIVE)
    assert last(world).reason == f"apply of plan {made.digest}"
    assert last(world).actor == "apply"
    assert not world.plan().pending
    assert world.apply(made).exit_code == 0


def test_a_plan_says_what_a_sweep_would_find_before_any_sweep_has(world: World) -> None:
    early = Chat(40).put(world)
    world.policies = SHORTER.old
    world.sweep()
    world.policies = SHORTER.new
    made = world.plan()
    digest = policies_digest(SHORTER.new)
    assert made.document()["approval"] == {
        "digest": digest,
        "pending": True,
        "threads": {"chats": 1},
        "command": f"janitor approve {digest[:12]} --reason '...'",
    }
    assert made.kept["unapproved"] == 1
    assert last(world).digest == policies_digest(SHORTER.old)
    world.apply(written(made))
    assert world.state(early) is State.DELETED


def test_a_plan_made_before_the_change_was_seen_as_pending_approves_nothing(world: World) -> None:
    world.policies = SHORTER.old
    world.sweep()
    world.policies = SHORTER.new
    made = written(world.plan())
    assert not made.pending
    early = Chat(40).put(world)
    world.apply(made)
    assert last(world).digest == policies_digest(SHORTER.old)
    assert world.plan().pending
    assert world.server.exists(early.id)


def test_an_approval_in_the_midst_of_a_run_counts_from_the_next_one(world: World) -> None:
    (early,) = pending(world, 40)
    due, other = Chat(60).put(world, later=0), Chat(41).put(world, later=0)
    world.on("DELETE", path_of(due), world.approve)
    report = world.sweep()
    assert (world.state(due), world.state(other)) == (State.DELETED, State.ACTIVE)
    assert report.unapproved is None  # nothing waits any more
    assert world.state(early) is State.ACTIVE
    world.sweep()
    assert {world.state(early), world.state(other)} == {State.DELETED}


def test_who_joins_a_run_goes_by_what_its_opener_went_by(world: World) -> None:
    pending(world, 40)
    world.approve()

    async def look(context: RunContext) -> tuple[Policies | None, Policies | None]:
        return joined(context).approved, under_approval(context).approved

    assert world.run(look) == (SHORTER.old, None)
    world.sweep()
    assert world.run(look) == (None, None)


def test_a_pass_that_was_cut_short_leaves_both_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.policies = SHORTER.old
    early = [Chat(40).put(world) for _ in range(3)]
    world.sweep()
    world.policies = SHORTER.new
    with monkeypatch.context() as patch:
        patch.setattr(redecide, "PAGE", 1)
        patch.setattr(type(world.registry.policies), "set_redecide_cursor", _die)
        with pytest.raises(DiedError):
            world.sweep()
    report = world.sweep()
    assert report.unapproved is not None
    assert report.unapproved.threads == {"chats": 3}
    assert {world.state(key) for key in early} == {State.ACTIVE}


class DiedError(BaseException):
    pass


def _die(*_: object) -> None:
    raise DiedError


@pytest.mark.parametrize("document", ["{}", '{"version": 2}', "not JSON"])
def test_approved_policies_that_cannot_be_read_stop_everything(world: World, document: str) -> None:
    world.policies = SHORTER.new
    due = Chat(90).put(world)
    world.registry.policies.approve(document, "d" * 64, actor="ops", reason="later", now=world.now)
    digest = policies_digest(SHORTER.new)
    made = world.signed(Plan(world.registry.id, digest, "enforce", world.now, False))
    for act in (world.sweep, world.plan, lambda: world.apply(made)):
        with pytest.raises(LimitError, match=r"nothing is removed.*janitor approve [0-9a-f]{12}"):
            act()
    assert world.changing_calls() == []
    assert world.registry.runs.unclosed() == []
    world.approve()
    world.sweep()
    assert world.state(due) is State.DELETED


def test_the_mode_needs_no_approval_but_what_was_tightened_in_audit_does(world: World) -> None:
    early, due = Chat(40).put(world, later=0), Chat(70).put(world, later=0)
    world.policies = replace(SHORTER.old, mode=Mode.AUDIT)
    world.sweep()
    world.policies = replace(SHORTER.new, mode=Mode.AUDIT)
    assert world.sweep().unapproved is not None
    assert (world.state(early), world.state(due)) == (State.ACTIVE, State.ACTIVE)
    world.policies = SHORTER.new
    assert world.sweep().unapproved is not None
    assert (world.state(early), world.state(due)) == (State.ACTIVE, State.DELETED)
    world.policies = replace(SHORTER.new, mode=Mode.AUDIT)
    world.approve()
    world.sweep()
    world.policies = SHORTER.new
    assert world.sweep().unapproved is None
    assert world.state(early) is State.DELETED


def test_a_policy_that_only_the_approved_have_keeps_its_mode(world: World) -> None:
    old = Policy("slow", CHATS.match, delete=Delete(60 * DAY))
    context = world.run(_same)
    audited = enforced(replace(old, mode=Mode.AUDIT))
    both = replace(context, policies=enforced(CHATS), approved=audited)
    assert both.mode_of("slow") is Mode.AUDIT
    assert both.mode_of("chats") is both.mode_of("lifetime.max") is Mode.ENFORCE
    assert both.side_of("slow") is audited


async def _same(context: RunContext) -> RunContext:
    return context


def test_offline_and_online_plans_agree_on_what_waits(world: World) -> None:
    (early,) = pending(world, 40)
    for scope in (PlanScope(), PlanScope(offline=True)):
        made = world.plan(scope)
        (row,) = made.decisions
        assert (row.key, row.reason, row.probed) == (early, "unapproved", not scope.offline)


def test_what_a_limit_forbids_is_forbidden_once_approved(world: World) -> None:
    early = pending(world, 40, 41)
    world.policies = replace(SHORTER.new, limits=replace(SHORTER.new.limits, max_threads=1))
    assert world.sweep().exit_code == 0
    world.approve()
    assert world.sweep().exit_code == 4
    assert {world.state(key) for key in early} == {State.ACTIVE}


def test_policies_that_tighten_no_registered_thread_take_effect_at_once(world: World) -> None:
    world.policies = SHORTER.old
    world.sweep()
    world.policies = SHORTER.new
    assert world.sweep().unapproved is None
    assert last(world).reason == "tightens nothing"
    early = Chat(40).put(world)
    world.sweep()
    assert world.state(early) is State.DELETED


def test_an_approval_between_looking_and_recording_stands(world: World) -> None:
    world.policies = SHORTER.old
    world.sweep()
    world.policies = enforced(replace(CHATS, delete=TWO), Policy("more", delete=TWO))
    approve_after = world.registry.policies.approve_after

    def late(*args: object, **said: object) -> bool:
        world.policies, configured = SHORTER.new, world.policies
        world.approve()
        world.policies = configured
        return bool(approve_after(*args, **said))  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.registry.policies, "approve_after", late)
        report = world.sweep()
    assert last(world).digest == policies_digest(SHORTER.new)
    assert report.unapproved is not None
    assert report.unapproved.threads == {}
