"""The measure itself: what is counted as a function's length, and as annotated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from figures import ROOT, Source, figures, main, names, percentile, read, sources

SAMPLE = '''\
"""A module."""

# why
class Thing:
    def method(self, one: int, *rest: str) -> None:
        """A docstring

        of several lines."""
        if one:
            print(rest)  # why, again

    async def bare(self, one): ...


def outer(
    one: int,
) -> int:
    def inner(two: int):
        return two

    return one
'''


def sample(directory: Path) -> Source:
    path = directory / "sample.py"
    path.write_text(SAMPLE, encoding="utf-8")
    return read(path, "sample.py")


def test_lengths_run_from_def_to_end_without_the_docstring(tmp_path: Path) -> None:
    measured = {one.place.split()[1]: one.lines for one in sample(tmp_path).functions}
    assert measured == {"method": 3, "bare": 1, "outer": 7, "inner": 2}


def test_a_function_is_annotated_where_all_parameters_and_the_return_are(tmp_path: Path) -> None:
    measured = {one.place.split()[1]: one.annotated for one in sample(tmp_path).functions}
    assert measured == {"method": True, "bare": False, "outer": True, "inner": False}


def test_comments_and_lines_of_code_are_counted(tmp_path: Path) -> None:
    file = sample(tmp_path)
    assert (file.lines, *file.count()) == (21, 15, 2)


def test_the_figures_say_what_a_person_asks_for(tmp_path: Path) -> None:
    assert figures([sample(tmp_path)]) == {
        "functions": "4",
        "median": "2.5 lines",
        "p90": "7 lines",
        "max": "7 lines",
        "files": "1",
        "largest": "21 lines",
        "in all": "21 lines",
        "annotated": "50.0%",
        "comments": "13.3% of the lines of code",
    }


NAMES = """\
class Twice: ...
def _once(): ...
def _often(): ...
def _never(): ...
_often(_once, _often)
"""


def test_names_are_counted_across_files_and_uses_within_one(tmp_path: Path) -> None:
    for path in ("room/reading.py", "other/reading.py", "other/record.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(NAMES, encoding="utf-8")
    assert names(sources("room", "other", root=tmp_path)) == {
        "private functions": "9, 3 used once",
        "class names used twice": "1",
        "module names used twice": "1",
        "modules named ...ing": "2",
    }


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile(range(1, 11), 0.9) == 9
    assert percentile([7], 0.9) == 7
    assert percentile([], 0.9) == 0


def test_the_script_prints_both_halves_of_the_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for half in ("janitor", "tests"):
        (tmp_path / half).mkdir()
        sample(tmp_path / half)
    main(tmp_path)
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == "janitor"
    assert "\ntests\n" in printed


@pytest.mark.slow
def test_the_way_of_a_sweep_is_counted_while_it_runs() -> None:
    script = ROOT / "tests" / "unit" / "house" / "sweep_path.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=900
    )
    functions, files = (int(word) for word in done.stdout.split() if word.isdecimal())
    assert functions > files > 0
