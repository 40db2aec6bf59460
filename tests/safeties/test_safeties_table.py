"""The tables can be read: each safety has its place in the program, and each test exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mutant import ROOT, Safety, table, with_dependents, without

SAFETIES = table()


@pytest.mark.parametrize("safety", SAFETIES, ids=lambda safety: safety.says)
def test_each_safety_is_at_its_place_once(safety: Safety) -> None:
    assert without(safety, (ROOT / "janitor" / safety.file).read_text("utf-8"))


@pytest.mark.slow
def test_each_named_test_exists() -> None:
    named = {test for safety in SAFETIES for test in safety.tests}
    files = sorted({f"tests/{test.partition('::')[0]}" for test in named})
    asked = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*asked, *files], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    cases = {line.removeprefix("tests/") for line in done.stdout.splitlines() if "::" in line}
    there = cases | {case.partition("[")[0] for case in cases}
    assert sorted(named - there) == []


def test_whoever_imports_a_room_is_read_again_with_it() -> None:
    assert with_dependents("engine") == {"engine", "doctor", "app", "cli", "__main__"}
    assert with_dependents("policy") > with_dependents("registry") > with_dependents("engine")
    assert "emulator" not in with_dependents("policy")


def test_each_safety_has_a_name_of_its_own() -> None:
    assert len({safety.says for safety in SAFETIES}) == len(SAFETIES)


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.yaml")), ids=lambda p: p.name)
def test_no_entry_says_anything_twice(path: Path) -> None:
    # YAML takes the last of two keys, so that a merge can lose an entry without a word.
    for entry in re.split(r"(?m)^- ", path.read_text(encoding="utf-8"))[1:]:
        names = re.findall(r"(?m)^(?:  )?(\w+):(?= |$)", entry)
        assert sorted(names) == ["file", "invariant", "new", "old", "says", "tests"], entry
