"""B10: how long a command takes before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from comparison import Measure, Size, times

from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

REGISTERED = 100_000
OLD = datetime.now(UTC) - timedelta(days=5)
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
            lambda: process("-m", "janitor", "--help"),
            lambda: process("-c", "pass"),
            size.pairs,
            spent_by_children,
        )
    )
    yield Measure("B10", "--help ÷ a bare interpreter, CPU", 6.0, help_ratios, at_most=True)
    number, file = size.rows(REGISTERED), directory / "janitor.yaml"
    registry = directory / "registered.db"
    file.write_text(CONFIG.format(registry=registry), encoding="utf-8")
    with Registry.open(f"sqlite:///{registry}") as opened:
        keys = (Key("main", Kind.CONVERSATION, f"conv_{n}") for n in range(number))
        opened.registrations.add((Registration(key, OLD, OLD) for key in keys), OLD)
    plan = ("-m", "janitor", "--config", str(file), "plan", "--offline")
    process(*plan)  # which finds the rows of a first run due for a look
    ratios = tuple(
        times(
            lambda: process(*plan),
            lambda: process("-c", LIBRARIES),
            size.pairs,
            spent_by_children,
        )
    )
    yield Measure("B10", f"plan --offline of {number} ÷ imports, CPU", 1.5, ratios, at_most=True)


def process(*arguments: str) -> None:
    """Run an interpreter to its end."""
    subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"BENCH_KEY": "sk-bench"},
        stdout=subprocess.DEVNULL,
        check=False,
    )


def spent_by_children() -> float:
    """Seconds of CPU of all processes that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system
