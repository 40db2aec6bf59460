"""B8: a durable sweep, beside the same sweep that writes nothing of its threads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

from comparison import Measure, Size, speeds
from server import serving
from sweeps import DELETE, prepare, sweep

from janitor.model import Key, State
from janitor.registry import Entry, Intent
from janitor.registry.claims import Claims
from janitor.registry.runs import Runs
from janitor.registry.settlements import Settlements
from janitor.registry.threads import ThreadQueries

THREADS = 300
AT_ONCE = 32
WRITES = (
    *((Settlements, name) for name in ("settle", "witness", "note")),
    *((Claims, name) for name in ("pass_by", "put_off")),
    (Runs, "record"),
)
"""What is committed of each thread: pages of claims and the run itself are written in both."""


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Threads a second of CPU, durable ÷ unwritten; latency 0, so that CPU is all there is."""
    number, names = size.rows(THREADS), count()
    with serving(0.0) as server:

        def swept(*, is_written: bool) -> None:
            config = next(configs)
            with ExitStack() as stack:
                if not is_written:
                    stack.enter_context(unwritten())
                sweep(config)

        configs = iter(
            [
                prepare(
                    directory / f"b8_{next(names)}",
                    server,
                    server.conversations(number),
                    at_once=AT_ONCE,
                    stages=DELETE,
                )
                for _ in range(2 * size.pairs)
            ]
        )
        ratios = tuple(
            speeds(partial(swept, is_written=True), partial(swept, is_written=False), size.pairs)
        )
    yield Measure("B8", f"{number} deletions, durable, a second of CPU", 0.9, ratios)


@contextmanager
def unwritten() -> Iterator[None]:
    """Let the registry take what is settled of threads, and write none of it.

    An intent is read again before the call, so it is kept in memory. The run does not wait for
    its own claims to end.
    """
    get, intents = ThreadQueries.get, dict[Key, Intent]()

    def drop(_self: object, *_values: object) -> Collection[Key]:
        return frozenset()

    def intend(_self: Settlements, told: Sequence[Intent], _by: object) -> Collection[Key]:
        intents.update((intent.key, intent) for intent in told)
        return frozenset()

    def got(self: ThreadQueries, key: Key) -> Entry | None:
        entry, intent = get(self, key), intents.get(key)
        if entry is None or intent is None:
            return entry
        return replace(entry, intent=intent, thread=replace(entry.thread, state=State.DELETING))

    with ExitStack() as stack:
        for owner, name in WRITES:
            stack.enter_context(patch.object(owner, name, drop))
        stack.enter_context(patch.object(Claims, "is_exhausted", lambda *_: True))
        stack.enter_context(patch.object(Settlements, "intend", intend))
        stack.enter_context(patch.object(ThreadQueries, "get", got))
        yield
