"""Lives through months of scheduled sweeps in a process of its own: `DIRECTORY ZONE CRON DATE...`.

Each date begins a month. Writes what `Lived` holds, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from timed_world import KEY, Timed, timed
from virtual_time import VirtualClock

from janitor.emulator import Emulator
from janitor.service.scheduler import Trigger

DAY = timedelta(days=1)
OLDER = timedelta(hours=27)  # due two runs later, however short the nights and late the runs
MONTH = 31
BEFORE = 10  # runs, until all that is kept between them has been made
CONFIG = """\
schedule: {{cron: "{cron}", timezone: {zone}, jitter: 10m}}
archive: {{url: "file://archive", keep_for: 10d}}
limits: {{max_percent: 100}}
policies:
  - {{name: old, default: true, archive: {{after: 1d}}, delete: {{after: 3d}}}}
"""


@dataclass(frozen=True)
class Measure:
    """What the process holds: resident bytes, open descriptors, threads.

    The registry's own files are counted apart: its pool opens as many connections as threads were
    ever busy at once, up to its size, and how many that are is the machine's doing.
    """

    memory: int
    files: int
    threads: int
    connections: int

    @classmethod
    def now(cls) -> Measure:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        opened = [Path(os.path.realpath(fd)).name for fd in Path("/proc/self/fd").iterdir()]
        files = sum(not name.startswith("janitor.db") for name in opened)
        return cls(
            memory=pages * os.sysconf("SC_PAGE_SIZE"),
            files=files,
            threads=threading.active_count(),
            connections=opened.count("janitor.db-wal"),
        )


@dataclass(frozen=True)
class Lived:
    """When it ran, by the zone's clocks; what it held early and late; what the runs came to."""

    runs: list[str]
    early: Measure
    late: Measure
    done: float
    deleted: int


def fired(world: Timed, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    """Set the clock to each fire time of a month."""
    trigger, at = Trigger(world.live.schedule(), 0.5), None
    world.clock.set(start)
    while (at := trigger.get_next_fire_time(at, world.now)) < start + MONTH * DAY:
        world.clock.set(at)
        yield at.astimezone(zone)


def live(world: Timed, zone: ZoneInfo, starts: list[datetime]) -> Lived:
    runs: list[str] = []
    measures: list[Measure] = []
    for start in starts:
        for at in fired(world, zone, start):
            world.add(world.now - OLDER, items=2)
            world.sweep()
            world.live.reload()
            world.live.refresh()
            runs.append(at.isoformat())
            measures.append(Measure.now())
            world.server.clear_log()
    done = world.metric("janitor_sweeps_total", result="done")
    deleted = int(world.metric("janitor_threads", state="deleted"))
    return Lived(runs, measures[BEFORE], measures[-1], done, deleted)


def main() -> None:
    directory, name, cron, *dates = sys.argv[1:]
    zone = ZoneInfo(name)
    starts = [datetime.fromisoformat(date).replace(tzinfo=zone) for date in dates]
    clock = VirtualClock(starts[0])
    server = Emulator({KEY: "main"}, clock=clock)
    rate = "{delete: unlimited, read: unlimited, write: unlimited}"
    more = CONFIG.format(cron=cron, zone=name)
    with timed(Path(directory), server, clock, rate, more) as world:
        sys.stdout.write(json.dumps(asdict(live(world, zone, starts))))


if __name__ == "__main__":
    main()
