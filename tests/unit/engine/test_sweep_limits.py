"""I5: over a limit nothing of that policy is done; a project that fails as a whole is stopped."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, World, enforced, matching

from janitor.emulator import Fault, How
from janitor.engine.limits import message
from janitor.model import Key, Kind, State
from janitor.policy import Tripped
from janitor.policy.rules import ArchiveRule, Delete, Limits, Policy
from janitor.registry import Registration

YOUNG = NOW - DAY


def crowd(world: World, old: int, young: int, plan: str = "trial") -> list[Key]:
    """So many threads that are due, and so many that are not; the due ones are returned."""
    said = {"plan": plan}
    for _ in range(young):
        world.add(Kind.THREAD, items=0, created_at=YOUNG, active_at=YOUNG, metadata=said)
    return [world.add(Kind.THREAD, items=0, metadata=said) for _ in range(old)]


def registered(world: World, number: int, project: str = "main") -> list[Key]:
    """Threads of which the server knows nothing."""
    keys = [Key(project, Kind.THREAD, f"thread_{project}_{n:03d}") for n in range(number)]
    world.registry.registrations.add(
        [Registration(key, NOW - 60 * DAY, NOW - 60 * DAY) for key in keys], NOW
    )
    return keys


def test_over_a_limit_nothing_of_that_policy_is_done_and_others_go_on(world: World) -> None:
    trial = Policy("trial", match=matching(plan="trial"), delete=Delete(30 * DAY))
    paid = Policy("paid", match=matching(plan="paid"), delete=Delete(30 * DAY))
    world.policies = enforced(trial, paid)
    over, under = crowd(world, 3, 20), crowd(world, 2, 20, "paid")
    report = world.sweep()
    assert report.exit_code == 4
    assert report.run.result == "limited"
    assert set(report.backlog.tripped) == {"trial"}
    tripped = report.backlog.tripped["trial"]
    assert (tripped.due, tripped.population, tripped.allowed) == (3, 23, 2)
    assert {world.state(key) for key in over} == {State.ACTIVE}
    assert {world.state(key) for key in under} == {State.DELETED}
    assert report.kept["limit"] == 3
    touched = {one.path for one in world.server.log}
    assert not any(key.id in path for key in over for path in touched)


def test_what_was_imported_since_the_last_sweep_is_counted_with_the_others(world: World) -> None:
    world.policies = enforced(DELETED)
    world.sweep()
    crowd(world, 25, 0)
    report = world.sweep()
    assert report.exit_code == 4
    assert report.backlog.tripped["deleted"].population == 25
    assert world.changing_calls() == []


def test_what_a_limit_stopped_is_still_due_and_waiting_alone_does_not_lift_it(
    world: World,
) -> None:
    world.policies = enforced(DELETED)
    keys = crowd(world, 5, 20)
    for _ in range(2):
        assert world.sweep().exit_code == 4
    world.policies = enforced(replace(DELETED, max_percent=50.0))
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in keys} == {State.DELETED}


def test_below_the_limit_all_goes(world: World) -> None:
    world.policies = enforced(DELETED)
    keys = crowd(world, 2, 18)
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in keys} == {State.DELETED}


def test_a_small_population_is_exempt(world: World) -> None:
    world.policies = enforced(DELETED)
    keys = crowd(world, 19, 0)
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in keys} == {State.DELETED}


def test_an_absolute_limit_holds_for_few_as_well(world: World) -> None:
    world.policies = enforced(DELETED, limits=Limits(max_threads=2))
    keys = crowd(world, 3, 0)
    assert world.sweep().exit_code == 4
    assert {world.state(key) for key in keys} == {State.ACTIVE}


def test_copies_are_not_counted(world: World) -> None:
    world.policies = enforced(COPIED)
    keys = crowd(world, 25, 0)
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in keys} == {State.ARCHIVED}


@pytest.mark.slow
def test_a_healthy_daily_sweep_never_trips(world: World) -> None:
    world.policies = enforced(
        Policy("weekly", archive=ArchiveRule(after=DAY), delete=Delete(7 * DAY))
    )
    keys = [
        world.add(Kind.THREAD, items=0, created_at=NOW - n * DAY / 4, active_at=NOW - n * DAY / 4)
        for n in range(27)
    ]
    world.sweep()
    for _ in range(4):
        world.advance(DAY)
        assert world.sweep().exit_code == 0
    assert sum(world.state(key) is State.DELETED for key in keys) >= 12


def test_an_unauthorised_project_stops_and_another_goes_on(world: World) -> None:
    world.keys = {"main": "sk-wrong", "other": "sk-other"}
    mine = [world.add(Kind.THREAD) for _ in range(20)]
    theirs = world.add(Kind.THREAD, project="other")
    world.policies = enforced(CHATS, limits=Limits(max_percent=100))
    report = world.sweep()
    assert report.exit_code == 3
    assert {world.state(key) for key in mine} == {State.ACTIVE}
    assert {world.entry(key).attempts for key in mine} == {0}
    assert world.state(theirs) is State.DELETED
    assert sum(one.status == 401 for one in world.server.log) <= world.concurrency * 2
    [stop] = report.stops
    assert (stop.project, stop.limit) == ("main", "unauthorised")
    world.keys["main"] = "sk-main"
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in mine} == {State.DELETED}


def test_an_empty_account_stops_the_project_and_nothing_is_believed_missing(world: World) -> None:
    world.policies = enforced(CHATS, limits=Limits(max_percent=100))
    keys = registered(world, 100)
    report = world.sweep()
    assert report.exit_code == 4
    assert [stop.limit for stop in report.stops] == ["missing"]
    assert len(world.server.log) <= 5 + 2 * world.concurrency
    assert {world.state(key) for key in keys} == {State.ACTIVE}
    assert {world.entry(key).missing_since for key in keys} == {None}
    assert world.changing_calls() == []


@pytest.mark.slow
def test_a_few_missing_are_settled_at_the_end_and_asked_for_again(world: World) -> None:
    world.policies = enforced(CHATS)
    here = [world.add(Kind.THREAD) for _ in range(6)]
    gone = registered(world, 2)
    report = world.sweep()
    assert report.exit_code == 0
    assert {world.state(key) for key in gone} == {State.MISSING}
    assert {world.state(key) for key in here} == {State.DELETED}
    asked_at = []
    for day in range(1, 40):
        world.advance(DAY)
        world.server.clear_log()
        world.sweep()
        asked_at += [day] * bool(world.server.log)
    assert asked_at == [1, 7, 30]
    assert {world.state(key) for key in gone} == {State.MISSING}


def test_what_was_missing_and_is_found_again_is_active(world: World) -> None:
    world.policies = enforced(CHATS)
    world.add(Kind.THREAD)
    [gone] = registered(world, 1)
    world.sweep()
    assert world.state(gone) is State.MISSING
    active_at = world.now
    world.server.add_thread(id=gone.id, created_at=NOW - DAY, last_active_at=active_at)
    world.advance(DAY)
    world.sweep()
    assert world.state(gone) is State.ACTIVE
    assert world.entry(gone).missing_since is None
    world.advance(30 * DAY)
    world.sweep()
    assert world.state(gone) is State.DELETED


@pytest.mark.parametrize(
    "fault",
    [
        Fault(How.HTML),
        pytest.param(Fault(How.HTML, status=404), marks=pytest.mark.slow),
        pytest.param(Fault(How.RESET), marks=pytest.mark.slow),
        pytest.param(Fault(How.STATUS, status=500), marks=pytest.mark.slow),
        pytest.param(Fault(How.EMPTY_OBJECT), marks=pytest.mark.slow),
        pytest.param(Fault(How.NULL), marks=pytest.mark.slow),
    ],
    ids=lambda one: f"{one.how}{one.status or ''}",
)
def test_a_project_that_only_fails_is_stopped(world: World, fault: Fault) -> None:
    world.policies = enforced(CHATS, limits=Limits(max_percent=100))
    keys = [world.add(Kind.THREAD) for _ in range(40)]
    with world.server.faulty(fault):
        report = world.sweep()
    assert report.exit_code == 4
    assert [stop.limit for stop in report.stops] == ["max_errors"]
    assert {world.state(key) for key in keys} == {State.ACTIVE}
    assert {world.entry(key).attempts for key in keys} == {0}
    world.advance(DAY)
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in keys} == {State.DELETED}


def test_an_exhausted_quota_stops_the_project(world: World) -> None:
    key = world.add(Kind.THREAD)
    error = {"code": "insufficient_quota", "type": "insufficient_quota", "message": "billing"}
    fault = Fault(How.STATUS, status=429, body={"error": error})
    with world.server.faulty(fault):
        report = world.sweep()
    assert (report.exit_code, world.state(key)) == (3, State.ACTIVE)
    assert len(world.server.log) == 1


def test_the_gravest_exit_code_is_told(world: World) -> None:
    world.keys = {"main": "sk-wrong", "other": "sk-other"}
    few = Policy("few", match=matching(plan="b"), delete=Delete(DAY), max_threads=1)
    world.policies = enforced(DELETED, few)
    world.add(Kind.THREAD)
    for _ in range(2):
        world.add(Kind.THREAD, project="other", metadata={"plan": "b"})
    assert world.sweep().exit_code == 3


def test_the_time_of_a_sweep_is_bounded(world: World) -> None:
    world.policies = enforced(DELETED, limits=Limits(max_duration=DAY / 24))
    world.concurrency = 1
    keys = [world.add(Kind.THREAD, items=0) for _ in range(5)]
    world.on("DELETE", "*", lambda: world.advance(DAY / 12))
    report = world.sweep()
    assert report.run.result == "partial"
    assert 1 <= sum(world.state(key) is State.DELETED for key in keys) < 5
    world.sweep()
    assert {world.state(key) for key in keys} == {State.DELETED}


def test_asked_to_stop_calls_in_flight_finish_and_settle(world: World) -> None:
    world.policies = enforced(DELETED)
    world.concurrency = 2
    keys = [world.add(Kind.THREAD, items=0) for _ in range(8)]
    stop = threading.Event()
    world.on("DELETE", "*", stop.set)
    report = world.sweep(stop=stop)
    gone = [key for key in keys if world.state(key) is State.DELETED]
    assert 1 <= len(gone) <= 4
    assert [key for key in keys if not world.server.exists(key.id)] == gone
    assert {world.entry(key).intent for key in keys} == {None}
    assert (report.run.result, report.exit_code) == ("partial", 0)
    world.sweep()
    assert {world.state(key) for key in keys} == {State.DELETED}


def test_a_stop_before_the_beginning_begins_nothing(world: World) -> None:
    key = world.add()
    stop = threading.Event()
    stop.set()
    assert world.sweep(stop=stop).run.result == "partial"
    assert world.server.log == []
    assert world.story(key) == []


def test_a_limit_says_what_to_do_with_the_plan_at_hand() -> None:
    over = Tripped("max_delete", "chats", 3, 2, 9)
    make = "janitor plan -o plan.json; review it; janitor apply plan.json"
    assert message(over).endswith(f": {make}")
    assert message(over, is_audit=True, plan="x").endswith(f": set `mode: enforce`; {make}")
    written = message(over, plan="/tmp/a plan.json")
    assert written.endswith(": review /tmp/a plan.json; janitor apply '/tmp/a plan.json'")
