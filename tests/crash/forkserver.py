"""Starts janitor within milliseconds: imports it once, then forks a process for every run.

Reads an order a line on stdin: what to run, where, with what environment, where to die. Once the
process has ended it answers with the order's number and the exit code, negative where a signal
ended it; then the points that it came by lie in the file `points`, beside what it `said`. The
first run, which is to be no test's, warms the caches up in the server itself.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import ssl
import sys
from typing import Any, NoReturn

from seams import Point, Seams, hasten_renewals, keep_looks_fresh

from janitor.cli import execute
from janitor.drivers import load_sdk


def main() -> None:
    """Serve orders until stdin ends."""
    # Loopback speaks no TLS, and the world's certificates take longer to read than a sweep.
    ssl.SSLContext.load_verify_locations = _load_nothing  # type: ignore[method-assign]
    keep_looks_fresh()
    asyncio.run(load_sdk())  # which the first run does not need
    answers = os.fdopen(os.dup(1), "w")
    _enter(json.loads(sys.stdin.readline()))
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if (process := os.fork()) == 0:
            _run(order)
        _, status = os.waitpid(process, 0)
        answers.write(f"{order['number']} {os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _load_nothing(*_: object, **__: object) -> None:
    """In the place of `load_verify_locations`."""


def _enter(order: dict[str, Any]) -> int:
    """Go where a run is to be, and do it; its words go into a file."""
    os.chdir(order["directory"])
    os.environ.update(order["environment"])
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.close(said)
    return execute(order["arguments"])


def _run(order: dict[str, Any]) -> NoReturn:
    """Be janitor, once."""
    code = 70
    try:
        death = order["death"]
        seams = Seams(Point(*death) if death else None)
        seams.install()
        if order["hastened"]:
            hasten_renewals()
        code = _enter(order)
        with open("points", "w", encoding="utf-8") as file:  # noqa: PTH123 - as plain as can be
            points = [[p.name, p.occurrence, p.moment] for p in seams.points]
            json.dump({"points": points, "reached": seams.reached}, file)
    except BaseException:  # noqa: BLE001 - a child must not return into the server's loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
