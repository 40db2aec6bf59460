"""B0: how much of a quota of reads and deletions a backlog uses, in the emulator's own time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from comparison import Measure, Size
from quotas import whole_minutes

from janitor.emulator import Emulator
from janitor.model import Kind

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "e2e" / "time")]

from timed_world import KEY, timed  # noqa: E402 - tests are no package
from virtual_time import VirtualClock  # noqa: E402

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
QUOTA = {"DELETE": 300, "GET": 1000}
RATE = "{delete: 300/min, read: 1000/min, write: unlimited}"
AT_ONCE = 32
LATENCY = 0.1
ITEMS = 2
TOO_MANY = 429
MINUTES = 2.2
"""How long a backlog takes at the quota: two whole minutes, and some time to end."""
DELETE = "delete: {after: 30d, items: keep}"
ARCHIVE = f"archive: {{after: 7d, keep_for: 1y}}, {DELETE}"
POLICIES = """\
archive: {{url: "file://{directory}/archive"}}
limits: {{max_percent: 100}}
policies:
  - {{name: old, default: true, {stages}}}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A backlog under one policy; `scene` is its row in the table of calls per thread."""

    name: str
    scene: str
    stages: str
    is_archived_earlier: bool = False


CASES = (
    Case("deleted", "deleted, items kept", DELETE),
    Case("archived and deleted", "archived and deleted, items kept", ARCHIVE),
    Case(
        "archived earlier",
        "archived earlier, deleted, items kept",
        ARCHIVE,
        is_archived_earlier=True,
    ),
)


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Threads of each minute ÷ what the quota allows; 429s; reads ÷ those that are needed."""
    refused, reads = list[float](), list[float]()
    for case in CASES:
        for kind in Kind:
            needed = reads_of(case.scene, kind)
            allowed = min(QUOTA["DELETE"], QUOTA["GET"] / needed)
            number = size.rows(int(allowed * MINUTES))
            server = swept(directory / f"{case.name} {kind}", case, kind, number)
            deletions = [entry for entry in server.log if entry.method == "DELETE"]
            shares = tuple(done / allowed for done in whole_minutes(deletions))
            yield Measure("B0", f"{kind}, {case.name}, a minute", 0.97, shares)
            methods = Counter(entry.method for entry in server.log)
            reads.append(methods["GET"] / (number * needed))
            refused.append(float(sum(entry.status == TOO_MANY for entry in server.log)))
    yield Measure("B0", "most reads ÷ those that are needed", 1.01, (max(reads),), at_most=True)
    yield Measure("B0", "429s", 0, (sum(refused),), at_most=True)


def reads_of(scene: str, kind: Kind) -> int:
    """The reads of a thread, as the documentation has them."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    head = next(row for row in rows if kind in row)
    calls = next(row for row in rows if row[0] == scene)[head.index(kind)]
    return int(calls.partition(" GET")[0])


def swept(directory: Path, case: Case, kind: Kind, number: int) -> Emulator:
    """A server after the sweep that deletes so many threads; its log is of that sweep."""
    directory.mkdir()
    clock = VirtualClock(BEGIN)
    server = Emulator(
        {KEY: "main"},
        clock=clock,
        quota=QUOTA,
        quota_clock=clock.seconds,
        quota_named=False,
    )
    policies = POLICIES.format(directory=directory, stages=case.stages)
    age = 10 * DAY if case.is_archived_earlier else 60 * DAY
    with timed(directory, server, clock, RATE, policies, at_once=AT_ONCE, latency=LATENCY) as world:
        for _ in range(number):
            world.add(BEGIN - age, ITEMS, kind=kind)
        if case.is_archived_earlier:
            world.sweep()
            clock.set(BEGIN + 25 * DAY)
            server.clear_log()
        world.sweep()
    assert not server.ids(), "all of them were due"
    return server
