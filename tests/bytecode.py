"""Bytecode of the tests' own: the thousands of processes they start compile the program once.

Where `PYTHONDONTWRITEBYTECODE` is set, or the tree may not be written, each start of a process
would compile everything anew, which doubles how long it takes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

PREFIX = "PYTHONPYCACHEPREFIX"
OURS = "JANITOR_TEST_BYTECODE"
"""Set for whatever the run starts (workers, programs, runs of pytest): they share its bytecode."""


def share() -> None:
    """Give this process and those it starts one place for bytecode while the run lasts."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if OURS not in os.environ:
        os.environ[OURS] = f"{os.getpid()}"
        os.environ[PREFIX] = tempfile.mkdtemp(prefix="janitor-bytecode-")
    sys.pycache_prefix = os.environ[PREFIX]


def remove() -> None:
    """Remove it, where this process is the one that made it."""
    if os.environ.get(OURS) == f"{os.getpid()}":
        shutil.rmtree(os.environ[PREFIX], ignore_errors=True)
