"""B1: a sweep of the same number of due threads, in a large registry and in one ten times as large.

Excluded from `make bench` without `B=B1`: the larger registry takes gigabytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

from comparison import Measure, Size, times
from filled_registry import fill
from server import serving

from janitor.cli import execute
from janitor.config import load
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

REGISTERED = 1_000_000
MORE = 10
DUE = 1000
OLD = datetime.now(UTC) - timedelta(days=90)
CONFIG = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///{registry}"}}
projects:
  main:
    api_key: {{env: BENCH_KEY}}
    base_url: "{url}"
    rate: {{delete: unlimited, read: unlimited, write: unlimited}}
limits: {{max_percent: 100}}
policies:
  - {{name: old, match: {{project: main}}, delete: {{after: 30d, items: keep}}}}
"""


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """CPU of a sweep, in the larger registry ÷ in the smaller one."""
    number, due, spent = size.rows(REGISTERED), size.rows(DUE), [0.0]
    with serving() as server:
        os.environ["BENCH_KEY"] = server.key
        configs = []
        for rows in (number * MORE, number):
            config = directory / f"{rows}.yaml"
            registry = directory / f"{rows}.db"
            config.write_text(CONFIG.format(registry=registry, url=server.url), encoding="utf-8")
            fill(config, rows, 0)
            configs.append(config)

        def sweep(config: Path) -> None:
            keys = [Key("main", Kind.CONVERSATION, one) for one in server.conversations(due)]
            with Registry.open(load(config).registry.url) as opened:
                opened.registrations.add((Registration(key, OLD, OLD) for key in keys), OLD)
            begun = time.process_time()
            with redirect_stdout(StringIO()) as said, redirect_stderr(said):
                code = execute(["--config", str(config), "sweep"])
            spent[0] += time.process_time() - begun
            assert code == 0, said.getvalue()

        larger, smaller = configs
        for config in configs:
            sweep(config)  # so that both are warm
        both = (lambda: sweep(larger), lambda: sweep(smaller))
        ratios = tuple(times(*both, size.pairs, lambda: spent[0]))
    what = f"sweep of {due} due: {number * MORE} registered ÷ {number}, CPU"
    yield Measure("B1", what, 1.3, ratios, at_most=True)
