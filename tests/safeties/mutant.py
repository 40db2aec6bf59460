"""The program without one of its safeties, and what the tests say of it."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

import yaml
from postgres import SESSION, session
from started import MUTANT

ROOT = Path(__file__).parents[2]
PATIENCE = 600
HIDDEN = ("PYTEST_", "COVERAGE_", "COV_")  # what the outer run says to itself
LINE = re.compile(r"^(FAILED|ERROR) tests/(.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Safety:
    """One safety: the invariant it serves, what it says, and the edit that takes it out.

    `file` is below `janitor/`; `old` stands there exactly once. `tests` are the node ids below
    `tests/` that must fail without it, each by itself.
    """

    invariant: str
    says: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def table() -> tuple[Safety, ...]:
    """All safeties, as the tables beside this file list them, room by room."""
    return tuple(
        Safety(**said | {"tests": tuple(said["tests"])})
        for page in sorted(Path(__file__).parent.glob("*.yaml"))
        for said in yaml.safe_load(page.read_text("utf-8"))
    )


def without(safety: Safety, text: str) -> str:
    """A file's text without the safety; AssertionError where the text is another by now."""
    assert text.count(safety.old) == 1, (
        f"the safety has moved: mend the table. {safety.says!r} is not once in {safety.file}"
    )
    return text.replace(safety.old, safety.new)


def room_of(file: str) -> str:
    """The room that a file below `janitor/` belongs to."""
    return file.partition("/")[0].removesuffix(".py")


@cache
def with_dependents(room: str) -> frozenset[str]:
    """A room and all rooms that import it, by themselves or by way of others."""
    found, asked = {room}, [room]
    while asked:
        below = asked.pop()
        new = {above for above, used in _imports().items() if below in used} - found
        found |= new
        asked += new
    return frozenset(found)


@cache
def _imports() -> dict[str, set[str]]:
    """The rooms that each room imports anything of, anywhere in its files."""
    used: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "janitor").rglob("*.py"):
        room = room_of(path.relative_to(ROOT / "janitor").as_posix())
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = (name for name in _named(node) if name.startswith("janitor."))
            used[room] |= {name.split(".")[1] for name in names}
    return used


def _named(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [one.name for one in names]
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return [f"{module}.{one.name}" for one in names]
        case _:
            return []


def lay(tree: Path) -> None:
    """A tree beside the real one, whose files are links to it.

    It is laid at the same place each time, so that the bytecode of all files is used again.
    """
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    for path in ROOT.iterdir():
        if path.name != "janitor" and not path.name.startswith("."):
            (tree / path.name).symlink_to(path)
    shutil.copytree(
        ROOT / "janitor",
        tree / "janitor",
        copy_function=os.symlink,
        ignore=shutil.ignore_patterns("__pycache__"),
    )


def build(safety: Safety, tree: Path) -> None:
    """Lay a tree that differs from the real one in one file."""
    lay(tree)
    mutant = tree / "janitor" / safety.file
    text = without(safety, mutant.read_text("utf-8"))
    mutant.unlink()
    mutant.write_text(text, "utf-8")
    # One mutant may have another's size and second, by which Python tells bytecode that is stale.
    Path(cache_from_source(mutant)).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the tests ended: pytest's exit code, and the node ids below `tests/`."""

    code: int
    failed: tuple[str, ...]
    errors: tuple[str, ...]
    output: str

    def fell(self, test: str) -> bool:
        """Whether a test failed, or one of its cases where no case is named."""
        return any(node == test or node.startswith(f"{test}[") for node in self.failed)


class Warm:
    """A process that has read the program and what its tests need, and forks to run them.

    It is told where the tree is that all tests are run over, and lays it as it is without a mutant.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        lay(tree)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("warm.py")), str(tree)],
            env=kept | {"CI": "true"},  # what is tried at random is then the same each time
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def judge(self, room: str, tests: tuple[str, ...]) -> Verdict:
        """Run tests in a process of their own, over the tree as it is now; so is what they start.

        The tree differs from the real one in one room at most. What imports that, or may, is
        imported anew.
        """
        # Plugins are named, not searched for: that would take longer than a small test.
        alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONSAFEPATH": "1"}
        arguments = ["-q", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
        order = {
            "tree": str(self._tree),
            "forget": sorted(with_dependents(room)),
            # A server of databases of its own would take longer than most tests.
            "environment": alone | {"PYTHONPATH": str(self._tree), SESSION: session(), MUTANT: "1"},
            "arguments": [*arguments, "-p", "pytest_timeout", *(f"tests/{test}" for test in tests)],
            "said": str(self._tree / "said"),
            "patience": PATIENCE,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        output = (self._tree / "said").read_text("utf-8")
        lines = LINE.findall(output)
        failed = tuple(node for word, node in lines if word == "FAILED")
        return Verdict(code, failed, tuple(n for w, n in lines if w == "ERROR"), output)

    def close(self) -> None:
        """End it."""
        self._process.communicate()
