"""I3: `kill -9` at any effect, then a new run, ends where a run that nobody killed ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_databases import Database, Files
from crash_endings import Ending, assert_audit_is_whole, ending, left_open
from crash_scenarios import SCENARIOS
from crash_stage import Forks, Stage
from dying import DIED
from fail_points import chosen
from seams import Point

from janitor.emulator import Emulator

PLAYS = [(scenario, kind) for scenario in SCENARIOS for kind in scenario.kinds]
CASES = [
    pytest.param((scenario, kind), engine, id=f"{scenario.name}-{kind}-{engine}")
    for scenario, kind in PLAYS
    for engine in ("sqlite", "postgres")
    # Engines differ in how they commit, kinds in what is called: neither depends on the other.
    if engine == "sqlite" or kind is scenario.kinds[0]
]


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    served: tuple[Emulator, str],
    database: Database,
    forks: Forks,
) -> Iterator[Stage]:
    scenario, kind = request.param
    made = Stage(scenario, tmp_path, *served, database, forks, kind)
    yield made
    made.close()


@pytest.mark.timeout(0)  # a machine under load takes its time for so many runs
@pytest.mark.parametrize(("stage", "database"), CASES, indirect=True)
def test_a_death_at_any_effect_changes_nothing(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    expected = undisturbed(stage)
    is_first, on_file = stage.kind is stage.scenario.kinds[0], isinstance(stage.database, Files)
    points = chosen(
        stage.points,
        stage.scenario.own if is_first else (),
        is_first=is_first,
        # That nothing happens between two points depends neither on the kind nor on the engine.
        is_literal=stage.scenario is SCENARIOS[0] and is_first and on_file,
        on_file=on_file,
    )
    wrong = [told for point in points if (told := survive(stage, point, expected))]
    assert not wrong, "\n\n".join(wrong)
    assert_audit_is_whole(stage)
    record_property(DIED, [engine(stage), len(points)])


def undisturbed(stage: Stage) -> Ending:
    """How the scenario ends where nobody dies; the stage then has the points of what is killed."""
    stage.save()
    finish(stage)
    expected = ending(stage)
    if stage.scenario.died is not None:
        stage.reset()
        stage.die(stage.scenario.died)
        stage.save()
        finish(stage)
        assert ending(stage) == expected
    return expected


def finish(stage: Stage) -> None:
    code = stage.finish()
    assert code in stage.scenario.exits, f"exit {code}: {stage.said} {left_open(stage)}"


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
@pytest.mark.parametrize("stage", PLAYS[:1], indirect=True)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_death_at_the_renewal_of_a_lease_changes_nothing(
    stage: Stage, record_property: Callable[[str, object], None], moment: str
) -> None:
    expected = undisturbed(stage)
    stage.reset()
    stage.emulator._site.latency = 0.1
    try:
        stage.die(Point("registry/claims.py:renew commit", 1, moment), hastened=True)
    finally:
        stage.emulator._site.latency = 0.0
    wrong = survival(stage, expected)
    assert not wrong, wrong
    record_property(DIED, [engine(stage), 1])


def engine(stage: Stage) -> str:
    return "SQLite" if isinstance(stage.database, Files) else "PostgreSQL"


def survive(stage: Stage, point: Point, expected: Ending) -> str | None:
    """Die there and run again; what is then not as it would have been, if anything."""
    stage.reset()
    stage.die(point)
    wrong = survival(stage, expected)
    return wrong and f"killed at {point}: {wrong}"


def survival(stage: Stage, expected: Ending) -> str | None:
    """Run again after a death; what is then not as it would have been, if anything."""
    code = stage.finish()
    found = ending(stage) | {"left open": left_open(stage)}
    wanted = expected | {"left open": {}}
    differing = {name: found[name] for name in wanted if found[name] != wanted[name]}
    if code in stage.scenario.exits and not differing:
        return None
    instead = {name: wanted[name] for name in differing}
    return f"exit {code}\n  found {differing}\n  not {instead}\n{stage.said}"
