"""B9: how much of a quota of deletions a sweep uses, in the emulator's own time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from comparison import Measure, Size

from janitor.emulator import Emulator, LogEntry

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "e2e" / "time")]

from timed_world import KEY, timed  # noqa: E402 - tests are no package
from virtual_time import VirtualClock  # noqa: E402

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
OLD = BEGIN - timedelta(days=60)
OK = 200
MINUTE = timedelta(minutes=1)
QUOTA = 300
DELETIONS = 1000
UNTIL_FOUND = 3000
"""So many deletions `auto` takes to find the quota, to meet it and to go on."""
POLICIES = """\
limits: {max_percent: 100}
policies:
  - {name: old, default: true, delete: {after: 30d, items: keep}}
"""


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Deletions of each minute ÷ the quota, minutes until `auto` reaches 90 %, and 429s.

    Time leaps to the next event, for client and server alike, so a pair would repeat itself: the
    spread is that of the minutes.
    """
    by_minute, refused = swept(directory / "fixed", f"{QUOTA}/min", size.rows(DELETIONS))
    shares = tuple(done / QUOTA for done in by_minute)
    yield Measure("B9", f"{QUOTA}/min: deletions of a minute ÷ allowed", 0.97, shares)
    yield Measure("B9", f"{QUOTA}/min: 429s", 0, (refused,), at_most=True)
    by_minute, refused = swept(directory / "auto", "auto", size.rows(UNTIL_FOUND))
    enough = (minute for minute, done in enumerate(by_minute) if done >= 0.9 * QUOTA)
    reached = float(next(enough, len(by_minute)))
    yield Measure("B9", "auto: minutes to 90 %", 5, (reached,), at_most=True)
    yield Measure("B9", "auto: 429s", 3, (refused,), at_most=True)


def swept(directory: Path, rate: str, number: int) -> tuple[list[int], int]:
    """Deletions in each whole minute of a sweep, and how many were refused."""
    directory.mkdir()
    clock = VirtualClock(BEGIN)
    server = Emulator(
        {KEY: "main"},
        clock=clock,
        quota={"DELETE": QUOTA},
        quota_clock=clock.seconds,
        quota_named=False,
    )
    rates = f"{{delete: {rate}, read: unlimited, write: unlimited}}"
    with timed(directory, server, clock, rates, POLICIES) as world:
        for _ in range(number):
            world.add(OLD)
        world.sweep()
    asked = [entry for entry in server.log if entry.method == "DELETE"]
    return whole_minutes(asked), sum(entry.status != OK for entry in asked)


def whole_minutes(asked: list[LogEntry]) -> list[int]:
    """Deletions in each minute from the first on, but the last, which the end cuts short."""
    done = [(entry.at - asked[0].at) // MINUTE for entry in asked if entry.status == OK]
    return [done.count(minute) for minute in range(max(done[-1], 1))]
