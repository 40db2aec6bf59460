"""B10: how long a command takes before it does anything."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from comparison import Measure, Size, times
from filled_registry import fill

REGISTERED = 1_000_000
AGAIN = 5  # a bare interpreter is over too soon to be measured once
LIBRARIES = "import click, yaml, pydantic, sqlmodel, openai, httpx2, prometheus_client"
CONFIG = """\
version: 1
registry: {{url: "sqlite:///{registry}"}}
projects: {{main: {{api_key: {{env: BENCH_KEY}}}}}}
policies:
  - {{name: old, match: {{project: main}}, delete: {{after: 30d}}}}
"""


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """CPU of whole processes, ours ÷ the reference's."""
    help_ratios = tuple(
        times(
            lambda: process("-m", "janitor", "--help", again=AGAIN),
            lambda: process("-c", "pass", again=AGAIN),
            size.pairs,
            spent_by_children,
        )
    )
    yield Measure("B10", "--help ÷ a bare interpreter, CPU", 6.0, help_ratios, at_most=True)
    number, file = size.rows(REGISTERED), directory / "janitor.yaml"
    file.write_text(CONFIG.format(registry=directory / "registered.db"), encoding="utf-8")
    os.environ["BENCH_KEY"] = "sk-bench"
    fill(file, number, 0)
    plan = ("-m", "janitor", "--config", str(file), "plan", "--offline")
    ratios = tuple(
        times(
            lambda: process(*plan),
            lambda: process("-c", LIBRARIES),
            size.pairs,
            spent_by_children,
        )
    )
    yield Measure("B10", f"plan --offline of {number} ÷ imports, CPU", 1.5, ratios, at_most=True)


def process(*arguments: str, again: int = 1) -> None:
    """Run an interpreter to its end, `again` and again."""
    for _ in range(again):
        command = [sys.executable, *arguments]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def spent_by_children() -> float:
    """Seconds of CPU of all processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
