"""Each call of a sweep goes wrong in each way: no cell removes what must stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults_calls import CALLS, Call, calls_of
from faults_known import FAULTS
from faults_table import COLUMNS, LATER, TABLE, faults_of, first_kind, wanted
from faults_world import DAY, NOW, Cell, FaultyWorld, Struck

from janitor.emulator import Emulator
from janitor.engine.report import Report
from janitor.model import Kind, State

MEETINGS = [(kind, call) for kind in Kind for call in calls_of(kind)]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three items fill two pages."""
    monkeypatch.setattr("janitor.drivers.container.PAGE", 2)


def test_the_table_has_every_call_and_every_fault() -> None:
    assert set(TABLE) == {(call, fault) for call in COLUMNS for fault in FAULTS}
    assert {call.name for call in CALLS} == set(COLUMNS)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_meets_each_fault_that_can_strike_it(kind: Kind) -> None:
    met = {fault for call in calls_of(kind) for fault in faults_of(kind, call)}
    assert met == {
        fault for call in calls_of(kind) for fault in FAULTS if TABLE[call.name, fault] != "."
    }


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_each_call_meets_each_fault_that_can_strike_it(call: Call) -> None:
    met = set(faults_of(first_kind(call), call))
    assert met == {fault for fault in FAULTS if TABLE[call.name, fault] != "."}


@pytest.mark.parametrize(("kind", "call"), MEETINGS, ids=lambda one: getattr(one, "name", one))
def test_each_way_in_which_a_call_goes_wrong(tmp_path: Path, kind: Kind, call: Call) -> None:
    faults = faults_of(kind, call)
    server = Emulator({f"sk-{name}": name for name in faults})
    server.clock.set(NOW)
    with server.serve() as served:
        world = FaultyWorld(tmp_path, Struck(server, served.base_url, kind, call), faults)
        world.prepare()
        report = world.sweep_struck()
        wrong = [*check_outcomes(world, report, kind, call)]
        for number in range(1, 5):
            server.clock.advance((2 if number < 3 else 40) * DAY)
            world.sweep()
            wrong += check_later(world, number, kind, call)
        world.close()
    assert not wrong, "\n".join(wrong)


def check_outcomes(world: FaultyWorld, report: Report, kind: Kind, call: Call) -> Iterator[str]:
    """What is wrong while the fault is in force, a line for each."""
    for cell in world.cells:
        found, outcome = world.outcome(cell, report), wanted(kind, call.name, cell.name)
        if found != outcome:
            yield f"{cell.name}: {found}, not {outcome}"
        if not world.strikes[cell.name]:
            yield f"{cell.name}: the fault struck nothing"
        if found not in {"stop", "halt"} and not is_finished(world, cell, call):
            yield f"{cell.name}: the healthy one was not finished"
        yield from check_nothing_lost(world, cell)
        yield from check_sent_once(world, cell)


def is_finished(world: FaultyWorld, cell: Cell, call: Call) -> bool:
    """Whether the healthy thread is where a sweep brings it, or its project is not called."""
    marked = call.scene == "marking"
    wanted_state = State.SOFT_DELETED if marked else State.DELETED
    is_alive = world.server.exists(cell.healthy.id)
    # Two hours of silence that the server asks for are kept for all of its project.
    waits = cell.name == "429-long"
    return waits or (world.state(cell.healthy) is wanted_state and is_alive is marked)


def check_later(world: FaultyWorld, number: int, kind: Kind, call: Call) -> Iterator[str]:
    """What is wrong after so many sweeps without the fault."""
    for cell in world.cells:
        outcome = wanted(kind, call.name, cell.name)
        needed = max(LATER.get(outcome, 1), 4 if call.scene == "marking" else 0)
        state = world.state(cell.struck)
        if number >= needed and state is not State.DELETED:
            yield f"{cell.name}: still {state} after {number} more sweeps"
        if number == 4:  # what is lost or touched stays so
            yield from check_nothing_lost(world, cell)


def check_nothing_lost(world: FaultyWorld, cell: Cell) -> Iterator[str]:
    """What must hold in every cell, whatever happens."""
    server, stays = world.server, cell.stays
    kept = frozenset(item["id"] for item in server.items(stays.id) if server.exists(stays.id))
    if kept != cell.items[stays.id] or world.state(stays) is State.DELETED:
        yield f"{cell.name}: what must stay was touched"
    for key in cell.keys:
        lied = cell.name == "lie" and key == cell.struck
        if world.state(key) is State.DELETED and server.exists(key.id) and not lied:
            yield f"{cell.name}: {key.id} is a tombstone, and its container lives"
        is_gone = not server.exists(key.id)
        gone = {one for one in cell.items[key.id] if is_gone or server.deletes[one]}
        is_copied = world.is_copied and gone
        if is_copied and (lost := world.missing_items(key, cell.items[key.id])):
            yield f"{cell.name}: {len(lost)} items are gone and in no proven copy"
        if any(server.deletes[one] > 1 for one in (key.id, *cell.items[key.id])):
            yield f"{cell.name}: deleted twice"


def check_sent_once(world: FaultyWorld, cell: Cell) -> Iterator[str]:
    """A changing request is sent again within a sweep only where it was answered 429."""
    for path, times in world.changes(cell.struck).items():
        if times > 1 and not cell.name.startswith("429"):
            yield f"{cell.name}: {path} was sent {times} times"
