"""A server of conversations in a process of its own, which answers after a set latency."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LATENCY = 0.02
"""Seconds before each answer."""
SERVER = f"""
import json, sys
from datetime import UTC, datetime, timedelta
from janitor.emulator import Emulator

emulator, old = Emulator(latency={LATENCY}), datetime.now(UTC) - timedelta(days=90)
with emulator.serve() as served:
    print(json.dumps([served.base_url, emulator.key]), flush=True)
    for line in sys.stdin:
        number = json.loads(line)
        if number is None:
            answer = [[entry.method, entry.path, entry.status] for entry in emulator.log]
        else:
            emulator.clear_log()
            answer = [emulator.add_conversation(created_at=old, items=2) for _ in range(number)]
        print(json.dumps(answer), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What a client is given, and ways to ask the server for more."""

    url: str
    key: str
    process: subprocess.Popen[str]

    def conversations(self, number: int) -> list[str]:
        """The ids of so many new conversations, 90 days old, of two items each."""
        return [str(one) for one in self._ask(number)]

    def calls(self) -> list[tuple[str, str]]:
        """The method and path of each call since conversations were last asked for."""
        return [(method, path) for method, path, _ in self._ask(None)]

    def _ask(self, what: int | None) -> list[Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(what)}\n")
        self.process.stdin.flush()
        answer: list[Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def serving() -> Iterator[Server]:
    """A server for as long as the block lasts."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url, key = json.loads(process.stdout.readline())
        yield Server(url, key, process)
        process.communicate()
