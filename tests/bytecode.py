"""Bytecode of the tests' own: the thousands of processes they start compile the program once.

Where `PYTHONDONTWRITEBYTECODE` is set, or the tree may not be written, each start of a process
would compile everything anew, which doubles how long it takes. What is compiled of the checkout
and its environment stays for the next run; what is compiled of temporary trees goes with the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

PREFIX = "PYTHONPYCACHEPREFIX"
OURS = "JANITOR_TEST_BYTECODE"
"""Set for whatever the run starts (workers, programs, runs of pytest): they share its bytecode."""

KEPT = Path(__file__).parents[1] / ".bytecode"


def share() -> None:
    """Give this process and those it starts one place for bytecode while the run lasts."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if OURS not in os.environ:
        os.environ[OURS] = f"{os.getpid()}"
        os.environ[PREFIX] = str(_place())
    sys.pycache_prefix = os.environ[PREFIX]


def remove() -> None:
    """Remove what nobody reads again, where this process is the one that shared it."""
    if os.environ.get(OURS) != f"{os.getpid()}":
        return
    prefix, temporary = Path(os.environ[PREFIX]), Path(tempfile.gettempdir()).resolve()
    gone = prefix if prefix != KEPT else prefix / temporary.relative_to(temporary.anchor)
    shutil.rmtree(gone, ignore_errors=True)


def _place() -> Path:
    """Beside the tests, where all may read and this user may write; else a temporary directory."""
    with contextlib.suppress(OSError):
        KEPT.mkdir(exist_ok=True)
    if os.access(KEPT, os.W_OK):
        return KEPT
    return Path(tempfile.mkdtemp(prefix="janitor-bytecode-"))
