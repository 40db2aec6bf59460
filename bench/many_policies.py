"""B3: a plan with a thousand policies, beside one with ten, of the same due threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from comparison import Measure, Size, times
from filled_registry import configured

from janitor.cli import execute

DUE = 10_000
FEW, MANY = 10, 1000


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """CPU of `plan --offline`, with many policies ÷ with few; all but one match nothing."""
    os.environ["BENCH_KEY"] = "sk-bench"
    number = size.rows(DUE)

    many, few = (configured(directory, policies, number, number) for policies in (MANY, FEW))
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
