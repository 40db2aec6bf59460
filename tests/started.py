"""Processes of janitor that start within milliseconds, as children of this process.

They are forks of one that has imported the program, unless their environment says what is read
before that. A signal while a program imports needs a start of its own.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

CLIENT = Path(__file__).with_name("start_client.py")
SERVER = Path(__file__).with_name("start_server.py")
MUTANT = "JANITOR_TEST_MUTANT"
"""Set for tests that try a mutant of the program. They start so little that a process which imports
the program for itself is less work, and nobody reads the smallest example that they fail with."""

EARLY = ("PYTHON", "COVERAGE_", "OPENAI_LOG")
"""How those variables begin that are read when Python starts, or what a program imports."""

LIMITS = (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)
"""What tests limit for what they start."""

SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)


@cache
def address() -> str:
    """Where the server listens, which runs until this process ends."""
    directory = Path(tempfile.mkdtemp(prefix="janitor-starts-"))
    path = directory / "socket"
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    _KEPT.append(server)
    return str(path)


_KEPT: list[subprocess.Popen[bytes]] = []


def start(program: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - as Popen takes them
    """Start `python -m janitor` or a script; the options are those of `Popen`."""
    if _starts_alone(options.get("env") or os.environ):
        named = ["-m", program] if program == "janitor" else [program]
        return subprocess.Popen([sys.executable, *named, *arguments], **options)
    return _Started([program, *arguments], **options)


def program() -> list[str]:
    """The first words of a command line that is janitor's, with arguments to come."""
    if _starts_alone(os.environ):
        return [sys.executable, "-m", "janitor"]
    return [sys.executable, "-I", "-S", str(CLIENT), address()]


def _starts_alone(environment: Mapping[str, str]) -> bool:
    measured = any(name.startswith("COVERAGE_") for name in os.environ)
    return MUTANT in os.environ or measured or _early(environment) != _early(os.environ)


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(EARLY)}


class _Started(subprocess.Popen[bytes]):
    """A process that the server forks, and that this process then is the parent of."""

    def _execute_child(self, *given: Any) -> None:  # noqa: ANN401 - what `Popen` hands over
        inner = super()._execute_child  # type: ignore[misc]
        said = inspect.signature(inner).bind(*given).arguments
        ends = [said[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        program, *arguments = said["args"]
        order = {
            "program": program,
            "arguments": arguments,
            "directory": os.fspath(said["cwd"] or Path.cwd()),
            "environment": dict(os.environ if said["env"] is None else said["env"]),
            "umask": _umask(),
            "limits": [(number, resource.getrlimit(number)) for number in LIMITS],
            "is_adopted": True,
        }
        self.pid = _adopted(order, [n if end == -1 else end for n, end in enumerate(ends)])
        self._child_created = True
        every = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(said[name] for name in every))  # type: ignore[attr-defined]


def _adopted(order: dict[str, Any], streams: list[int]) -> int:
    """Have a process forked that becomes a child of this one; its id."""
    where = address()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(where)
        _be_subreaper(1)
        try:
            socket.send_fds(asking, [json.dumps(order).encode()], streams)
            process = int(asking.recv(100))
            asking.recv(1)
        finally:
            _be_subreaper(0)
    return process


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _be_subreaper(value: int) -> None:
    assert LIBC.prctl(SET_CHILD_SUBREAPER, value, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
