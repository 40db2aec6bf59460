"""What the house's rules are measured by: the sizes and names of the tree, from its source.

Run it to see the figures: `python tests/unit/house/figures.py`.
"""

from __future__ import annotations

import ast
import io
import math
import re
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Function:
    """A function and where it stands; `lines` run from `def` to its end, docstring excluded."""

    place: str
    lines: int
    annotated: bool


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the tree; `path` is relative to the root."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.text.splitlines())

    def count(self) -> tuple[int, int]:
        """How many lines have code on them, and how many a comment."""
        comments, code = set[int](), set[int]()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                comments.add(token.start[0])
            elif token.string.strip() and token.type != tokenize.ENDMARKER:
                code.update(range(token.start[0], token.end[0] + 1))
        return len(code), len(comments)

    @property
    def functions(self) -> Iterator[Function]:
        """Every function, methods and inner ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, FunctionNode):
                yield Function(f"{self.path}:{node.lineno} {node.name}", _length(node), _full(node))


def sources(*directories: str, root: Path = ROOT) -> tuple[Source, ...]:
    """Every Python file under the directories, in the order of their names."""
    found = (path for name in directories for path in sorted((root / name).rglob("*.py")))
    return tuple(read(path, path.relative_to(root).as_posix()) for path in found)


@cache
def read(path: Path, name: str) -> Source:
    """One file, parsed."""
    text = path.read_text(encoding="utf-8")
    return Source(name, text, ast.parse(text))


def percentile(values: Iterable[int], share: float) -> int:
    """The smallest of the values that at least this share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0


def figures(files: Sequence[Source]) -> dict[str, str]:
    """The figures of a set of files, as a person reads them."""
    functions = [function for file in files for function in file.functions]
    lengths = [function.lines for function in functions]
    sizes = [file.lines for file in files]
    annotated = sum(function.annotated for function in functions)
    code, comments = (sum(counts) for counts in zip(*(file.count() for file in files), strict=True))
    return {
        "functions": f"{len(functions)}",
        "median": f"{statistics.median(lengths):g} lines",
        "p90": f"{percentile(lengths, 0.9)} lines",
        "max": f"{max(lengths)} lines",
        "files": f"{len(files)}",
        "largest": f"{max(sizes)} lines",
        "in all": f"{sum(sizes)} lines",
        "annotated": f"{annotated / len(functions):.1%}",
        "comments": f"{comments / max(1, code):.1%} of the lines of code",
    }


def names(files: Sequence[Source]) -> dict[str, str]:
    """What a newcomer stumbles over: names that mean two things, and pieces cut too small."""
    classes = Counter(
        node.name
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ClassDef)
    )
    modules = Counter(Path(file.path).stem for file in files)
    del modules["__init__"], modules["__main__"]
    gerunds = sum(count for name, count in modules.items() if name.endswith("ing"))
    private = [used for file in files for used in _private_uses(file.tree)]
    return {
        "private functions": f"{len(private)}, {sum(used == 1 for used in private)} used once",
        "class names used twice": f"{sum(count > 1 for count in classes.values())}",
        "module names used twice": f"{sum(count > 1 for count in modules.values())}",
        "modules named ...ing": f"{gerunds}",
    }


def _private_uses(tree: ast.Module) -> Iterator[int]:
    """How often each private function is named in the file that defines it."""
    used: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            used[node.id] += 1
        elif isinstance(node, ast.Attribute):
            used[node.attr] += 1
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode) and re.match(r"_(?!_)", node.name):
            yield used[node.name]


def _length(node: FunctionNode) -> int:
    assert node.end_lineno is not None
    whole = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return whole
    docstring = node.body[0]
    assert docstring.end_lineno is not None
    return whole - (docstring.end_lineno - docstring.lineno + 1)


def _full(node: FunctionNode) -> bool:
    """Whether parameters and return are annotated; `self` and `cls` go without."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    if given and given[0].arg in {"self", "cls"}:
        given = given[1:]
    given += [rest for rest in (node.args.vararg, node.args.kwarg) if rest is not None]
    return node.returns is not None and all(one.annotation is not None for one in given)


def main(root: Path = ROOT) -> None:
    """Print the figures of the program and of its tests."""
    for directory in ("janitor", "tests"):
        print(directory)  # noqa: T201 - a script for people
        files = sources(directory, root=root)
        for name, value in (figures(files) | names(files)).items():
            print(f"  {name:23} {value}")  # noqa: T201


if __name__ == "__main__":
    main()
