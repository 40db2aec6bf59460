"""The house's rules, held over the tree itself: sizes, annotations, and what no file may say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from figures import ROOT, Function, Source, sources

PROGRAM, TESTS = sources("janitor"), sources("tests", "bench")

# `bench/` prints its table; below the command line nothing else speaks to a person.
MAY_PRINT = re.compile(r"janitor/cli/|bench/|tests/unit/house/figures\.py")
LATER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
MACHINE = re.compile(r"(?<![\w.)])/(?:(?:work|root|home|Users)(?![\w-])|tmp/\w)")
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "config/**/*", "systemd/*", "Dockerfile", ".ci/run")
    for path in ROOT.glob(pattern)
    if path.is_file()
)


def functions(files: tuple[Source, ...]) -> list[Function]:
    return [function for file in files for function in file.functions]


@pytest.mark.parametrize("files", [PROGRAM, TESTS], ids=["janitor", "tests"])
def test_no_function_is_longer_than_fifty_lines(files: tuple[Source, ...]) -> None:
    long = [f"{one.place}: {one.lines} lines" for one in functions(files) if one.lines > 50]
    assert not long, "\n".join(long)


def test_no_file_is_longer_than_seven_hundred_lines() -> None:
    long = [f"{file.path}: {file.lines} lines" for file in PROGRAM + TESTS if file.lines > 700]
    assert not long, "\n".join(long)


def test_every_parameter_and_return_is_annotated() -> None:
    bare = [one.place for one in functions(PROGRAM) if not one.annotated]
    assert not bare, "\n".join(bare)


def test_nothing_below_the_command_line_prints() -> None:
    printing = [
        f"{file.path}:{node.lineno}"
        for file in PROGRAM + TESTS
        if not MAY_PRINT.match(file.path)
        for node in calls(file.tree, "print")
    ]
    assert not printing, "\n".join(printing)


def test_no_file_puts_anything_off() -> None:
    left = [
        f"{file.path}:{number}"
        for file in PROGRAM + TESTS
        for number, line in enumerate((ROOT / file.path).read_text("utf-8").splitlines(), 1)
        if LATER.search(line)
    ]
    assert not left, "\n".join(left)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_name_no_machine(page: Path) -> None:
    found = MACHINE.search(page.read_text(encoding="utf-8"))
    assert found is None, f"{page.name} says {found[0]}"


def calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    """Every call of a bare name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node
