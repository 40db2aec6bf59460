from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest
from fleet import LEASE_SECONDS, Replicas, has_said, wait_for_begin
from world import until

from janitor.engine.lease import LOST

STORE_FAILED, LOCKED = 3, 5
SCALE = int(os.environ.get("JANITOR_SCALE", "800"))
FEWER = SCALE * 5 // 8
KILLS = 16
"""About so many in a test, each after some more threads are gone, however long that takes."""
ENOUGH = 2
"""So many replicas have begun before one of them is killed."""


def was_held_up(replica: subprocess.Popen[bytes]) -> bool:
    """Whether it left because its lease ran out, as a busy machine may let it."""
    assert replica.stderr is not None
    said = replica.stderr.read()
    has_left = replica.wait() in (STORE_FAILED, LOCKED)
    return has_left and (LOST.encode() in said or b"lost the connection" in said)


def wait_to_kill(replicas: Replicas, working: list[subprocess.Popen[bytes]], goal: int) -> None:
    """Wait until so many are deleted and somebody is left to go on; or nothing will get there."""

    def is_time() -> bool:
        if any(process.poll() is not None for process in working):
            return True
        is_shared = sum(map(has_said, working)) >= ENOUGH
        return (is_shared and len(replicas.world.emulator.deletes) >= goal) or replicas.is_done()

    until(is_time)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("number", "threads"), [(3, SCALE), (2, FEWER), (4, FEWER)])
def test_killed_replicas_act_on_each_thread_once_and_leave_none(
    replicas: Replicas, number: int, threads: int
) -> None:
    ids = replicas.fill(threads)
    working = [replicas.begin() for _ in range(number)]
    chance, kills = random.Random(4711), 0  # noqa: S311 - no secret
    while not replicas.is_done():
        more = chance.randint(1, 2 * threads // KILLS)
        wait_to_kill(replicas, working, len(replicas.world.emulator.deletes) + more)
        left = [n for n, process in enumerate(working) if process.poll() is not None]
        turn = chance.choice(left or [n for n, one in enumerate(working) if has_said(one)])
        working[turn].kill()
        code = working[turn].wait()
        assert code in (0, -signal.SIGKILL) or was_held_up(working[turn]), code
        kills += code == -signal.SIGKILL
        working[turn] = replicas.begin()
    deletes = replicas.world.emulator.deletes
    assert {one: deletes[one] for one in ids} == Counter(ids)
    assert kills > 0
    assert replicas.registry.runs.first_broken() is None


def test_a_replica_that_slept_past_its_lease_does_nothing_more(replicas: Replicas) -> None:
    ids = replicas.fill(400)
    sleeper = replicas.begin()
    wait_for_begin(sleeper)
    until(lambda: replicas.deleted() > 20)
    sleeper.send_signal(signal.SIGSTOP)
    time.sleep(LEASE_SECONDS + 1)  # even a lease just renewed runs out, what it had sent is done
    assert replicas.deleted() < len(ids)
    seen = len(replicas.world.changes)
    sleeper.send_signal(signal.SIGCONT)
    assert was_held_up(sleeper)
    assert seen == len(replicas.world.changes)
    replicas.begin().wait(timeout=900)
    assert replicas.is_done()
    deletes = replicas.world.emulator.deletes
    assert {one: deletes[one] for one in ids} == Counter(ids)
