"""Where reading is what takes time, no look gets so old while it waits that it is taken again."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from timed_world import KEY, timed
from virtual_time import VirtualClock

from janitor.emulator import Emulator
from janitor.model import Kind

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
OLD = BEGIN - timedelta(days=60)
THREADS = 24
READS = 7
"""Of an agent session that is archived and deleted."""
RATES = "{delete: 300/min, read: 1000/min, write: unlimited}"
POLICIES = """\
archive: {{url: "file://{directory}/archive"}}
limits: {{max_percent: 100}}
policies:
  - {{name: old, default: true, archive: {{after: 7d, keep_for: 1y}}, delete: {{after: 30d}}}}
"""


def test_many_at_once_are_read_no_more_often_than_one(tmp_path: Path) -> None:
    clock = VirtualClock(BEGIN)
    server = Emulator({KEY: "main"}, clock=clock)
    policies = POLICIES.format(directory=tmp_path)
    with timed(tmp_path, server, clock, RATES, policies, at_once=THREADS, latency=0.1) as world:
        for _ in range(THREADS):
            world.add(OLD, 2, kind=Kind.AGENT_SESSION)
        world.sweep()
    made = Counter(entry.method for entry in server.log)
    assert made == {"GET": THREADS * READS, "DELETE": THREADS}
