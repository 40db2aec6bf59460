"""Whatever one safety is taken out, a test falls; `docs/architecture.md` lists the pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutant import ROOT, Safety, Warm, build, table

SAFETIES = table()
HEAD = "| invariant | safety | where it is | what falls without it |\n|---|---|---|---|\n"
TABLE = re.compile(re.escape(HEAD) + r"((?:\|.*\n)*)")
# A mutant that merely breaks shows nothing.
BROKEN = re.compile(r"^E +(\w*(?:Name|Type|Attribute|Import|Syntax)Error)\b", re.MULTILINE)


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    found = Warm()
    yield found
    found.close()


@pytest.mark.parametrize("safety", SAFETIES, ids=lambda safety: safety.says)
def test_without_it_a_test_falls(safety: Safety, warm: Warm, tmp_path: Path) -> None:
    build(safety, tmp_path)
    verdict = warm.judge(tmp_path, safety.tests)
    assert verdict.code == 1, f"expected failing tests, not {verdict.code}:\n{verdict.output}"
    assert not verdict.errors, verdict.output
    assert BROKEN.search(verdict.output) is None, verdict.output
    stood = [test for test in safety.tests if not verdict.fell(test)]
    assert not stood, f"without {safety.says!r} in {safety.file} these still pass: {stood}"


def test_each_safety_has_a_name_of_its_own() -> None:
    assert len({safety.says for safety in SAFETIES}) == len(SAFETIES)


def test_the_architecture_page_lists_them() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    rows = "".join(f"{safety.row}\n" for safety in SAFETIES)
    listed = TABLE.search(page)
    assert listed is not None, "the table of safeties is gone from docs/architecture.md"
    assert listed[1] == rows, f"docs/architecture.md is to list:\n\n{HEAD}{rows}"
