"""B5: a sweep that deletes, beside the same calls of the SDK in a bare loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from itertools import count
from pathlib import Path

from comparison import Measure, Pair, Size
from openai import AsyncOpenAI, DefaultAioHttpClient
from server import Server, serving

from janitor.cli import execute
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

THREADS = 300
AT_ONCE = 32
OLD = datetime.now(UTC) - timedelta(days=90)
CONFIG = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///{registry}"}}
projects:
  main:
    api_key: {{env: BENCH_KEY}}
    base_url: "{url}"
    concurrency: {at_once}
    rate: {{delete: unlimited, read: unlimited, write: unlimited}}
limits: {{max_percent: 100}}
policies:
  - {{name: old, match: {{project: main}}, delete: {{after: 30d, items: keep}}}}
"""


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Threads a second, ours ÷ the reference's, by CPU and by the clock on the wall."""
    number, names = size.rows(THREADS), count()
    with serving() as server:
        os.environ["BENCH_KEY"] = server.key

        def prepared(ids: list[str]) -> Path:
            registry = directory / f"swept_{next(names)}.db"
            with Registry.open(f"sqlite:///{registry}") as opened:
                keys = (Key("main", Kind.CONVERSATION, one) for one in ids)
                opened.registrations.add((Registration(key, OLD, OLD) for key in keys), OLD)
            text = CONFIG.format(registry=registry, url=server.url, at_once=AT_ONCE)
            config = directory / "sweep.yaml"
            config.write_text(text, encoding="utf-8")
            return config

        one = server.conversations(1)
        sweep(prepared(one))
        calls = [(method, path.replace(one[0], "{id}")) for method, path in server.calls()]
        by_cpu, by_wall = list[Pair](), list[Pair]()
        for pair in range(size.pairs):
            spent = dict[bool, tuple[float, float]]()
            for is_ours in (True, False) if pair % 2 else (False, True):
                ids = server.conversations(number)
                act = (
                    partial(sweep, prepared(ids))
                    if is_ours
                    else partial(replay, server, ids, calls)
                )
                spent[is_ours] = timed(act)
            for seconds, pairs in enumerate((by_cpu, by_wall)):
                pairs.append(Pair.of(number / spent[True][seconds], number / spent[False][seconds]))
    told = f"{number} deletions of {len(calls)} calls, 20 ms"
    yield Measure("B5", f"{told}, a second of CPU", 0.85, tuple(by_cpu), unit="threads/s")
    yield Measure("B5", f"{told}, a second", 0.85, tuple(by_wall), unit="threads/s")


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Seconds of CPU and on the wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return time.process_time() - cpu, time.perf_counter() - wall


def sweep(config: Path) -> None:
    """One sweep in this process."""
    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()):
        code = execute(["--config", str(config), "sweep"])
    assert code == 0, said.getvalue()


def replay(server: Server, ids: list[str], calls: list[tuple[str, str]]) -> None:
    """Make the calls of each thread with the SDK alone, so many threads at once."""
    asyncio.run(replay_all(server, ids, calls))


async def replay_all(server: Server, ids: list[str], calls: list[tuple[str, str]]) -> None:
    """What `replay` does, in a loop."""
    room = asyncio.Semaphore(AT_ONCE)
    async with AsyncOpenAI(
        base_url=server.url, api_key=server.key, max_retries=0, http_client=DefaultAioHttpClient()
    ) as client:

        async def work(id: str) -> None:
            async with room:
                for method, path in calls:
                    place = path.format(id=id).removeprefix("/v1")
                    if method == "DELETE":
                        await client.delete(place, cast_to=object)
                    else:
                        await client.get(place, cast_to=object)

        async with asyncio.TaskGroup() as group:
            for one in ids:
                group.create_task(work(one))
