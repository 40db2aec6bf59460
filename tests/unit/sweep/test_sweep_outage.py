"""A provider that is down fails its threads: they are blameless, and such a sweep is not whole."""

from __future__ import annotations

from datetime import timedelta

from sweep_world import DAY, World, enforced, path_of

from janitor.emulator import Fault, How
from janitor.model import State
from janitor.policy.rules import Delete, Policy


def test_threads_of_a_project_that_answers_nothing_do_not_rest(world: World) -> None:
    keys = [world.add() for _ in range(3)]
    with world.server.faulty(Fault(How.STATUS, status=500)):
        report = world.sweep()
    assert (report.run.result, report.exit_code) == ("partial", 1)
    assert {world.entry(key).attempts for key in keys} == {0}
    assert world.registry.last_completed(world.now) is None
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
