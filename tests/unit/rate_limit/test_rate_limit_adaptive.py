"""Calls in flight adapt to a server that queues."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from rate_limit_world import Caller, Server, clock, virtually
from rates import UNLIMITED

from janitor.rate_limit.adaptive_concurrency import AdaptiveConcurrency


class Queueing(Server):
    """Works on so many requests at once; the others wait inside."""

    def __init__(self, width: int) -> None:
        super().__init__(latency=0.02)
        self.room = asyncio.Semaphore(width)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        async with self.room:
            return await super().handle_async_request(request)


def throughput(width: int, concurrency: int, seconds: float = 16) -> tuple[float, int]:
    """Calls a second after a while, and the limit at the end."""

    async def main() -> tuple[float, int]:
        server = Queueing(width)
        caller = Caller(server, UNLIMITED, concurrency)
        # At first few call, and the server shows how quick it is.
        await caller.keep_calling(1, "GET", workers=min(width, 2))
        await caller.keep_calling(seconds, "GET", workers=concurrency)
        late = [at for at in server.times(200) if seconds / 2 <= at < seconds]
        return len(late) / (seconds / 2), caller.pace.adaptive.limit

    return virtually(main())


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 4, 16])
def test_a_server_that_queues_gets_fewer_at_once_and_does_as_much(width: int) -> None:
    rate, limit = throughput(width, 64)
    assert width <= limit <= 4 * width + 4
    assert rate >= 0.95 * width / 0.02


def test_a_server_that_does_not_queue_gets_all() -> None:
    rate, limit = throughput(100, 32, 6)
    assert limit == 32
    assert rate >= 0.95 * 32 / 0.02


def test_never_below_one_and_back_again() -> None:
    adaptive = AdaptiveConcurrency(8)
    for _ in range(500):
        adaptive.answered("read", 0.02, in_flight=8, failed=True)
    assert adaptive.limit == 1
    for _ in range(500):
        adaptive.answered("read", 0.02, in_flight=adaptive.limit)
    assert adaptive.limit == 8


def test_a_server_that_became_slower_is_normal_after_a_while() -> None:
    adaptive = AdaptiveConcurrency(16)
    for seconds in [0.01] * 50 + [0.2] * 1000:
        adaptive.answered("read", seconds, in_flight=adaptive.limit)
    assert adaptive.limit == 16


def test_a_failure_says_nothing_of_how_quick_a_server_is() -> None:
    adaptive = AdaptiveConcurrency(8)
    for _ in range(20):
        adaptive.answered("read", 0.0001, in_flight=8, failed=True)
    for _ in range(200):
        adaptive.answered("read", 0.05, in_flight=adaptive.limit)
    assert adaptive.limit == 8


def test_no_more_are_in_flight_than_allowed_whoever_gives_up() -> None:
    async def main() -> None:
        server = Server(latency=0.5)
        caller = Caller(server, UNLIMITED, 3)
        calls = [asyncio.create_task(caller.call("GET")) for _ in range(30)]
        await asyncio.sleep(0.6)
        for call in calls[5:20]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert server.most == 3
        await asyncio.gather(*(caller.call("GET") for _ in range(3)))
        assert clock() > 0

    virtually(main())
