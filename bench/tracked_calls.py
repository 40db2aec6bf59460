"""B13: what `track()` adds to a call of the SDK, its registry being there or dead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from comparison import Measure, Pair, Size
from openai import OpenAI
from server import serving

import janitor
from janitor.registry import Registry

TARGET = 1.02
DEAD = "postgresql://nobody@127.0.0.1:1/none"
Call = Callable[[OpenAI], object]


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """The time of a tracked call ÷ that of the same call untracked."""
    registry = f"sqlite:///{directory / 'janitor.db'}"
    Registry.open(registry).close()
    with serving() as server, OpenAI(base_url=server.url, api_key=server.key) as plain:
        (used,) = server.conversations(1)
        tracked, dead = janitor.track(plain, registry), janitor.track(plain, DEAD)

        def create(client: OpenAI) -> object:
            return client.conversations.create()

        def add_item(client: OpenAI) -> object:
            message = {"type": "message", "role": "user", "content": "Hello."}
            return client.conversations.items.create(used, items=[message])

        for name, act, ours in (
            ("conversations.create, tracked", create, tracked),
            ("conversations.items.create, tracked", add_item, tracked),
            ("conversations.create, registry dead", create, dead),
        ):
            ratios = tuple(_ratios(act, plain, ours, size.pairs, size.calls))
            yield Measure("B13", name, TARGET, ratios, at_most=True)


def _ratios(act: Call, plain: OpenAI, tracked: OpenAI, pairs: int, calls: int) -> Iterator[Pair]:
    for client in (plain, tracked):
        act(client)  # what is imported and connected on first use is nobody's overhead
    for _ in range(pairs):
        spent = {plain: 0.0, tracked: 0.0}
        for number in range(2 * calls):
            client = (plain, tracked)[(number + number // 2) % 2]  # who goes first changes, too
            begun = time.perf_counter()
            act(client)
            spent[client] += time.perf_counter() - begun
        yield Pair.of(spent[tracked], spent[plain])
