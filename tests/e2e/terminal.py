"""Runs a command of which one stream is a terminal, and the other a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from world import DEADLINE

FOREIGN = ("NO_COLOR", "COLUMNS")
"""What would tell a command of another terminal than this one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The exit code, what the terminal got, and what the pipe got."""

    code: int
    shown: bytes
    piped: bytes


def on_terminal(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    columns: int,
    stream: Literal["stdout", "stderr"] = "stdout",
    cwd: Path | None = None,
) -> Seen:
    """Run a command to its end, with `environment` beside what is inherited."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**inherited, "TERM": "xterm", **environment},
        stdout=theirs if stream == "stdout" else subprocess.PIPE,
        stderr=theirs if stream == "stderr" else subprocess.PIPE,
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # what a terminal says when its last writer has gone
            while block := os.read(ours, 4096):
                shown += block
        os.close(ours)
        out, err = process.communicate(timeout=DEADLINE)
    return Seen(process.returncode, shown.replace(b"\r\n", b"\n"), out or err or b"")
