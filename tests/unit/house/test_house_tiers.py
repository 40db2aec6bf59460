"""Each test belongs to one tier, and the tiers together are all tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiers import PLACES, Tier, is_needed, place_of

ROOT = Path(__file__).parents[3]
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/**/test_*.py"))

SAMPLE = """\
import pytest

def test_plain(): ...

@pytest.mark.slow
def test_marked(): ...

@pytest.mark.each_once("a", "b,c")
@pytest.mark.parametrize("a", ["a1", "a2", "a3"])
@pytest.mark.parametrize(("b", "c"), [("b", 1), ("b", 2)])
def test_matrix(a, b, c): ...
"""


def test_every_test_file_has_a_tier() -> None:
    assert [file for file in FILES if place_of(file) is None] == []


@pytest.mark.parametrize("place", PLACES)
def test_every_place_decides_about_a_test_file(place: str) -> None:
    assert any(place_of(file) == place for file in FILES)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 5), (5, 2), (29, 21), (3, 3)])
def test_the_needed_pairs_hold_each_row_and_each_column(rows: int, columns: int) -> None:
    pairs = [(r, c) for r in range(rows) for c in range(columns) if is_needed(r, c, rows, columns)]
    assert len(pairs) == max(rows, columns)
    assert {row for row, _ in pairs} == set(range(rows))
    assert {column for _, column in pairs} == set(range(columns))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with one file in each tier, each with the same tests."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["slow", "each_once"]\n', encoding="utf-8"
    )
    for tier in Tier:
        place = next(one for one, of in PLACES.items() if of is tier and not one.endswith(".py"))
        file = tmp_path / place / f"test_{tier}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SAMPLE, encoding="utf-8")
    return tmp_path


def collected(tree: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "tiers", *arguments]
    done = subprocess.run(
        command,
        cwd=tree,
        env={"PYTHONPATH": str(ROOT / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return re.findall(r"^tests/.*/(test_\w+\.py::.+)$", done.stdout, re.MULTILINE)


def test_each_test_runs_in_one_tier(tree: Path) -> None:
    by_tier = {tier: collected(tree, f"--tier={tier}") for tier in Tier}
    needed = ["test_plain", "test_matrix[b-1-a1]", "test_matrix[b-2-a2]", "test_matrix[b-1-a3]"]
    for tier in (Tier.QUICK, Tier.STANDARD):
        assert sorted(by_tier[tier]) == sorted(f"test_{tier}.py::{name}" for name in needed)
    every = [name for names in by_tier.values() for name in names]
    assert len(every) == len(set(every))
    assert sorted(every) == sorted(collected(tree))
