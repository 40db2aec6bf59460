"""B12: two replicas on PostgreSQL, beside one."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from comparison import Measure, Pair, Size
from server import BUSY, Server, serving
from sweeps import DELETE, prepare

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

import postgres  # noqa: E402 - tests are no package

THREADS = 600
AT_ONCE = 16
LATENCY = 0.1


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Deletions a second between the first and the last, by the server's log; twice done; load."""
    number, names = size.rows(THREADS), count()
    ratios, twice, busy = list[Pair](), list[float](), list[float]()
    with postgres.serve() as database, serving(LATENCY) as server:

        def swept(replicas: int) -> tuple[float, int, float]:
            place = directory / f"b12_{next(names)}"
            ids = server.conversations(number)
            with database.registry() as name:
                url = database.url(name)
                config = prepare(place, server, ids, at_once=AT_ONCE, stages=DELETE, registry=url)
                _, load = server.timed(lambda: run(config, replicas))
            return *pace(server, ids), load

        for pair in range(size.pairs):
            sides = {replicas: swept(replicas) for replicas in ((1, 2) if pair % 2 else (2, 1))}
            ratios.append(Pair.of(sides[2][0], sides[1][0]))
            twice.append(float(sides[2][1]))
            busy.append(sides[2][2])
    told = f"{AT_ONCE} at once each, {LATENCY * 1000:.0f} ms"
    yield Measure("B12", f"two replicas ÷ one, {told}", 1.8, tuple(ratios), unit="threads/s")
    yield Measure("B12", "threads deleted twice", 0, tuple(twice), at_most=True)
    yield Measure("B12", f"the server's core, {told}", BUSY, tuple(busy), at_most=True)


def run(config: Path, replicas: int) -> None:
    """So many processes sweep until all of them end."""
    command = [sys.executable, "-m", "janitor", "--config", str(config), "sweep"]
    started = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(replicas)
    ]
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said


def pace(server: Server, ids: list[str]) -> tuple[float, int]:
    """Deletions a second, and how many threads were deleted more than once."""
    done = server.deletions()
    times = Counter(path.rpartition("/")[2] for path, _ in done)
    assert set(times) == set(ids), f"{len(times)} of {len(ids)} were deleted"
    seconds = done[-1][1] - done[0][1]
    return (len(done) - 1) / max(seconds, 1e-3), sum(each > 1 for each in times.values())
