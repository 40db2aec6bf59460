"""Where a measure's own CPU goes, by library: `python bench/profiles.py [ID]...`."""

from __future__ import annotations

import cProfile
import os
import pstats
import re
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from server import serving
from sweeps import ARCHIVE, DELETE, OLD, prepare, sweep

from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

Act = Callable[[], object]
Function = tuple[str, int, str]
SHARE = float(os.environ.get("BENCH_SHARE", "1"))
THREADS = 300
ROWS = 20_000
LEAST = 0.01
"""The smallest share that a line is printed for."""
TOP = 4
"""So many functions are named of each library."""
PACKAGES = Path(sysconfig.get_path("purelib"))
STANDARD = Path(sysconfig.get_path("stdlib"))
ROOT = Path(__file__).parents[1]
OWNER = re.compile(r"(?:built-in method |of ')_?(\w+)\.")
"""Where the name of a function in C says which module it is from."""
NO_LIBRARY = frozenset({"builtins", "collections", "functools", "itertools", "operator"})


def main() -> None:
    """Profile what is named, or everything, and print it."""
    for name in sys.argv[1:] or PROFILED:
        if name not in PROFILED:
            sys.exit(f"no profile of {name}: use {', '.join(PROFILED)}")
        with tempfile.TemporaryDirectory() as directory:
            os.environ["JANITOR_SPOOL"] = f"{directory}/spool"
            with PROFILED[name](Path(directory)) as act:
                stats = profile(act)
        print(f"{name}: CPU by library\n{shown(stats)}")  # noqa: T201 - a command


@contextmanager
def due_rows(directory: Path) -> Iterator[Act]:
    """What B2 does: reading what is due."""
    number = max(1, int(ROWS * SHARE))
    with Registry.open(f"sqlite:///{directory / 'due.db'}") as registry:
        keys = (Key("main", Kind.CONVERSATION, f"conv_{n}") for n in range(number))
        told = (Registration(key, OLD, OLD, metadata={"plan": "trial"}) for key in keys)
        registry.registrations.add(told, OLD)
        yield lambda: sum(1 for _ in registry.threads.due(datetime.now(UTC)))


@contextmanager
def swept(directory: Path, stages: str, items: int) -> Iterator[Act]:
    """What B5 and B6 do: a sweep at 20 ms, after one that imports everything."""
    number = max(1, int(THREADS * SHARE))
    with serving() as server:
        for name, threads in (("first", 1), ("profiled", number)):
            ids = server.conversations(threads, items)
            config = prepare(directory / name, server, ids, at_once=32, stages=stages)
            if name == "first":
                sweep(config)
        yield partial(sweep, config)


PROFILED: dict[str, Callable[[Path], AbstractContextManager[Act]]] = {
    "B2": due_rows,
    "B5": partial(swept, stages=DELETE, items=2),
    "B6": partial(swept, stages=ARCHIVE, items=20),
}


def profile(act: Act) -> pstats.Stats:
    """CPU of each function while it acts, in this thread and in those that it starts."""
    profiles = [own_profile()]

    def begin(*_: object) -> None:
        profiles.append(own_profile())
        profiles[-1].enable()

    threading.setprofile(begin)
    try:
        profiles[0].runcall(act)
    finally:
        threading.setprofile(None)
    return pstats.Stats(*profiles)


def own_profile() -> cProfile.Profile:
    """A profile by the CPU of this thread, whichever thread ends it: waiting costs nothing."""
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return cProfile.Profile(partial(time.clock_gettime, clock))


def shown(stats: pstats.Stats) -> str:
    """The share of each library in all CPU, and the functions that took most of it."""
    spent = defaultdict[str, Counter[str]](Counter)
    for function, (_, _, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        library, name = library_of(function), f"{Path(function[0]).name}:{function[2]}".lstrip("~:")
        if library is not None:
            spent[library][name] += own
        for caller, (_, _, own_for, _) in {} if library is not None else callers.items():
            spent[library_of(caller) or "python"][name] += own_for
    total = sum(own.total() for own in spent.values())
    lines = list[str]()
    for library, own in sorted(spent.items(), key=lambda one: -one[1].total()):
        if own.total() >= LEAST * total:
            most = ", ".join(f"{name} {each / total:.1%}" for name, each in own.most_common(TOP))
            lines.append(f"  {library:16} {own.total() / total:6.1%}  {most}")
    return "\n".join(lines)


def library_of(function: Function) -> str | None:
    """The library that a function is from; `None` of one in C that belongs to its callers."""
    file, _, name = function
    if file == "~":
        found = OWNER.search(name)
        return None if found is None or found[1] in NO_LIBRARY else found[1].removesuffix("_core")
    for place in (PACKAGES, STANDARD, ROOT):
        if Path(file).is_relative_to(place):
            return Path(file).relative_to(place).parts[0].removesuffix(".py")
    return "python"


if __name__ == "__main__":
    main()
