"""Measures, and says how ours compares with the reference: `python bench/run.py [ID]...`."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import archived_objects
import archived_threads
import backlogs
import deleted_threads
import due_rows
import idle_memory
import imported_rows
import many_policies
import quotas
import redecided_rows
import start_up
import swept_registries
import tracked_calls
import two_replicas
import unwritten_sweeps
from comparison import Measure, Size

RESULTS = Path(os.environ.get("BENCH_RESULTS", Path(__file__).with_name("results.json")))
SIZE = Size(
    pairs=int(os.environ.get("BENCH_PAIRS", "5")),
    calls=int(os.environ.get("BENCH_CALLS", "40")),
    share=float(os.environ.get("BENCH_SHARE", "1")),
)
LIBRARIES = ("thread-janitor", "openai", "aiohttp", "sqlalchemy", "orjson", "zstandard", "psycopg")
MODULES: dict[str, Callable[[Path, Size], Iterator[Measure]]] = {
    "B0": backlogs.measures,
    "B1": swept_registries.measures,
    "B2": due_rows.measures,
    "B3": many_policies.measures,
    "B4": redecided_rows.measures,
    "B5": deleted_threads.measures,
    "B6": archived_threads.measures,
    "B7": archived_objects.measures,
    "B8": unwritten_sweeps.measures,
    "B9": quotas.measures,
    "B10": start_up.measures,
    "B11": idle_memory.measures,
    "B12": two_replicas.measures,
    "B13": tracked_calls.measures,
    "B14": imported_rows.measures,
}
LARGE = frozenset({"B1"})
"""Taken only by name: it needs gigabytes."""


def main() -> None:
    """Measure what is named, or everything; print the table and write the results."""
    lines = list[Measure]()
    for name in sys.argv[1:] or [name for name in MODULES if name not in LARGE]:
        if name not in MODULES:
            sys.exit(f"unknown measure {name}: use {', '.join(MODULES)}")
        with tempfile.TemporaryDirectory() as directory:
            os.environ["JANITOR_SPOOL"] = f"{directory}/spool"
            for line in MODULES[name](Path(directory), SIZE):
                print(line.shown, flush=True)  # noqa: T201 - a command
                lines.append(line)
    found = {
        "machine": machine(),
        "versions": {name: version(name) for name in LIBRARIES},
        "measures": [asdict(line) | summary(line) for line in lines],
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def machine() -> dict[str, object]:
    """What the measures were taken on."""
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[1],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def processor(info: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name."""
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    named = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return named[1] if named else platform.machine()


def summary(line: Measure) -> dict[str, float]:
    """What a reader compares."""
    spread = {"median": line.median, "least": min(line.ratios), "most": max(line.ratios)}
    sides = line.sides
    return spread if sides is None else spread | {"ours": sides[0], "reference": sides[1]}


if __name__ == "__main__":
    main()
