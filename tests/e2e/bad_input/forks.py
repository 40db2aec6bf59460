"""Starts janitor in any surroundings within milliseconds: imports it once, forks for every run.

Reads an order a line on stdin and answers with the exit code once the process has ended, negative
where a signal ended it, or "late"; what it said is in the files that the order names.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import janitor
from janitor import cli

FULL, BROKEN = "full", "broken"
DEADLINE = 240.0


def main() -> None:
    """Serve orders until stdin ends."""
    for found in pkgutil.walk_packages(janitor.__path__, "janitor."):
        if not found.name.endswith(".__main__") and ".migrations." not in found.name:
            importlib.import_module(found.name)
    importlib.import_module("pyrate_limiter")  # which a run imports late
    answers = os.fdopen(os.dup(1), "w")
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if (process := os.fork()) == 0:
            _run(order)
        answers.write(f"{_ended(process)}\n")
        answers.flush()


def _ended(process: int) -> str:
    """How it ended; a service is asked to stop as soon as it serves."""
    watched = os.pidfd_open(process)
    deadline, is_asked = time.monotonic() + DEADLINE, False
    while not select.select([watched], [], [], 0.02)[0]:
        if not is_asked and _serves(process):
            signal.pidfd_send_signal(watched, signal.SIGTERM)
            is_asked = True
        if time.monotonic() > deadline:
            signal.pidfd_send_signal(watched, signal.SIGKILL)
            os.waitpid(process, 0)
            return "late"
    os.close(watched)
    return str(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def _serves(process: int) -> bool:
    """Whether it is a service that has begun: nothing else reads its configuration at SIGHUP."""
    status = Path(f"/proc/{process}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << signal.SIGHUP - 1)


def _set_limits(limits: dict[str, int]) -> None:
    """Lower limits of the system, once nothing but the streams is open."""
    os.closerange(3, 256)
    for name, most in limits.items():
        number = getattr(resource, name)
        resource.setrlimit(number, (most, resource.getrlimit(number)[1]))


def _run(order: dict[str, Any]) -> NoReturn:
    """Be janitor, once, as its command is started: the streams are what the order says."""
    code = 70
    try:
        os.environ.clear()
        os.environ.update(order["environment"])
        time.tzset()
        os.chdir(order["directory"])
        _open_streams(order["streams"])
        _set_limits(order["limits"])
        if order["cwd_is_gone"]:
            shutil.rmtree(order["directory"])
        sys.argv = ["janitor", *order["arguments"]]
        try:
            cli.main()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - a child must not return into the server's loop
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):
                stream.flush()
        os._exit(code)


def _open_streams(streams: list[str | None]) -> None:
    """Make 0, 1 and 2 what they are to be: a file, closed (`None`), full, or without a reader."""
    for number, said in enumerate(streams):
        os.close(number)
        if said is None:
            continue
        if said == BROKEN:
            reader, made = os.pipe()
            os.close(reader)
        else:
            name = "/dev/full" if said == FULL else said
            made = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if made != number:
            os.dup2(made, number)
            os.close(made)
    sys.stdin, sys.stdout, sys.stderr = (
        None if said is None else _stream(number) for number, said in enumerate(streams)
    )


def _stream(number: int) -> Any:  # noqa: ANN401 - one of Python's
    """A standard stream as the interpreter would make it under this environment."""
    encoding = os.environ.get("PYTHONIOENCODING") or "utf-8"
    return os.fdopen(number, "r" if number == 0 else "w", encoding=encoding, closefd=False)


if __name__ == "__main__":
    main()
