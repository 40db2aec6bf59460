"""A provider that is down fails its threads: they are blameless, and such a sweep is not whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sweep_world import CHATS, DAY, World, enforced, path_of

from janitor.emulator import Fault, How
from janitor.model import Key, Kind, State
from janitor.policy.rules import Delete, Limits, Policy


def test_threads_of_a_project_that_answers_nothing_do_not_rest(world: World) -> None:
    keys = [world.add() for _ in range(3)]
    with world.server.faulty(Fault(How.STATUS, status=500)):
        report = world.sweep()
    assert (report.run.result, report.exit_code) == ("partial", 1)
    assert {world.entry(key).attempts for key in keys} == {0}
    assert world.registry.runs.last_completed(world.now) is None
    assert world.sweep().run.result == "done"
    assert {world.state(key) for key in keys} == {State.DELETED}


def test_where_another_answers_those_that_fail_rest(world: World) -> None:
    bad = [world.add() for _ in range(3)]
    world.add()
    for key in bad:
        world.server.add_fault(Fault(How.STATUS, status=500, path=f"{path_of(key)}*"))
    assert world.sweep().run.result == "done"
    assert {world.entry(key).attempts for key in bad} == {1}


def test_what_an_outage_left_trips_no_limit(world: World) -> None:
    """Four of 28 fall due each day: twelve at once are too many, unless two days were lost."""
    world.policies = enforced(Policy("week", delete=Delete(7 * DAY)))
    for hours in range(0, 7 * 24, 6):
        at = world.now - timedelta(hours=hours)
        world.add(created_at=at, active_at=at, items=0)
    assert world.sweep().run.result == "done"
    with world.server.faulty(Fault(How.STATUS, status=500)):
        for _ in range(2):
            world.advance(DAY)
            world.sweep()
    world.advance(DAY)
    report = world.sweep()
    assert (report.run.result, report.backlog.tripped) == ("done", {})
    assert len(world.server.deletes) == 12


DOWN = {
    "500": Fault(How.STATUS, status=500),
    "reset": Fault(How.RESET),
    "html": Fault(How.HTML),
    "404-html": Fault(How.HTML, status=404),
    "401": Fault(How.STATUS, status=401),
}


def half_done(world: World, number: int) -> list[Key]:
    """Containers that are gone upstream, and of whose deletions no answer arrived."""
    keys = [world.add(Kind.THREAD, items=0) for _ in range(number)]
    for key in keys:
        world.server.add_fault(Fault(How.RESET, method="DELETE", path=path_of(key), applied=True))
    world.sweep()
    world.server.clear_faults()
    return keys


@pytest.mark.parametrize("name", DOWN)
@pytest.mark.parametrize("number", [2, 12])
def test_half_done_removals_are_blameless_too(world: World, name: str, number: int) -> None:
    keys = half_done(world, number)
    before = {key: world.entry(key) for key in keys}
    with world.server.faulty(DOWN[name]):
        for _ in range(2):
            world.advance(timedelta(hours=1))
            report = world.sweep()
            assert report.exit_code in {1, 3, 4}
    for key, was in before.items():
        now = world.entry(key)
        assert (now.attempts, now.last_error, now.intent) == (
            was.attempts,
            was.last_error,
            was.intent,
        )
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in keys} == {State.DELETED}


def test_under_a_wrong_key_half_done_removals_are_blameless(world: World) -> None:
    world.policies = enforced(CHATS, limits=Limits(max_percent=100))
    keys = half_done(world, 2)
    for _ in range(20):
        world.add(Kind.THREAD, items=0)
    world.keys = {"main": "sk-other"}
    before = [world.entry(key).attempts for key in keys]
    report = world.sweep()
    assert [stop.limit for stop in report.stops] == ["missing"]
    assert [world.entry(key).attempts for key in keys] == before


def test_earlier_failures_are_neither_forgotten_nor_added_to(world: World) -> None:
    """An outage takes back its own attempt, and the count of those before stays."""
    keys = [world.add(items=1) for _ in range(2)]
    refused = Fault(How.STATUS, method="DELETE", status=500)
    with world.server.faulty(refused):
        world.sweep()
        world.advance(timedelta(minutes=5))
        world.sweep()
    assert {world.entry(key).attempts for key in keys} == {2}
    with world.server.faulty(Fault(How.RESET)):
        world.advance(timedelta(minutes=10))
        assert world.sweep().exit_code == 1
    assert {world.entry(key).attempts for key in keys} == {2}


def test_what_stops_a_project_says_what_failed(world: World) -> None:
    world.policies = enforced(CHATS, limits=Limits(max_percent=100))
    for _ in range(40):
        world.add(Kind.THREAD, items=0)
    with world.server.faulty(Fault(How.NULL)):
        [stop] = world.sweep().stops
    assert stop.limit == "max_errors"
    assert "10 calls in a row failed" in stop.message
    assert "HTTP 200 without an object" in stop.message
    assert "janitor sweep" in stop.message
    [run] = world.registry.runs.newest(1)
    assert run.stops == (stop.note(),)
