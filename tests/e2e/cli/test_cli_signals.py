"""A sweep that is interrupted, killed, or meets another one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from world import Done, World, finished, until

from janitor.emulator import Fault, How

THREADS = 16


def deleting(world: World) -> bool:
    return any(entry.method == "DELETE" for entry in world.emulator.log)


def assert_settled(world: World) -> None:
    """What the registry calls deleted is what the server has deleted, and nothing else."""
    deleted = {one for one, state in world.states().items() if state == "deleted"}
    assert deleted == set(world.states()) - set(world.emulator.ids())


def newest_run(world: World) -> dict[str, object]:
    run: dict[str, object] = world.run("--output", "json", "runs").document["runs"][0]
    return run


def interrupted(world: World, signum: int) -> Done:
    world.fill(THREADS)
    world.emulator.latency = 0.05
    process = world.start("sweep")
    until(lambda: deleting(world))
    process.send_signal(signum)
    return finished(process)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_ends_what_it_began_and_the_next_does_the_rest(
    world: World, signum: int
) -> None:
    done = interrupted(world, signum)
    assert done.code == 128 + signum
    assert "Traceback" not in done.err
    assert "partial" in done.out
    run = newest_run(world)
    assert (run["result"], run["closed_at"] is None) == ("partial", False)
    assert_settled(world)
    assert 0 < len(world.emulator.ids()) < THREADS
    assert {entry.status for entry in world.emulator.log} == {200}, "no call was cut off"
    world.emulator.latency = 0
    assert world.run("sweep").code == 0
    assert set(world.states().values()) == {"deleted"}
    assert not world.emulator.ids()
    assert set(world.emulator.deletes.values()) == {1}, "nothing was deleted twice"


def test_a_second_signal_does_not_cut_calls_off(world: World) -> None:
    world.fill(THREADS)
    world.emulator.latency = 0.1
    process = world.start("sweep")
    until(lambda: deleting(world))
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    done = finished(process)
    assert done.code in {128 + signal.SIGTERM, 128 + signal.SIGINT}
    assert newest_run(world)["result"] == "partial"
    assert_settled(world)


def test_a_killed_sweep_is_finished_by_the_next_one(world: World) -> None:
    world.fill(THREADS)
    world.emulator.latency = 0.05
    process = world.start("sweep")
    until(lambda: deleting(world))
    process.kill()
    assert finished(process).code == -signal.SIGKILL
    world.emulator.latency = 0
    done = world.run("sweep")
    assert done.code == 0, done.err
    assert set(world.states().values()) == {"deleted"}
    assert not world.emulator.ids()
    assert set(world.emulator.deletes.values()) == {1}


def test_a_second_janitor_is_told_who_holds_the_run(world: World) -> None:
    world.fill(THREADS)
    world.emulator.latency = 1.0
    first = world.start("sweep")
    until(lambda: bool(world.emulator.log))
    second = world.process("sweep", "--wait", "1s")
    assert second.code == 5
    assert f"process {first.pid} on {socket.gethostname()}" in second.err
    assert second.out == ""
    world.emulator.latency = 0
    assert finished(first).code == 0
    assert_settled(world)


def test_a_second_janitor_waits_for_the_first_one(world: World) -> None:
    world.fill(THREADS)
    world.emulator.latency = 0.05
    first = world.start("sweep")
    until(lambda: deleting(world))
    second = world.start("--output", "json", "sweep", "--wait", "60s")
    assert finished(first).code == 0
    done = finished(second)
    assert done.code == 0
    assert json.loads(done.out)["outcomes"] == []
    assert set(world.emulator.deletes.values()) == {1}


def test_a_waiting_janitor_can_be_interrupted(world: World) -> None:
    world.fill(THREADS)
    world.emulator.latency = 1.0
    first = world.start("sweep")
    until(lambda: bool(world.emulator.log))
    second = world.start("-v", "sweep", "--wait", "60s")
    until(lambda: opened_the_lock(world, second.pid))
    second.send_signal(signal.SIGTERM)
    assert finished(second).code == 128 + signal.SIGTERM
    world.emulator.latency = 0
    assert finished(first).code == 0


def test_an_interrupted_sweep_waits_for_no_rate_limit(world: World) -> None:
    ids = world.fill(THREADS)
    body = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    limit = Fault(How.STATUS, method="DELETE", status=429, body=body, headers={"retry-after": "55"})
    with world.emulator.faulty(limit):
        process = world.start("sweep")
        until(lambda: {entry.status for entry in world.emulator.log} >= {429})
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=240) == 128 + signal.SIGTERM
    done = finished(process)
    assert "Traceback" not in done.err
    assert newest_run(world)["closed_at"] is not None
    assert set(world.emulator.ids()) == set(ids)
    assert set(world.states().values()) <= {"active", "archived", "deleting"}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_plan_that_is_interrupted_ends_at_once(world: World, signum: int) -> None:
    world.fill(2)
    world.emulator.clear_log()
    world.emulator.add_fault(Fault(How.HANG))
    process = world.start("plan")
    until(lambda: bool(world.emulator.log))
    process.send_signal(signum)
    done = finished(process)
    assert (done.code, done.out) == (128 + signum, "")
    assert done.err == "janitor: stopped; nothing was changed\n"


def test_an_import_can_be_interrupted(world: World) -> None:
    process = world.start("import", "-", stdin=subprocess.PIPE)
    until(world.registry.exists)
    process.send_signal(signal.SIGINT)
    done = finished(process)
    assert done.code == 130
    assert "Traceback" not in done.err
    assert len(world.fill(1)) == len(world.states())


def test_an_import_in_the_midst_of_a_sweep_takes_its_turn(world: World) -> None:
    world.fill(THREADS)
    world.emulator.latency = 0.05
    process = world.start("sweep")
    until(lambda: deleting(world))
    young = world.fill(3, age=1)
    assert process.poll() is None, "the sweep is still at work"
    assert finished(process).code == 0
    states = world.states()
    assert {states[one] for one in young} == {"active"}
    assert list(states.values()).count("deleted") == THREADS


def opened_the_lock(world: World, pid: int) -> bool:
    wanted = world.directory / "janitor.db.lock"
    return any(target(link) == wanted for link in Path(f"/proc/{pid}/fd").iterdir())


def target(link: Path) -> Path | None:
    """Where a link leads; `None` where it has gone meanwhile."""
    try:
        return link.readlink()
    except FileNotFoundError:
        return None
