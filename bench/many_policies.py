"""B3: a plan with a thousand policies, beside one with ten, of the same due threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from comparison import Measure, Size, times
from filled_registry import fill

from janitor.cli import execute

DUE = 10_000
FEW, MANY = 10, 1000
CONFIG = """\
version: 1
registry: {{url: "sqlite:///{registry}"}}
projects: {{main: {{api_key: {{env: BENCH_KEY}}}}}}
policies:
  - {{name: old, match: {{project: main}}, delete: {{after: 30d}}}}
"""
OTHER = "  - {{name: other-{n}, match: {{metadata: {{tenant: t{n}}}}}, delete: {{after: 60d}}}}\n"


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """CPU of `plan --offline`, with many policies ÷ with few; all but one match nothing."""
    os.environ["BENCH_KEY"] = "sk-bench"
    number = size.rows(DUE)

    def configured(policies: int) -> Path:
        file = directory / f"{policies}.yaml"
        others = "".join(OTHER.format(n=n) for n in range(policies - 1))
        registry = directory / f"{policies}.db"
        file.write_text(CONFIG.format(registry=registry) + others, encoding="utf-8")
        fill(file, number, number)
        return file

    many, few = configured(MANY), configured(FEW)
    plan(many)
    plan(few)
    ratios = tuple(times(lambda: plan(many), lambda: plan(few), size.pairs))
    what = f"plan of {number} due with {MANY} policies ÷ {FEW}, CPU"
    yield Measure("B3", what, 1.5, ratios, at_most=True)


def plan(config: Path) -> None:
    """Plan from the registry alone."""
    with redirect_stdout(StringIO()) as said:
        code = execute(["--config", str(config), "plan", "--offline"])
    assert code == 0, said.getvalue()
