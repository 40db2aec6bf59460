"""The house's rules, held over the tree itself: sizes, annotations, and what no file may say."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from figures import ROOT, Function, Source, sources

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


def contracts() -> list[dict[str, Any]]:
    """Which packages are for which rooms alone."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    every = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    return [one for one in every if one["type"] == "forbidden"]


def program() -> tuple[Source, ...]:
    return sources("janitor")


def everything() -> tuple[Source, ...]:
    return sources("janitor", "tests", "bench")


def functions(files: tuple[Source, ...]) -> list[Function]:
    return [function for file in files for function in file.functions]


def test_no_function_is_longer_than_fifty_lines() -> None:
    long = [f"{one.place}: {one.lines} lines" for one in functions(everything()) if one.lines > 50]
    assert not long, "\n".join(long)


def test_no_file_is_longer_than_seven_hundred_lines() -> None:
    long = [f"{file.path}: {file.lines} lines" for file in everything() if file.lines > 700]
    assert not long, "\n".join(long)


def test_every_parameter_and_return_is_annotated() -> None:
    bare = [one.place for one in functions(program()) if not one.annotated]
    assert not bare, "\n".join(bare)


def test_nothing_below_the_command_line_prints() -> None:
    printing = [
        f"{file.path}:{node.lineno}"
        for file in everything()
        if not MAY_PRINT.match(file.path)
        for node in calls(file.tree, "print")
    ]
    assert not printing, "\n".join(printing)


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract["name"])
def test_a_room_may_import_a_package_only_where_it_does(contract: dict[str, Any]) -> None:
    """A room that a contract does not list is free to import; a new room is listed in none."""
    rooms, using = set[str](), set[str]()
    for file in program():
        room = ".".join(Path(file.path).with_suffix("").parts[:2])
        rooms.add(room)
        if imports(file.tree) & {*contract["forbidden_modules"]}:
            using.add(room)
    free = rooms - {"janitor.__init__", *contract["source_modules"]}
    assert free - using == set()


def test_no_file_puts_anything_off() -> None:
    left = [
        f"{file.path}:{number}"
        for file in everything()
        for number, line in enumerate(file.text.splitlines(), 1)
        if LATER.search(line)
    ]
    assert not left, "\n".join(left)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_name_no_machine(page: Path) -> None:
    found = MACHINE.search(page.read_text(encoding="utf-8"))
    assert found is None, f"{page.name} says {found[0]}"


def test_no_health_check_fails_where_a_machine_is_busy() -> None:
    """A test that sets its own replaces those of `tests/health.py`, which it has to name."""
    alone = [
        file.path
        for file in everything()
        if re.search(r"suppress_health_check=\[HealthCheck\.", file.text)
    ]
    assert not alone, "\n".join(alone)


def imports(tree: ast.Module) -> set[str]:
    """Every top-level package that is imported anywhere in a file."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    """Every call of a bare name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node
