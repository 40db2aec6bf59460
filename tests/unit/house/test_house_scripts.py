"""The programs that tests start as text import what exists, although no type checker reads them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from figures import ROOT


def programs(path: Path) -> Iterator[ast.Module]:
    """The texts in a file that are programs and import janitor."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and "from janitor" in str(node.value):
            with suppress(SyntaxError):
                yield ast.parse(str(node.value))


def called(program: ast.Module) -> set[str]:
    calls = (node.func for node in ast.walk(program) if isinstance(node, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}


def wrong_imports(program: ast.Module) -> Iterator[str]:
    for node in ast.walk(program):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("janitor"):
            module = import_module(str(node.module))
            for one in node.names:
                found = getattr(module, one.name, None)
                if found is None:
                    yield f"{node.module} has no {one.name}"
                elif isinstance(found, ModuleType) and (one.asname or one.name) in called(program):
                    yield f"{node.module}.{one.name} is a module, and is called"


FILES = {*(ROOT / "tests").rglob("*.py")} - {Path(__file__)}
PATHS = sorted(path for path in FILES if [*programs(path)])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_program_in_a_test_imports_what_exists(path: Path) -> None:
    assert [wrong for one in programs(path) for wrong in wrong_imports(one)] == []


def test_a_wrong_import_is_found() -> None:
    text = "from janitor.times import nothing\nfrom janitor.drivers import connect\nconnect()"
    import_module("janitor.drivers.connect")
    assert [*wrong_imports(ast.parse(text))] == [
        "janitor.times has no nothing",
        "janitor.drivers.connect is a module, and is called",
    ]
