"""Whole sweeps under a quota of 300 deletions a minute; minutes are the emulator's own."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from timed_world import KEY, timed
from virtual_time import VirtualClock

from janitor.emulator import Emulator

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
OLD = BEGIN - timedelta(days=60)
QUOTA = 300
ITEMS = 20  # each is deleted before its conversation, at the same quota
MINUTES = int(os.environ.get("JANITOR_MINUTES", "24"))
POLICIES = """\
limits: {max_percent: 100}
policies:
  - {name: old, default: true, delete: {after: 30d}}
"""


def swept(directory: Path, rate: str, deletes: int, *, named: bool = False) -> Emulator:
    """A server after one sweep of so many deletions."""
    clock = VirtualClock(BEGIN)
    server = Emulator(
        {KEY: "main"},
        clock=clock,
        quota={"DELETE": QUOTA},
        quota_clock=clock.seconds,
        quota_named=named,
    )
    with timed(directory, server, clock, rate, POLICIES) as world:
        for _ in range(deletes // (ITEMS + 1)):
            world.add(OLD, ITEMS)
        world.sweep()
        assert server.ids() == []
        assert world.metric("janitor_sweeps_total", result="done") == 1
    return server


def by_minute(server: Emulator, status: int) -> list[int]:
    """DELETE requests answered so, in each minute but the last, which the end cut short."""
    asked = [entry for entry in server.log if entry.method == "DELETE"]
    counted = Counter(
        (entry.at - BEGIN) // timedelta(minutes=1) for entry in asked if entry.status == status
    )
    last = (asked[-1].at - BEGIN) // timedelta(minutes=1)
    return [counted[minute] for minute in range(last)]


def test_auto_finds_the_quota_and_holds_it(tmp_path: Path) -> None:
    deletes = 2000 + 286 * (MINUTES - 10)
    server = swept(tmp_path, "{delete: auto, read: auto, write: auto}", deletes)
    done, refused = by_minute(server, 200), by_minute(server, 429)
    steady = done[13:]
    assert len(steady) >= 8
    assert max(done[:12]) >= 0.9 * QUOTA, "found within twelve minutes"
    assert 0.9 * QUOTA <= sum(steady) / len(steady) <= QUOTA
    assert min(steady) >= 0.6 * QUOTA, "no minute is lost to a 429"
    assert sum(refused) <= 3


def test_auto_takes_half_of_a_quota_that_the_server_names(tmp_path: Path) -> None:
    server = swept(tmp_path, "{delete: auto}", 1600, named=True)
    done = by_minute(server, 200)
    assert sum(by_minute(server, 429)) == 0
    assert max(done[1:]) <= 0.51 * QUOTA, "the first minute begins before anything was named"
    assert min(done[3:]) >= 0.48 * QUOTA


@pytest.mark.parametrize("rate", [290, QUOTA])
def test_a_fixed_rate_within_the_quota_never_meets_it(tmp_path: Path, rate: int) -> None:
    server = swept(tmp_path, f"{{delete: {rate}/min}}", 1900)
    done = by_minute(server, 200)
    assert sum(by_minute(server, 429)) == 0
    assert min(done[1:]) >= 0.97 * rate
