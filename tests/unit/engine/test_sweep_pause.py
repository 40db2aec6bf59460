"""A pause is obeyed at once: before a look, before a removal, and in the midst of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, World, enforced, matching, path_of

from janitor.app.run_log import paused_messages
from janitor.drivers.send_guard import LOOK_LASTS
from janitor.engine.pauses import message, note, noted
from janitor.model import Key, State
from janitor.policy.rules import Delete, DeletionMark, Limits, Policy, SoftDelete
from janitor.registry import Pause, RunResult

MARKED = Policy("marked", soft_delete=SoftDelete(20 * DAY, DeletionMark.UPSTREAM))
EVERYTHING, PROJECT, POLICY = "all", "project:main", "policy:deleted"


@pytest.fixture
def world(world: World) -> World:
    world.policies = enforced(DELETED)
    return world


def pause(world: World, scope: str = EVERYTHING) -> None:
    world.registry.pauses.add(Pause(scope, "a look first", "ops", world.now))


@pytest.mark.parametrize("scope", [EVERYTHING, PROJECT, POLICY])
def test_what_is_paused_is_not_even_asked_for(world: World, scope: str) -> None:
    key = world.add()
    pause(world, scope)
    assert world.sweep().kept == {"paused": 1}
    assert not [one for one in world.server.log if key.id in one.path]
    world.registry.pauses.end(scope)
    world.sweep()
    assert world.state(key) is State.DELETED


@pytest.mark.parametrize("scope", [EVERYTHING, PROJECT, POLICY])
def test_a_pause_during_the_first_look_is_found_before_anything_is_intended(
    world: World, scope: str
) -> None:
    key = world.add()
    world.on("GET", path_of(key), lambda: pause(world, scope))
    world.sweep()
    assert world.changing_calls() == []
    assert world.story(key) == ["kept"]
    assert world.reasons(key) == ["paused"]


def test_a_pause_after_the_copy_keeps_what_was_to_be_deleted(world: World) -> None:
    world.policies = enforced(CHATS)
    key = world.add()
    world.on("GET", f"{path_of(key)}/items", lambda: pause(world), skip=1)
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.story(key) == ["archived", "kept"]
    assert world.reasons(key) == ["paused"]


def test_a_policy_that_only_a_look_brings_in_is_paused_too(world: World) -> None:
    trial = replace(COPIED, name="trial", match=matching(plan="trial"))
    world.policies = enforced(trial)
    key = world.add(upstream={"plan": "trial"})
    pause(world, "policy:trial")
    assert world.sweep().kept == {"paused": 1}
    assert world.objects() == []
    assert world.state(key) is State.ACTIVE


def test_a_pause_during_the_look_makes_no_copy(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add()
    world.on("GET", path_of(key), lambda: pause(world))
    assert world.sweep().kept == {"paused": 1}
    assert world.objects() == []


def test_a_pause_during_a_second_look_leaves_it_unmarked(world: World) -> None:
    world.policies = enforced(MARKED)
    key = world.add()

    def wait() -> None:
        world.uptime += LOOK_LASTS + 1

    world.on("GET", f"{path_of(key)}/items", wait)
    world.on("GET", path_of(key), lambda: pause(world), skip=1)
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.changing_calls() == []
    assert world.reasons(key) == ["paused"]


def test_a_pause_after_the_last_look_keeps_it(world: World) -> None:
    key = world.add(items=120)  # so many are listed once more, after the look
    world.on("GET", f"{path_of(key)}/items", lambda: pause(world), skip=2)
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.changing_calls() == []
    assert world.story(key) == ["withdrawn", "kept"]


def test_a_pause_between_items_stops_the_rest_and_it_goes_on_afterwards(world: World) -> None:
    key = world.add(items=120)
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: pause(world))
    report = world.sweep()
    assert len(world.server.items(key.id)) == 20
    assert world.state(key) is State.DELETING
    assert (report.exit_code, dict(report.kept)) == (0, {"paused": 1})
    entry = world.entry(key)
    assert (entry.attempts, entry.last_error) == (0, None), "nothing has failed"
    assert world.story(key) == ["torn"]
    world.registry.pauses.end(EVERYTHING)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_what_a_dead_run_left_open_waits_while_it_is_paused(world: World) -> None:
    key = world.add(items=3)
    world.die_at("DELETE", path_of(key))
    world.sweep_and_die()
    calls = len(world.changing_calls())
    pause(world, POLICY)
    assert world.sweep().kept == {"paused": 1}
    assert len(world.changing_calls()) == calls
    assert world.state(key) is State.DELETING
    assert world.story(key) == []
    world.registry.pauses.end(POLICY)
    world.sweep()
    assert world.state(key) is State.DELETED


EDITED = replace(DELETED, name="edited", delete=Delete(25 * DAY))


def left_open_under_both(world: World, *, begun_before: bool, gone: bool) -> Key:
    """A removal that a dead run left open, and an edit of its policy that waits for approval."""
    key, waiting = world.add(items=3), NOW - 12 * DAY
    if begun_before:
        world.die_at("DELETE", path_of(key), after=gone)
        world.sweep_and_die()
    world.add(created_at=waiting, active_at=waiting)
    if not begun_before:
        pause(world)
        world.sweep()
        world.registry.pauses.end(EVERYTHING)
    world.policies = enforced(EDITED)
    if not begun_before:
        world.die_at("DELETE", path_of(key), after=gone)
        world.sweep_and_die()
    assert world.state(key) is State.DELETING
    return key


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("begun_before", "intended", "other"),
    [(True, "deleted", "policy:edited"), (False, "edited", "policy:deleted")],
)
def test_what_a_dead_run_left_open_waits_while_the_other_policy_is_paused(
    world: World, *, begun_before: bool, intended: str, other: str, gone: bool
) -> None:
    key = left_open_under_both(world, begun_before=begun_before, gone=gone)
    intent = world.entry(key).intent
    assert intent is not None
    assert intent.policy == intended
    pause(world, other)
    (told,) = world.plan().unfinished
    assert told.kept == "paused"
    world.server.clear_log()
    assert "paused" in world.sweep().kept
    assert not [one for one in world.server.log if key.id in one.path]
    assert world.state(key) is State.DELETING
    world.registry.pauses.end(other)
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_policy_that_the_look_of_recovery_brings_in_is_paused_too(world: World) -> None:
    trial = replace(DELETED, name="trial", match=matching(plan="trial"), delete=Delete(40 * DAY))
    world.policies = enforced(DELETED, trial)
    key = world.add(items=20, metadata={})
    world.die_at("DELETE", f"{path_of(key)}/items/*", skip=8)
    world.sweep_and_die()
    world.server._world.named(key.id).metadata["plan"] = "trial"
    pause(world, "policy:trial")
    (told,) = world.plan().unfinished
    assert told.kept == "paused"
    calls = len(world.changing_calls())
    assert world.sweep().kept == {"paused": 1}
    assert (len(world.changing_calls()), world.state(key)) == (calls, State.DELETING)
    world.registry.pauses.end("policy:trial")
    world.sweep()
    assert world.state(key) is State.DELETED


LIMITED = enforced(DELETED, limits=Limits(max_threads=1))


@pytest.mark.parametrize("scope", [EVERYTHING, PROJECT, POLICY])
def test_a_paused_backlog_trips_no_limit(either_world: World, scope: str) -> None:
    either_world.policies = LIMITED
    for _ in range(3):
        either_world.add()
    pause(either_world, scope)
    report = either_world.sweep()
    assert (report.exit_code, report.run.result) == (0, RunResult.DONE)
    assert (dict(report.kept), report.backlog.tripped) == ({"paused": 3}, {})
    assert report.run.counts == {"deleted/delete/kept": 3, "kept/paused": 3}
    assert [one.scope for one in report.pauses] == [scope]
    assert kept_total(either_world) == {"paused": 3}
    either_world.registry.pauses.end(scope)
    assert either_world.sweep().exit_code == 4, "now it is counted"
    assert either_world.changing_calls() == []


@pytest.mark.parametrize("scope", [EVERYTHING, PROJECT, POLICY])
def test_what_a_pause_keeps_costs_nothing(world: World, scope: str) -> None:
    world.add(items=3)
    assert world.plan().document()["cost"]["deletes"] == 4
    pause(world, scope)
    made = world.plan()
    assert [one.reason for one in made.decisions] == ["paused"]
    nothing = {"deletes": 0, "reads": 0, "writes": 0, "seconds": 0.0}
    bounds = {"least": nothing, "most": nothing, "bound_by": None}
    assert made.document()["cost"] == {**nothing, **bounds}
    world.apply(made)
    assert world.server.log == [] or world.changing_calls() == []


def kept_total(world: World) -> dict[str, float]:
    """What the metric says, by reason."""
    (family,) = world.metrics.kept.collect()
    return {s.labels["reason"]: s.value for s in family.samples if s.name.endswith("_total")}


def test_a_limit_counts_what_is_not_paused_alone(either_world: World) -> None:
    paid = Policy("paid", match=matching(plan="paid"), delete=DELETED.delete)
    trial = replace(paid, name="trial", match=matching(plan="trial"))
    either_world.policies = enforced(paid, trial, limits=Limits(max_threads=1))
    for plan in ("paid", "paid", "trial", "trial", "trial"):
        either_world.add(metadata={"plan": plan})
    pause(either_world, "policy:trial")
    report = either_world.sweep()
    assert report.exit_code == 4
    assert [*report.backlog.tripped] == ["paid"]
    assert dict(report.kept) == {"limit": 2, "paused": 3}
    assert report.run.counts == {
        "paid/delete/kept": 2,
        "trial/delete/kept": 3,
        "kept/limit": 2,
        "kept/paused": 3,
    }


def test_a_paused_project_takes_no_share_of_a_limit(world: World) -> None:
    world.keys["other"] = "sk-other"
    world.policies = LIMITED
    mine = world.add()
    others = [world.add(project="other") for _ in range(3)]
    pause(world, "project:other")
    report = world.sweep()
    assert (report.exit_code, dict(report.kept)) == (0, {"paused": 3})
    assert world.state(mine) is State.DELETED
    assert {world.state(key) for key in others} == {State.ACTIVE}


def test_what_was_counted_under_no_limit_is_left_though_the_pause_ends_meanwhile(
    either_world: World,
) -> None:
    either_world.policies = enforced(
        replace(DELETED, match=matching(plan="trial")),
        replace(DELETED, name="paid", match=matching(plan="paid")),
        limits=Limits(max_threads=1),
    )
    either_world.concurrency = 1
    first = either_world.add(metadata={"plan": "paid"})
    others = [either_world.add(metadata={"plan": "trial"}) for _ in range(3)]
    pause(either_world, POLICY)
    either_world.on("GET", path_of(first), lambda: either_world.registry.pauses.end(POLICY))
    report = either_world.sweep()
    assert all(hook.happened for hook in either_world.hooks)
    assert either_world.state(first) is State.DELETED
    assert {either_world.state(key) for key in others} == {State.ACTIVE}
    assert dict(report.kept) == {"paused": 3}
    assert (report.pauses, [one.scope for one in report.past_pauses]) == ((), [POLICY])
    (said,) = paused_messages(report)
    assert said.endswith("over by now")


def test_a_pause_that_begins_during_a_sweep_is_told_with_it(either_world: World) -> None:
    either_world.concurrency = 1
    keys = [either_world.add() for _ in range(3)]
    either_world.on("DELETE", path_of(keys[0]), lambda: pause(either_world))
    report = either_world.sweep()
    assert (report.exit_code, dict(report.kept)) == (0, {"paused": 2})
    asked = [one for one in either_world.server.log if one.method == "GET"]
    assert not [one for one in asked if any(key.id in one.path for key in keys[1:])]
    assert [one.scope for one in report.pauses] == [EVERYTHING]
    recorded = either_world.registry.runs.get(report.run.id)
    assert recorded is not None
    assert [one.scope for one in noted(recorded.stops)] == [EVERYTHING]


def test_a_plan_that_a_pause_has_kept_is_gone_on_with(world: World) -> None:
    keys = [world.add() for _ in range(2)]
    made = world.plan()
    pause(world)
    report = world.apply(made)
    assert (report.exit_code, dict(report.kept)) == (0, {"paused": 2})
    assert report.run.result is RunResult.PARTIAL
    world.registry.pauses.end(EVERYTHING)
    assert world.apply(made).run.result is RunResult.DONE
    assert {world.state(key) for key in keys} == {State.DELETED}


UNTIL = NOW + DAY


SINCE = "paused by ops since 2026-06-01 12:00 UTC"


@pytest.mark.parametrize(
    ("scope", "until", "before", "end", "command"),
    [
        ("all", None, "", "", "janitor resume"),
        ("all", UNTIL, "", " until 2026-06-02 12:00 UTC", "janitor resume"),
        ("project:main", None, "project main: ", "", "janitor resume --project main"),
        ("policy:a b", None, "policy a b: ", "", "janitor resume --policy 'a b'"),
    ],
)
def test_a_pause_is_told_with_the_command_that_ends_it(
    scope: str, until: datetime | None, before: str, end: str, command: str
) -> None:
    one = Pause(scope, "why", "ops", NOW, until)
    assert message(one) == f"{before}{SINCE}{end}: why; end it with `{command}`"
    assert noted([note(one), note(one)]) == [one]


def test_a_thread_of_no_policy_is_not_paused_by_one_of_that_name() -> None:
    assert not Pause("policy:None", "why", "ops", NOW).covers("main", None)
