"""Many rows through the command line: the same twice, in memory that does not follow the number.

`JANITOR_SCALE` sets how many.
"""

from __future__ import annotations

import os
import sys

import pytest

from importing.importing_world import Office, memory, write_table

SCALE = int(os.environ.get("JANITOR_SCALE", "12000"))
GROWTH = 16 << 20


@pytest.fixture
def few(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Another registry, for an import of a sixth."""
    return Office(tmp_path_factory.mktemp("few"), is_measured=True)


def test_twice_is_the_same_in_bounded_memory(
    office: Office, few: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    office.is_measured = True
    write_table(office.directory / "threads.csv", SCALE)
    write_table(few.directory / "threads.csv", SCALE // 6)
    small = few.run("import", "threads.csv")
    first = office.run("--output", "json", "import", "threads.csv")
    before = office.exported()
    second = office.run("--output", "json", "import", "threads.csv")
    assert (first.document["added"], second.document["unchanged"]) == (SCALE, SCALE)
    assert office.exported() == before
    assert before.count(b"\n") == SCALE
    most = [memory(done) for done in (small, first, second)]
    assert max(most) - most[0] < GROWTH, most
    with capsys.disabled():
        told = [done.document["seconds"] for done in (first, second)]
        sys.stderr.write(f"\n{SCALE} rows: {told} s, {[one >> 20 for one in most]} MiB\n")


def test_with_broken_lines_the_others_arrive_and_each_is_named(office: Office) -> None:
    wrong = write_table(office.directory / "threads.csv", SCALE, broken=0.01)
    assert wrong
    done = office.run("--output", "json", "import", "threads.csv", "--rejects", "rejects.jsonl")
    assert done.code == 1
    counts = {"read": SCALE, "added": SCALE - len(wrong), "refused": len(wrong)}
    assert done.document.items() >= counts.items()
    assert done.document["rejected"] == office.rejects()
    assert [one["line"] for one in office.rejects()] == wrong
    assert office.exported().count(b"\n") == SCALE - len(wrong)
