from __future__ import annotations

import os
import random
import time
from collections import Counter
from itertools import cycle

import pytest
from fleet import Replicas, has_begun

SCALE = int(os.environ.get("JANITOR_SCALE", "2000"))


@pytest.mark.timeout(3600)
def test_killed_replicas_act_on_each_thread_once_and_leave_none(replicas: Replicas) -> None:
    ids = replicas.fill(SCALE)
    working = [replicas.begin() for _ in range(3)]
    chance, kills = random.Random(4711), 0  # noqa: S311 - no secret
    for turn in cycle(range(len(working))):
        if has_begun(working[turn]):
            time.sleep(chance.uniform(0.5, 2.0))  # how long it lives, not a wait for anything
            working[turn].kill()
            kills += working[turn].wait() != 0
        if replicas.is_done():
            break
        working[turn] = replicas.begin()
    deletes = replicas.world.emulator.deletes
    assert {one: deletes[one] for one in ids} == Counter(ids)
    assert kills >= min(3, SCALE // 500)
    assert replicas.registry.first_broken_run() is None
