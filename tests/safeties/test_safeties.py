"""Whatever one safety is taken out, a test falls; the tables beside this file list the pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutant import Safety, Warm, build, table

SAFETIES = table()
# A mutant that merely breaks shows nothing.
BROKEN = re.compile(r"^E +(\w*(?:Name|Type|Attribute|Import|Syntax)Error)\b", re.MULTILINE)


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    found = Warm()
    yield found
    found.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants") / "tree"


@pytest.mark.parametrize("safety", SAFETIES, ids=lambda safety: safety.says)
def test_without_it_a_test_falls(safety: Safety, warm: Warm, tree: Path) -> None:
    build(safety, tree)
    verdict = warm.judge(tree, safety.tests)
    assert verdict.code == 1, f"expected failing tests, not {verdict.code}:\n{verdict.output}"
    assert not verdict.errors, verdict.output
    assert BROKEN.search(verdict.output) is None, verdict.output
    stood = [test for test in safety.tests if not verdict.fell(test)]
    assert not stood, f"without {safety.says!r} in {safety.file} these still pass: {stood}"
