"""Time that passes only while everybody waits: an event loop that knows when nobody is at work."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any


class WatchedLoop(asyncio.SelectorEventLoop):
    """Counts the calls in threads and whatever else says that it is `at_work`."""

    def __init__(self) -> None:
        super().__init__()
        self._at_work = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing goes on by itself, but for timers."""
        return not self._at_work and not self._ready  # type: ignore[attr-defined]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count as work what waits for something outside, such as an answer."""
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Executor | None,
        func: Callable[..., Any],
        *args: Any,  # noqa: ANN401
    ) -> asyncio.Future[Any]:
        """Run it in a thread, and count it as work."""
        future = super().run_in_executor(executor, func, *args)
        self._at_work += 1
        future.add_done_callback(lambda _: self._ended())
        return future

    def _ended(self) -> None:
        self._at_work -= 1


class Naps:
    """Lets sleepers wake in the order of their times, each when nobody is at work any more."""

    def __init__(self) -> None:
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0
        self._task: asyncio.Task[None] | None = None

    async def until(self, at: float, wake: Callable[[float], None]) -> None:
        """Return when all is idle and nobody has to wake earlier; `wake` is told the time first."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._sleeping, (at, self._number, woken))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._pass(wake))
        await woken

    async def _pass(self, wake: Callable[[float], None]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WatchedLoop)
        while self._sleeping:
            await asyncio.sleep(0)
            if loop.is_idle:
                at, _, woken = heapq.heappop(self._sleeping)
                if not woken.done():
                    wake(at)
                    woken.set_result(None)
