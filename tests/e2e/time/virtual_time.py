"""Time that leaps: days pass as fast as the work of them is done, over real sockets and files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import TypeVar

import httpx2
import pytest

from janitor.app import compose
from janitor.app.clock import Time
from janitor.drivers.connect import Outbound
from janitor.drivers.send_guard import SendGuard
from janitor.emulator import Clock

T = TypeVar("T")
ROUNDS = 8
"""How often the loop goes round before time leaps, for what is ready to run to run first."""


class VirtualClock(Clock):
    """Stands still while a request or a thread is under way; then leaps to whoever waits least.

    The emulator takes it as its own clock, so that client and server live at one time.
    """

    def __init__(self, at: datetime) -> None:
        super().__init__(at)
        self._asleep: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._number = count()
        self._under_way = 0
        self._is_leaping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def time(self) -> Time:
        """What a run tells the time by."""
        return Time(now=self.now, steady=self.seconds, sleep=self.sleep)

    def seconds(self) -> float:
        """Seconds since the epoch."""
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # whoever slept in the loop before was left with it
            self._loop, self._asleep, self._is_leaping = loop, [], False
        woken: asyncio.Future[None] = loop.create_future()
        at = self.now() + timedelta(seconds=max(seconds, 1e-6))
        heappush(self._asleep, (at, next(self._number), woken))
        self._consider()
        await woken

    def begin(self) -> None:
        """Something is under way: time stands still."""
        self._under_way += 1

    def end(self) -> None:
        """It is over."""
        self._under_way -= 1
        self._consider()

    def _consider(self, rounds: int = ROUNDS) -> None:
        if rounds == ROUNDS and self._is_leaping:
            return
        self._is_leaping = rounds > 0
        if rounds:
            asyncio.get_running_loop().call_soon(self._consider, rounds - 1)
        elif not self._under_way:
            self._leap()

    def _leap(self) -> None:
        while self._asleep and self._asleep[0][2].done():
            heappop(self._asleep)
        if self._asleep:
            at, _, woken = heappop(self._asleep)
            self.set(max(at, self.now().astimezone(UTC)))
            woken.set_result(None)
            self._consider()


@contextmanager
def awaited(clock: VirtualClock, latency: float = 0.0) -> Iterator[None]:
    """Let time stand still for what goes over the network and for what threads work at.

    With a `latency`, each request takes so long in virtual time, and looks get old in it; without,
    looks get old by the machine's clock.
    """
    submit = asyncio.BaseEventLoop.run_in_executor

    class Watched(Outbound):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if latency:
                await clock.sleep(latency)
            clock.begin()
            try:
                return await super().handle_async_request(request)
            finally:
                clock.end()

    def watched(
        loop: asyncio.BaseEventLoop,
        executor: Executor | None,
        work: Callable[..., T],
        *args: object,
    ) -> asyncio.Future[T]:
        future = submit(loop, executor, work, *args)
        clock.begin()
        future.add_done_callback(lambda _: clock.end())
        return future

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "Outbound", Watched)
        if latency:
            patch.setattr(compose, "SendGuard", partial(SendGuard, clock.seconds))
        patch.setattr(asyncio.BaseEventLoop, "run_in_executor", watched)
        yield
