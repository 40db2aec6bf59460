"""A server of conversations in a process of its own, which answers after a set latency.

It is the emulator, in Python like us, so it must be shown not to be the bottleneck: `Server.timed`
returns the share of one core that the server used meanwhile. B6 and B12 print it beside their
ratios. Near 1 the server is the limit, and the ratio says nothing about the client.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LATENCY = 0.02
"""Seconds before each answer."""
BUSY = 0.8
"""The largest share of its core at which the server is not the bottleneck."""
SERVER = """
import json, sys, time
from datetime import UTC, datetime, timedelta
from janitor.emulator import Emulator

emulator, old = Emulator(latency=float(sys.argv[1])), datetime.now(UTC) - timedelta(days=90)

def add(number, items):
    emulator.clear_log()
    return [emulator.add_conversation(created_at=old, items=items) for _ in range(number)]

def calls():
    return [[one.method, one.path, one.status, one.at.timestamp()] for one in emulator.log]

asked = {"add": add, "calls": calls, "cpu": time.process_time}
with emulator.serve() as served:
    print(json.dumps([served.base_url, emulator.key]), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(asked[name](*arguments)), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What a client is given, and ways to ask the server for more."""

    url: str
    key: str
    process: subprocess.Popen[str]

    def conversations(self, number: int, items: int = 2) -> list[str]:
        """The ids of so many new conversations, 90 days old, of so many items each."""
        return [str(one) for one in self._ask("add", number, items)]

    def calls(self) -> list[tuple[str, str]]:
        """The method and path of each call since conversations were last asked for."""
        return [(method, path) for method, path, *_ in self._ask("calls")]

    def deletions(self) -> list[tuple[str, float]]:
        """The path and the second of each deletion since conversations were last asked for."""
        return [
            (path, at)
            for method, path, status, at in self._ask("calls")
            if (method, status) == ("DELETE", 200)
        ]

    def timed(self, act: Callable[[], object]) -> tuple[float, float]:
        """How many seconds it took, and the share of a core that the server used meanwhile."""
        cpu, begun = self._ask("cpu"), time.perf_counter()
        act()
        spent = time.perf_counter() - begun
        return spent, (self._ask("cpu") - cpu) / spent

    def _ask(self, *what: object) -> Any:  # noqa: ANN401 - JSON is anything
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(what)}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def serving(latency: float = LATENCY) -> Iterator[Server]:
    """A server for as long as the block lasts."""
    command = [sys.executable, "-c", SERVER, str(latency)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url, key = json.loads(process.stdout.readline())
        try:
            yield Server(url, key, process)
        finally:
            process.communicate()
