"""What works alone on PostgreSQL: it waits for what the dead left, and is done by one of many."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from fleet import Replicas
from started import start
from world import World, finished, until

THREADS = 24
LEASE = "40"  # longer than two processes need on a busy machine
WAIT = ("--wait", "300s")
SCHEDULE = 'schedule: {every: 1h}\nservice: {listen: "127.0.0.1:0"}\n'
MARKED = (
    "  - {name: old, match: {project: main}, soft_delete: {after: 30d}, delete: {after: 300d}}\n"
)


def killed_sweep(world: World) -> None:
    """A sweep that died in the midst of its work; what it had claimed is still its own."""
    world.emulator.latency = 0.1
    before = len(world.emulator.ids())
    process = world.start("sweep")
    until(lambda: len(world.emulator.ids()) < before)
    process.kill()
    finished(process)
    world.emulator.latency = 0


def planned(world: World) -> str:
    file = world.directory / "plan.json"
    assert world.run("plan", "-o", str(file)).code == 0
    return str(file)


def test_apply_waits_for_the_lease_of_a_killed_sweep(replicas: Replicas) -> None:
    world = replicas.world
    world.environment["JANITOR_LEASE_SECONDS"] = LEASE
    replicas.fill(THREADS)
    file = planned(world)
    killed_sweep(world)
    hasty = world.process("apply", file, "--wait", "1s")
    assert (hasty.code, hasty.out) == (5, "")
    assert "left on the lease of another janitor" in hasty.err
    done = world.process("apply", file, *WAIT)
    assert done.code == 0, done.out + done.err
    assert "waiting up to" in done.err
    assert "drift" not in done.out
    assert replicas.is_done()
    assert set(world.emulator.deletes.values()) == {1}


def test_restore_waits_for_the_lease_of_a_killed_sweep(replicas: Replicas) -> None:
    world = replicas.world
    world.environment["JANITOR_LEASE_SECONDS"] = LEASE
    text = world.config.read_text().split("policies:")[0]
    world.config.write_text(text + "policies:\n" + MARKED)
    (first, *_) = replicas.fill(THREADS)
    assert world.run("sweep").code == 0
    replicas.fill(THREADS)
    world.emulator.latency = 0.2
    world.emulator.clear_log()
    process = world.start("sweep")
    until(lambda: len(world.emulator.log) > 2)
    process.kill()
    finished(process)
    world.emulator.latency = 0
    assert world.process("restore", first, "--wait", "1s").code == 5
    done = world.process("restore", first, *WAIT)
    assert done.code == 0, done.err
    assert "waiting up to" in done.err


def serve(world: World, name: str) -> tuple[subprocess.Popen[bytes], Path]:
    log = world.directory / name
    with log.open("wb") as stderr:
        process = start(
            "janitor",
            *world.arguments("serve"),
            env={**os.environ, **world.environment},
            cwd=world.directory,
            stderr=stderr,
        )
    world.started.append(process)
    return process, log


@pytest.mark.parametrize("killed", [False, True])
def test_a_plan_handed_over_is_carried_out_by_one_replica(
    replicas: Replicas, *, killed: bool
) -> None:
    world = replicas.world
    text = world.config.read_text().replace("{max_percent: 100}", "{max_threads: 1}")
    world.config.write_text(text + SCHEDULE)
    replicas.fill(THREADS)
    assert world.run("apply", planned(world), "--detach").code == 0
    world.emulator.latency = 0.05
    services = dict(serve(world, f"serve-{number}.log") for number in range(3))
    if killed:
        until(lambda: len(world.emulator.ids()) < THREADS)
        until(lambda: any(map(is_busy, services.values())))
        (busy,) = [one for one, log in services.items() if is_busy(log)]
        busy.kill()
    until(lambda: not replicas.registry.plans.waiting())
    assert replicas.deleted() == THREADS
    assert set(world.emulator.deletes.values()) == {1}
    results = [
        run.result for run in replicas.registry.runs.newest() if run.command.startswith("apply")
    ]
    assert results == (["done", "failed"] if killed else ["done"])


def is_busy(log: Path) -> bool:
    return " deleted " in log.read_text(encoding="utf-8")
