"""B13: what `track()` adds to a call of the SDK, its registry being there or dead."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import OpenAI

import janitor
from janitor.registry import Registry

TARGET = 1.02
LATENCY = 0.02
DEAD = "postgresql://nobody@127.0.0.1:1/none"
SERVER = f"""
import sys
from janitor.emulator import Emulator
emulator = Emulator(latency={LATENCY})
with emulator.serve() as served:
    print(served.base_url, emulator.key, emulator.add_conversation(), flush=True)
    sys.stdin.read()
"""
Call = Callable[[OpenAI], object]


@contextmanager
def server() -> Iterator[tuple[str, str, str]]:
    """A server in a process of its own: its base URL, its key and a conversation that it has."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url, key, conversation = process.stdout.readline().split()
        yield url, key, conversation
        process.communicate()


def measures(directory: Path, *, pairs: int, calls: int) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Each measure and the ratio of each of its pairs."""
    registry = f"sqlite:///{directory / 'janitor.db'}"
    Registry.open(registry).close()
    with server() as (url, key, used), OpenAI(base_url=url, api_key=key) as plain:
        tracked, dead = janitor.track(plain, registry), janitor.track(plain, DEAD)
        acts: dict[str, Call] = {
            "conversations.create": lambda client: client.conversations.create(),
            "conversations.items.create": lambda client: client.conversations.items.create(
                used, items=[{"type": "message", "role": "user", "content": "Hello."}]
            ),
        }
        for name, act in acts.items():
            yield f"{name}, tracked", tuple(_ratios(act, plain, tracked, pairs, calls))
        act = acts["conversations.create"]
        yield "conversations.create, registry dead", tuple(_ratios(act, plain, dead, pairs, calls))


def _ratios(act: Call, plain: OpenAI, tracked: OpenAI, pairs: int, calls: int) -> Iterator[float]:
    for client in (plain, tracked):
        act(client)  # what is imported and connected on first use is nobody's overhead
    for _ in range(pairs):
        spent = {plain: 0.0, tracked: 0.0}
        for number in range(2 * calls):
            client = (plain, tracked)[(number + number // 2) % 2]  # who goes first changes, too
            begun = time.perf_counter()
            act(client)
            spent[client] += time.perf_counter() - begun
        yield spent[tracked] / spent[plain]
