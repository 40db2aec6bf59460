"""Waiting in order of urgency: for a token, and for a place among the calls in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from itertools import count

Sleep = Callable[[float], Awaitable[None]]


class Line:
    """Those who wait; the most urgent first, and among equals the first to come."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = count()

    def join(self, urgency: int) -> asyncio.Future[None]:
        """Stand in line: what is returned is done once it is one's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._heap, (urgency, next(self._number), turn))
        return turn

    def __bool__(self) -> bool:
        while self._heap and self._heap[0][2].done():
            heappop(self._heap)
        return bool(self._heap)

    @property
    def urgency(self) -> int:
        """That of the first one; somebody waits."""
        return self._heap[0][0]

    def call(self) -> bool:
        """Let the first one pass; false where nobody waits."""
        if not self:
            return False
        heappop(self._heap)[2].set_result(None)
        return True

    def fail(self, error: BaseException) -> None:
        """Tell all who wait that it cannot go on."""
        while self:
            heappop(self._heap)[2].set_exception(error)


class Turnstile:
    """Lets one pass each time that `ask` answers 0 seconds, the most urgent of those who wait.

    `ask` is told how urgent that one is. While it sleeps for as long as `ask` said, more urgent
    ones may still come first.
    """

    def __init__(self, ask: Callable[[int], Awaitable[float]], sleep: Sleep) -> None:
        self._ask = ask
        self._sleep = sleep
        self._line = Line()
        self._crank: asyncio.Task[None] | None = None

    async def enter(self, urgency: int) -> None:
        """Wait for one's turn; raises what `ask` raises."""
        if not self._line and await self._ask(urgency) == 0:
            return
        turn = self._line.join(urgency)
        if self._crank is None or self._crank.done():
            self._crank = asyncio.create_task(self._turn())
        await turn

    async def _turn(self) -> None:
        try:
            while self._line:
                if wait := await self._ask(self._line.urgency):
                    await self._sleep(wait)
                else:
                    self._line.call()
        except Exception as error:  # noqa: BLE001 - it is told to those who wait, and to all of them
            self._line.fail(error)


class Places:
    """At most `limit()` at once; who waits enters in order of urgency."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._line = Line()
        self.taken = 0

    async def enter(self, urgency: int) -> None:
        """Wait for a place and take it."""
        if self.taken < self._limit() and not self._line:
            self.taken += 1
            return
        turn = self._line.join(urgency)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the next, or to as many as the limit now allows."""
        self.taken -= 1
        while self.taken < self._limit() and self._line.call():
            self.taken += 1
