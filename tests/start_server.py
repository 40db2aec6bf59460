"""Starts janitor within milliseconds: imports it once, then forks a process for every start.

Takes orders on the Unix socket of its argument until stdin ends. An order comes with the three
standard streams. It is answered with the process's id where whoever asks becomes its parent, as a
subreaper does; else with its exit code, once it has ended. The process ends as any program does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import janitor

MODULE = "janitor"
FOR_CALLS = ("openai", "openai.lib.azure", "openai._base_client", "aiohttp", "pyrate_limiter")
"""What the program imports once it makes a call."""
LARGEST = 1 << 17


def main(path: str) -> None:
    """Serve orders until stdin ends; in a process that was started, be that."""
    for found in pkgutil.walk_packages(janitor.__path__, "janitor."):
        if not found.name.endswith(".__main__") and ".migrations." not in found.name:
            importlib.import_module(found.name)
    for name in FOR_CALLS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(path)
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while (asked := _next_to_start(listening)) is None:
            pass
    order, streams = asked
    _take_place(order, streams)
    if order["program"] == MODULE:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(order["program"], run_name="__main__")


def _next_to_start(listening: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Take an order; what was ordered, in the process that is to be it."""
    if sys.stdin in select.select([sys.stdin, listening], [], [])[0]:
        path = Path(listening.getsockname())
        path.unlink()
        path.parent.rmdir()  # which whoever started this made for the socket
        sys.exit()
    asking, _ = listening.accept()
    with asking:
        message, streams, _, _ = socket.recv_fds(asking, LARGEST, 3)
        order: dict[str, Any] = json.loads(message)
        begun, gate = os.pipe()
        if (middle := os.fork()) == 0:
            if (process := os.fork()) == 0:
                os.close(gate)
                os.read(begun, 1 if order["is_adopted"] else 0)
                return order, streams
            _tell(order, asking, process)
        if order["is_adopted"]:
            os.waitpid(middle, 0)  # by then the process has its new parent, and may begin
            asking.send(b"")
        for descriptor in (begun, gate, *streams):
            os.close(descriptor)
    _bury()
    return None


def _tell(order: dict[str, Any], asking: socket.socket, process: int) -> None:
    """Answer, and be no more."""
    if order["is_adopted"]:
        asking.send(b"%d" % process)
    else:
        _, status = os.waitpid(process, 0)
        asking.send(b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _bury() -> None:
    """Forget those that have answered."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _take_place(order: dict[str, Any], streams: list[int]) -> None:
    """Be where the order says, with what it hands down and nothing else open."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 4096)
    # Who runs tests in the background may ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(order["umask"])
    for number, limits in order["limits"]:
        resource.setrlimit(number, limits)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["directory"])
    program = order["program"]
    sys.argv = [program, *order["arguments"]]
    if program != MODULE:
        sys.path.insert(0, str(Path(program).parent))
    sys.stdin, sys.stdout, sys.stderr = (
        _stream(number, was) for number, was in enumerate((sys.stdin, sys.stdout, sys.stderr))
    )
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)


def _stream(number: int, was: TextIO) -> TextIO:
    """A standard stream as the interpreter makes it when it starts."""
    made = open(  # noqa: SIM115 - a descriptor, open until the end
        number,
        "w" if number else "r",
        encoding=was.encoding,
        errors=was.errors,
        closefd=False,
    )
    if number == 2 or made.isatty():
        made.reconfigure(line_buffering=True)
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
