"""Whatever one safety is taken out, a test falls; the tables beside this file list the pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mutant import Safety, Warm, build, room_of, table
from postgres import Server

SAFETIES = table()
# A mutant that merely breaks shows nothing.
BROKEN = re.compile(r"^E +(\w*(?:Name|Type|Attribute|Import|Syntax)Error)\b", re.MULTILINE)


@pytest.fixture(scope="module")
def warm(tree: Path, postgres: Server) -> Iterator[Warm]:
    found = Warm(tree)
    yield found
    found.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants") / "tree"


def one_of_each_room() -> list[Safety]:
    return list({room_of(safety.file): safety for safety in SAFETIES}.values())


@pytest.mark.parametrize("safety", one_of_each_room(), ids=lambda safety: room_of(safety.file))
def test_with_it_none_falls(safety: Safety, warm: Warm, tree: Path) -> None:
    """A room is forgotten and imported again, and nothing is missed by whoever imports it."""
    build(replace(safety, new=safety.old), tree)
    verdict = warm.judge(room_of(safety.file), safety.tests)
    assert verdict.code == 0, verdict.output


@pytest.mark.parametrize("safety", SAFETIES, ids=lambda safety: safety.says)
def test_without_it_a_test_falls(safety: Safety, warm: Warm, tree: Path) -> None:
    build(safety, tree)
    verdict = warm.judge(room_of(safety.file), safety.tests)
    assert verdict.code == 1, f"expected failing tests, not {verdict.code}:\n{verdict.output}"
    assert not verdict.errors, verdict.output
    assert BROKEN.search(verdict.output) is None, verdict.output
    stood = [test for test in safety.tests if not verdict.fell(test)]
    assert not stood, f"without {safety.says!r} in {safety.file} these still pass: {stood}"
