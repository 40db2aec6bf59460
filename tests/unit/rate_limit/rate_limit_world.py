"""Time that passes at once, and a server in it."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2

from janitor.rate_limit import AUTO, Allowance, LimiterStore, ProjectLimiter, Urgency, Verb
from janitor.rate_limit.transport import PacedTransport

T = TypeVar("T")
BEGIN = 1_800_000_000.0
MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0
ADDRESS = "http://server.test/v1/conversations/conv_1"


class Leaping(selectors.SelectSelector):
    """Instead of waiting it lets the time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen"
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock leaps from one event to the next."""

    def __init__(self) -> None:
        self._leaping = Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


def virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def clock() -> float:
    """Seconds since the epoch, in virtual time."""
    return BEGIN + asyncio.get_running_loop().time()


async def reach(at: float) -> None:
    """Wait until so many seconds after the beginning."""
    await asyncio.sleep(max(0.0, BEGIN + at - clock()))


Rule = Callable[[float, str], tuple[int, Mapping[str, str]]]
"""From the time and the method to the status and the headers of an answer."""


def fine(now: float, method: str) -> tuple[int, Mapping[str, str]]:
    return 200, {}


@dataclass
class Sliding:
    """A quota of requests in any minute; more are refused, with or without a word on how long."""

    quota: int
    says: bool = True
    names: bool = False
    used: deque[float] = field(default_factory=deque)

    def __call__(self, now: float, _method: str) -> tuple[int, Mapping[str, str]]:
        headers = {"x-ratelimit-limit-requests": str(self.quota)} if self.names else {}
        while self.used and self.used[0] <= now - MINUTE:
            self.used.popleft()
        if len(self.used) < self.quota:
            self.used.append(now)
            return 200, headers
        left = math.ceil(self.used[0] + MINUTE - now)
        return 429, headers | ({"retry-after": str(left)} if self.says else {})


@dataclass
class Fixed:
    """A quota of requests in each minute of the wall clock."""

    quota: int
    minute: int = 0
    used: int = 0

    def __call__(self, now: float, _method: str) -> tuple[int, Mapping[str, str]]:
        if now // MINUTE != self.minute:
            self.minute, self.used = int(now // MINUTE), 0
        self.used += 1
        left = math.ceil(MINUTE - now % MINUTE)
        return (200, {}) if self.used <= self.quota else (429, {"retry-after": str(left)})


@dataclass
class Server(httpx2.AsyncBaseTransport):
    """Answers after `latency` as its rule says, and remembers when it was asked."""

    rule: Rule = fine
    latency: float = 0.05
    body: bytes = b"{}"
    log: list[tuple[float, str, int]] = field(default_factory=list)
    in_flight: int = 0
    most: int = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        status, headers = self.rule(clock(), request.method)
        self.log.append((clock() - BEGIN, request.method, status))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        if not status:
            raise httpx2.ConnectError("no server", request=request)
        return httpx2.Response(status, headers=headers, content=self.body, request=request)

    def times(self, status: int) -> list[float]:
        """When requests were answered with a status, in seconds from the beginning."""
        return [at for at, _, one in self.log if one == status]

    def in_minute(self, number: int) -> int:
        """The deletions let through in a minute, counted from 0."""
        return sum(number * MINUTE <= at < (number + 1) * MINUTE for at in self.times(200))


@dataclass
class Caller:
    """Requests to one server at one pace, and what was told of them."""

    server: Server
    rates: Mapping[Verb, Allowance] = field(default_factory=lambda: AUTO)
    concurrency: int = 8
    store: LimiterStore | None = None
    told: list[object] = field(default_factory=list)
    pace: ProjectLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.pace = ProjectLimiter(
            "main",
            rates=self.rates,
            concurrency=self.concurrency,
            store=self.store,
            tell=self.told.append,
            clock=clock,
        )

    async def call(self, method: str = "DELETE", urgency: Urgency = Urgency.SWEEP) -> int:
        """One request; its status, or 0 where no answer came."""
        transport = PacedTransport(self.server, self.pace, urgency=urgency)
        try:
            answer = await transport.handle_async_request(httpx2.Request(method, ADDRESS))
        except httpx2.TransportError:
            return 0
        return answer.status_code

    async def keep_calling(self, until: float, method: str = "DELETE", workers: int = 8) -> None:
        """Call as fast as it goes until so many seconds after the beginning."""

        async def work() -> None:
            while clock() < BEGIN + until:
                await self.call(method)

        await asyncio.gather(*(work() for _ in range(workers)))


def of_one_verb(rate: Allowance) -> dict[Verb, Allowance]:
    """A rate for deletions, none for the rest."""
    return {Verb.DELETE: rate, Verb.READ: "unlimited", Verb.WRITE: "unlimited"}
