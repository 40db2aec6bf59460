"""A walk whose process is killed, two walks at once, and a long list in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

from discovery_world import Lists, either, lists

from janitor.emulator import How
from janitor.errors import LockedError
from janitor.sources.discovery import ListResult

__all__ = ["either", "lists"]

DEADLINE = 240.0
SCALE = int(os.environ.get("JANITOR_SCALE", "1000"))
LITTLE = 8 << 20
WALK = """\
import asyncio, sys
from datetime import UTC, datetime
from janitor.drivers import Endpoint
from janitor.drivers.connect import connect
from janitor.model import Kind
from janitor.registry import Registry
from janitor.sources.discovery import ApiList, discover

async def main(url, base_url, key):
    with Registry.open(url) as registry:
        async with connect(Endpoint("main", key, base_url=base_url, timeout=60.0)) as drivers:
            kind = Kind.AGENT_SESSION
            place = ApiList("main", kind, drivers[kind], "a1")
            await discover(registry, place, lambda: datetime.now(UTC))

asyncio.run(main(*sys.argv[1:]))
"""


def start(lists: Lists) -> subprocess.Popen[bytes]:
    arguments = [lists.url, lists.base_url, lists.server.key]
    return subprocess.Popen([sys.executable, "-c", WALK, *arguments])


def hangs(lists: Lists, number: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the fault has struck the process; one that has ended is never struck."""
    deadline = time.monotonic() + DEADLINE
    while not lists.server.struck()[number]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_walk_that_was_killed_goes_on_behind_its_last_page(either: Lists) -> None:
    ids = either.fill(350)
    number = either.fault(How.HANG, skip=2)
    process = start(either)
    hangs(either, number, process)
    process.kill()
    process.wait(DEADLINE)
    either.server.remove_fault(number)
    assert either.ids() == ids[:200]
    either.server.clear_log()
    found, absent = either.discover()
    assert (found.is_resumed, found.is_whole, found.registered.added) == (True, True, 150)
    assert (either.ids(), absent, either.asked()) == (ids, [], 2)


def test_two_janitors_never_walk_one_list_at_once(either: Lists) -> None:
    either.fill(250)
    number = either.fault(How.HANG, skip=1)
    process = start(either)
    hangs(either, number, process)
    found, _ = either.discover()
    assert isinstance(found.failure, LockedError)
    process.kill()
    process.wait(DEADLINE)
    assert len(either.ids()) == 100


def test_a_long_list_is_walked_in_little_memory(lists: Lists) -> None:
    """`JANITOR_SCALE=20000` walks as many as the issue asks for."""
    lists.fill(200)
    lists.discover()
    lists.preview()
    lists.fill(SCALE)
    for found, peak in (measured(lists.preview), measured(lambda: lists.discover()[0])):
        assert (found.is_whole, found.registered.added) == (True, SCALE)
        assert peak < LITTLE


def measured(walk: Callable[[], ListResult]) -> tuple[ListResult, int]:
    """What a walk found, and the most bytes that it held at once."""
    tracemalloc.start()
    found = walk()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found, peak
