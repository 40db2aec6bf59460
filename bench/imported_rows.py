"""B14: importing a file, beside csv and executemany into the same schema."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from itertools import count
from pathlib import Path

from comparison import Measure, Size, speeds

from janitor.cli import execute
from janitor.registry import Registry

ROWS = 50_000
CONFIG = """\
version: 1
registry: {{url: "sqlite:///{registry}"}}
projects: {{main: {{api_key: {{env: BENCH_KEY}}}}}}
policies:
  - {{name: old, match: {{project: main}}, delete: {{after: 30d}}}}
"""
THREADS = """\
INSERT INTO thread (project, kind, id, state, registered_at, created_at, last_active_at,
    reported_at, reported, review_at, copy_is_current, attempts)
VALUES ('main', 'conversation', ?, 'active', ?, ?, ?, ?, ?, ?, 0, 0)
"""
LABELS = "INSERT INTO label VALUES ('main', 'conversation', ?, 'plan', ?)"


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Rows a second, ours ÷ the reference's, by CPU, into an empty registry each time."""
    number, names = size.rows(ROWS), count()
    file = directory / "threads.csv"
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["id", "created_at", "last_active_at", "metadata.plan"])
        for n in range(number):
            writer.writerow([f"conv_{n}", "2026-01-31T12:00:00Z", "2026-02-01T12:00:00Z", "trial"])

    def empty() -> Path:
        place = directory / f"imported_{next(names)}.db"
        Registry.open(f"sqlite:///{place}").close()
        return place

    def ours() -> None:
        place = empty()
        config = directory / "import.yaml"
        config.write_text(CONFIG.format(registry=place), encoding="utf-8")
        with redirect_stdout(StringIO()) as said:
            code = execute(["--config", str(config), "import", str(file)])
        assert code == 0, said.getvalue()

    ratios = tuple(speeds(ours, lambda: insert(file, empty()), size.pairs))
    yield Measure("B14", f"import of {number} rows, a second of CPU", 0.6, ratios)


def insert(file: Path, place: Path) -> None:
    """What a program of a few lines does."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    threads, labels = [], []
    with file.open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            times = [
                datetime.fromisoformat(row[name]).strftime("%Y-%m-%d %H:%M:%S.%f")
                for name in ("created_at", "last_active_at")
            ]
            plan = row["metadata.plan"]
            told = f'{{"plan": "{plan}"}}'
            threads.append((row["id"], now, *times, times[1], told, now))
            labels.append((row["id"], plan))
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.executemany(THREADS, threads)
        connection.executemany(LABELS, labels)
