"""Every place in the program's source that has an effect beyond its own memory."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seams import BYTES, FILES, PROGRAM

APART = ("emulator/", "registry/migrations/", "testing.py", "demo.py")
"""What is no part of a janitor that runs."""

OS = {*FILES, *BYTES, "write", "open", "pwritev", "writev", "truncate", "symlink", "chmod", "kill"}
PATHS = {
    **dict.fromkeys(("write_text", "write_bytes", "touch"), "open"),
    **{name: f"os.{name}" for name in ("mkdir", "unlink", "rename", "rmdir", "chmod")},
}
COMMITS = {"writing", "writing_alone", "commit"}
VERBS = {
    "probe",
    "presence",
    "export",
    "delete",
    "delete_item",
    "write_metadata",
    "get",
    "post",
    "put",
}
REQUESTS = ("GET", "POST", "DELETE")
MODULES = {"shutil", "subprocess", "tempfile", "socket", "sqlite3", "urllib.request", "http.client"}


@dataclass(frozen=True, slots=True, order=True)
class Effect:
    """A call in the source; `primitives` are the seams, one of which at least it comes by."""

    place: str
    line: int
    primitives: tuple[str, ...]

    def is_in(self, reached: set[str]) -> bool:
        """Whether a run came by it."""
        return any(f"{self.place} {primitive}" in reached for primitive in self.primitives)


def effects() -> Iterator[Effect]:
    """All of them, by file."""
    for path in sorted(Path(PROGRAM).rglob("*.py")):
        name = path.relative_to(PROGRAM).as_posix()
        if not name.startswith(APART):
            yield from _in(ast.parse(path.read_text(encoding="utf-8")), name, "<module>")


def imports() -> Iterator[tuple[str, str]]:
    """Files and the modules of effects that they import, past the seams or not."""
    for path in sorted(Path(PROGRAM).rglob("*.py")):
        name = path.relative_to(PROGRAM).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in () if name.startswith(APART) else ast.walk(tree):
            yield from ((name, module) for module in _imported(node) if module in MODULES)


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [one.name for one in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
        case _:
            return []


def _in(node: ast.AST, file: str, function: str) -> Iterator[Effect]:
    for child in ast.iter_child_nodes(node):
        inner = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = child.name
        if isinstance(child, ast.Call) and (primitives := _primitives(child, file)):
            yield Effect(f"{file}:{function}", child.lineno, primitives)
        yield from _in(child, file, inner)


def _primitives(call: ast.Call, file: str) -> tuple[str, ...]:
    match call.func:
        case ast.Name(id="open"):
            return _opened(call.args[1:2])
        case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in OS:
            return (f"os.{name}",) if name != "open" or _creates(call) else ()
        case ast.Attribute(value=ast.Name(id="fcntl"), attr=name):
            return (f"fcntl.{name}",)
        case ast.Attribute(attr=name):
            return _of_method(name, call, file)
        case _:
            return ()


def _of_method(name: str, call: ast.Call, file: str) -> tuple[str, ...]:
    if name == "open":
        return _opened(call.args[:1])
    if name == "replace" and len(call.args) == 1 and not call.keywords:
        return ("os.replace",)  # a text's takes two, a date's none without its name
    if name in COMMITS:
        return ("commit",)
    if name in VERBS and _is_driver(call, file):
        return REQUESTS
    if name == "acquire" and file.startswith("registry/"):
        return ("advisory lock",)
    return (PATHS[name],) if name in PATHS else ()


def _is_driver(call: ast.Call, file: str) -> bool:
    """Whether a verb is asked of a driver, or in a driver of the API."""
    asked = ast.unparse(call.func).rpartition(".")[0]
    if file.startswith("drivers/"):
        return asked == "self._api"
    return "driver" in asked


def _opened(mode: list[ast.expr]) -> tuple[str, ...]:
    written = (str(one.value) for one in mode if isinstance(one, ast.Constant))
    return ("open",) if any(not set("wxa+").isdisjoint(one) for one in written) else ()


def _creates(call: ast.Call) -> bool:
    flags = ast.unparse(call.args[1]) if len(call.args) > 1 else ""
    return "O_CREAT" in flags or flags == "_CREATE"
