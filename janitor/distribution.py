"""The names of this program among installed packages, and which other packages share them.

The command and the import package are `janitor`; on the package index that name belongs to others.
Standard library only: this has to work where other files of the program were overwritten.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NAME = "thread-janitor"
VERSION = "0.1.0"
PACKAGE = COMMAND = "janitor"
OWN, OWN_NAME = Path(__file__).parent, Path(__file__).name
REINSTALL = "in a checkout of janitor, run: pip install --force-reinstall --no-deps ."
SHOWN = 3


def install(extra: str) -> str:
    """The command that installs a missing extra: no release is on the index yet."""
    return f"in a checkout of janitor, run: pip install '.[{extra}]'"


@dataclass(frozen=True, slots=True)
class Rival:
    """Something else on `sys.path` that is called `janitor`: a distribution or a bare directory.

    `place` is where its package is, if it has one. `shared` are the modules that both it and this
    program installed: the later one has overwritten the other's.
    """

    name: str
    distribution: str | None = None
    place: Path | None = None
    shared: tuple[str, ...] = ()


def rivals(path: Sequence[str] | None = None) -> list[Rival]:
    """Everything else on `sys.path` (or `path`) that installs a package or command `janitor`."""
    places = sys.path if path is None else path
    claims = _claims(places)
    ours = _own_files(claims)
    found = {rival: None for one in claims if (rival := _rival(one, ours)) is not None}
    known = {rival.place for rival in found} | {one.place for one in claims} | {OWN}
    bare = [place for place in _packages(places) if place not in known]
    return [*found, *(Rival(str(place), place=place) for place in bare)]


def lost_files(path: Sequence[str] | None = None) -> list[str]:
    """Installed files of this program that are missing now, perhaps removed along with a rival."""
    ours = _own_files(_claims(sys.path if path is None else path))
    gone = (file for file in ours if not os.path.lexists(file))
    return sorted(file for file in gone if not file.endswith(".pyc"))


def explain_damage(path: Sequence[str] | None = None) -> str | None:
    """Why modules of the program cannot be imported, and what to do; `None` where unknown."""
    if taken := [rival for rival in rivals(path) if rival.place is not None]:
        names = ", ".join(rival.name for rival in taken)
        todo = "; ".join(remedy(rival) for rival in taken)
        return f"its package is hidden or overwritten by another `{PACKAGE}` ({names}): {todo}"
    if gone := lost_files(path):
        return f"{len(gone)} of its files are missing ({some(gone)}): {REINSTALL}"
    return None


def remedy(rival: Rival) -> str:
    """What to do about a rival."""
    if rival.distribution is None:
        return f"move {rival.name} away, or remove its directory from PYTHONPATH"
    both = f"{rival.distribution} {NAME}"
    return f"pip uninstall {both}, then install this program in an environment of its own"


def some(files: Sequence[str]) -> str:
    """The first few of some files."""
    shown = [os.path.relpath(file, OWN.parent) for file in files[:SHOWN]]
    return ", ".join(shown) + (", …" if len(files) > SHOWN else "")


@dataclass(frozen=True, slots=True)
class _Claim:
    """A distribution, the files that it installs (absolute paths), and where its `janitor` is."""

    name: str
    version: str
    files: frozenset[str]
    modules: frozenset[str]
    place: Path | None
    has_command: bool


def _claims(places: Sequence[str]) -> list[_Claim]:
    from importlib.metadata import distributions  # noqa: PLC0415 - a quarter of what --help takes

    read = (_claim(one) for one in distributions(path=list(places)))
    return [claim for claim in read if claim is not None]


def _claim(one: Distribution) -> _Claim | None:
    """What a distribution installs; `None` if its own records cannot be read."""
    try:
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        listed = [PurePath(file) for file in one.files or ()]
        is_named = PACKAGE in (one.read_text("top_level.txt") or "").split()
        commands = {point.name for point in one.entry_points if point.group == "console_scripts"}
    except Exception:  # noqa: BLE001 - whatever is wrong with a neighbour is not for us to say
        return None
    root = Path(os.path.normpath(str(one.locate_file(""))))
    modules = [file for file in listed if _is_module(file)]
    place = root / PACKAGE if modules or is_named else None
    if PurePath(f"{PACKAGE}.py") in modules:
        place = root / f"{PACKAGE}.py"
    return _Claim(
        name,
        one.version,
        frozenset(os.path.normpath(root / file) for file in listed),
        frozenset(os.path.normpath(root / file) for file in modules),
        place,
        COMMAND in commands or any(_is_command(file) for file in listed),
    )


def _is_module(file: PurePath) -> bool:
    first = file.parts[0] if len(file.parts) > 1 else file.name.partition(".")[0]
    return first == PACKAGE and file.suffix in {".py", ".so", ".pyd"}


def _is_command(file: PurePath) -> bool:
    return file.parent.name in {"bin", "Scripts"} and file.stem == COMMAND


def _own_files(claims: Sequence[_Claim]) -> frozenset[str]:
    return frozenset().union(*(claim.files for claim in claims if claim.name == NAME))


def _rival(claim: _Claim, ours: frozenset[str]) -> Rival | None:
    if claim.name == NAME or (claim.place is None and not claim.has_command):
        return None
    shared = tuple(sorted(claim.modules & ours))
    return Rival(f"{claim.name} {claim.version}", claim.name, claim.place, shared)


def _packages(places: Sequence[str]) -> Iterator[Path]:
    """What `import janitor` might find that is not this program, in the order of `sys.path`."""
    for place in places:
        root = Path(place or ".").absolute()
        for start in (root / PACKAGE / "__init__.py", root / f"{PACKAGE}.py"):
            if start.is_file() and not start.with_name(OWN_NAME).is_file():
                yield start.parent if start.name == "__init__.py" else start
