"""Draws what a sweep costs: CPU against rows, due threads, policies and items.

`python bench/draw_costs.py FILE.svg`: one line for each, everything else staying as it is. Each
point is the median of BENCH_REPEATS sweeps (3) by a server without latency.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from server import Server, serving
from sweeps import ARCHIVE, DELETE, OLD, prepare, sweep

from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

DUE = 100
AT_ONCE = 32
YOUNG = datetime.now(UTC) - timedelta(days=1)
LATER = "2099-01-01 00:00:00.000000"
"""When rows that are not due are looked at, as the registry writes it."""
REPEATS = int(os.environ.get("BENCH_REPEATS", "3"))
LARGEST = int(os.environ.get("BENCH_LARGEST", "100000"))
POINTS: Mapping[str, tuple[int, ...]] = {
    "registered rows": (1_000, 10_000, 100_000),
    "due threads": (50, 100, 200, 400),
    "policies": (1, 10, 100, 1_000),
    "items of a thread, archived and deleted": (2, 20, 50, 100),
}


def main() -> None:
    """Measure and draw."""
    (file,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory, serving(0.0) as server:
        os.environ["JANITOR_SPOOL"] = f"{directory}/spool"
        places = (Path(directory) / f"{number}" for number in count())
        spent_on(server, next(places), {"due threads": 1})  # which imports what a sweep needs
        lines = {
            what: [
                (
                    number,
                    statistics.median(
                        spent_on(server, next(places), {what: number}) for _ in range(REPEATS)
                    ),
                )
                for number in numbers
                if number <= LARGEST
            ]
            for what, numbers in POINTS.items()
        }
    draw(lines, Path(file))


def spent_on(server: Server, place: Path, numbers: Mapping[str, int]) -> float:
    """Seconds of CPU of one sweep with so many of something."""
    due, rows = numbers.get("due threads", DUE), numbers.get("registered rows", 0)
    items = numbers.get("items of a thread, archived and deleted")
    ids = server.conversations(due, items or 2)
    stages = DELETE if items is None else ARCHIVE
    config = prepare(place, server, ids, at_once=AT_ONCE, stages=stages)
    with config.open("a", encoding="utf-8") as opened:
        opened.writelines(others(numbers.get("policies", 1) - 1))
    sweep(config)  # after a change of policies a sweep decides all rows: that is not measured
    again = server.conversations(due, items or 2)
    with Registry.open(f"sqlite:///{place / 'janitor.db'}") as registry:
        register(registry, again, OLD)
        register(registry, (f"conv_later_{n}" for n in range(rows - 2 * due)), YOUNG)
    with closing(sqlite3.connect(place / "janitor.db")) as connection, connection:
        connection.execute(f"UPDATE thread SET review_at = '{LATER}' WHERE id LIKE 'conv_later_%'")  # noqa: S608 - ours
    begun = time.process_time()
    sweep(config)
    return time.process_time() - begun


def register(registry: Registry, ids: Iterable[str], at: datetime) -> None:
    """Register conversations that were last active then."""
    keys = (Key("main", Kind.CONVERSATION, one) for one in ids)
    registry.registrations.add((Registration(key, at, at) for key in keys), at)


def others(number: int) -> Iterator[str]:
    """Policies of other threads."""
    for each in range(number):
        match = f"{{project: main, metadata: {{plan: plan_{each}}}}}"
        yield f"  - {{name: other_{each}, match: {match}, delete: {{after: 60d}}}}\n"


def draw(lines: Mapping[str, list[tuple[int, float]]], file: Path) -> None:
    """A panel for each line, by one scale of seconds."""
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "costs", "font.size": 8}
    figure, panels = plt.subplots(
        1, len(lines), figsize=(11, 2.6), sharey=True, layout="constrained"
    )
    for panel, (what, points) in zip(panels, lines.items(), strict=True):
        panel.plot(*zip(*points, strict=True), marker="o", markersize=3)
        panel.set_xlabel(what)
        if points[-1][0] > 10 * points[0][0]:
            panel.set_xscale("log")
    panels[0].set_ylim(bottom=0)  # of all panels: they share the axis
    panels[0].set_ylabel("seconds of CPU of a sweep")
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
