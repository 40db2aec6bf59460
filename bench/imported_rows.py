"""B14: importing a file and draining the inbox, beside executemany into the same schema."""

from __future__ import annotations

import csv
import json
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

ROWS = 200_000
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
NOTICES = """\
INSERT INTO janitor_inbox (v, project, kind, id, at, event, created_at, metadata)
VALUES (1, 'main', 'conversation', ?, ?, 'register', ?, ?)
"""
WAITING = """\
SELECT seq, id, at, created_at, metadata FROM janitor_inbox WHERE drained_at IS NULL ORDER BY seq
"""
DRAINED = "UPDATE janitor_inbox SET drained_at = ? WHERE seq = ?"
CREATED, ACTIVE = "2026-01-31 12:00:00.000000", "2026-02-01 12:00:00.000000"


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Rows a second, ours ÷ the reference's, by CPU, of new threads each time."""
    yield imported(directory, size)
    yield drained(directory, size)


def imported(directory: Path, size: Size) -> Measure:
    """Rows of a file."""
    number, names = size.rows(ROWS), count()
    file = directory / "threads.csv"
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["id", "created_at", "last_active_at", "metadata.plan"])
        for n in range(number):
            writer.writerow([f"conv_{n}", "2026-01-31T12:00:00Z", "2026-02-01T12:00:00Z", "trial"])

    def empty() -> Path:
        return made(directory / f"imported_{next(names)}.db")

    def ours() -> None:
        place = empty()
        config = directory / "import.yaml"
        config.write_text(CONFIG.format(registry=place), encoding="utf-8")
        with redirect_stdout(StringIO()) as said:
            code = execute(["--config", str(config), "import", str(file)])
        assert code == 0, said.getvalue()

    ratios = tuple(speeds(ours, lambda: insert(file, empty()), size.pairs))
    return Measure("B14", f"import of {number} rows, a second of CPU", 0.6, ratios)


def drained(directory: Path, size: Size) -> Measure:
    """Notices of the inbox; filling it is part of neither side."""
    number = size.rows(ROWS)
    places = [directory / f"drained_{n}.db" for n in range(2 * size.pairs)]
    for place in places:
        made(place)
        fill(place, number)
    left = iter(places)

    def ours() -> None:
        with closing(Registry.open(f"sqlite:///{next(left)}")) as registry:
            assert registry.inbox.drain(datetime.now(UTC)).judged == number

    ratios = tuple(speeds(ours, lambda: drain(next(left)), size.pairs))
    return Measure("B14", f"drain of {number} inbox rows, a second of CPU", 0.6, ratios)


def made(place: Path) -> Path:
    """An empty registry."""
    Registry.open(f"sqlite:///{place}").close()
    return place


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


def fill(place: Path, number: int) -> None:
    """Append notices, as an application does."""
    rows = ((f"conv_{n}", ACTIVE, CREATED, '{"plan": "trial"}') for n in range(number))
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.executemany(NOTICES, rows)


def drain(place: Path) -> None:
    """What a program of a few lines does."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    threads, labels, marks = [], [], []
    with closing(sqlite3.connect(place)) as connection, connection:
        for seq, thread, at, created, metadata in connection.execute(WAITING):
            times = [
                datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S.%f")
                for text in (created, at)
            ]
            threads.append((thread, now, *times, times[1], metadata, now))
            labels += [(thread, plan) for plan in json.loads(metadata).values()]
            marks.append((now, seq))
        connection.executemany(THREADS, threads)
        connection.executemany(LABELS, labels)
        connection.executemany(DRAINED, marks)
