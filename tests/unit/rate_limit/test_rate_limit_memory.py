"""What was found is there at the next run, and shared where several run at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from postgres import Server as Postgres
from rate_limit_world import BEGIN, MINUTE, Caller, Server, Sliding, of_one_verb, virtually

from janitor.rate_limit import (
    FoundRate,
    LimiterStore,
    LocalStore,
    ProjectLimiter,
    ReadOnlyMemory,
    SharedStore,
    Verb,
)
from janitor.rate_limit.transport import PacedTransport
from janitor.registry import Registry


@pytest.fixture(params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    if request.param == "sqlite":
        with Registry.open(f"sqlite:///{tmp_path / 'janitor.db'}") as opened:
            yield opened
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.database() as name, Registry.open(postgres.url(name)) as opened:
        yield opened


class Later:
    """The virtual clock, so many seconds later."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return BEGIN + asyncio.get_running_loop().time() + self.seconds


def found(caller: Caller) -> list[float]:
    paced = (event for event in caller.told if isinstance(event, FoundRate))
    return [event.per_minute for event in paced if event.verb is Verb.DELETE]


def test_a_text_is_found_again(registry: Registry) -> None:
    assert registry.key_values.recall("pace:main:delete") is None
    registry.key_values.remember("pace:main:delete", "one")
    registry.key_values.remember("pace:main:delete", "two")
    registry.key_values.remember("id", "not the registry's own")
    assert registry.key_values.recall("pace:main:delete") == "two"
    assert registry.id != "not the registry's own"


def test_the_next_run_begins_with_what_was_found(registry: Registry) -> None:
    async def run(minutes: float, later: float) -> Caller:
        caller = Caller(Server(Sliding(300)), store=LocalStore(registry.key_values, Later(later)))
        await caller.keep_calling(minutes * MINUTE)
        await PacedTransport(caller.server, caller.pace).aclose()
        return caller

    first = virtually(run(5, 0))
    second = virtually(run(1, 3600))
    assert found(first)[0] == 120
    assert found(first)[-1] > 160
    assert found(second)[0] == found(first)[-1]


def test_one_run_after_another_gets_no_burst_of_its_own(registry: Registry) -> None:
    async def run(number: int) -> int:
        caller = Caller(
            Server(Sliding(10_000)), store=LocalStore(registry.key_values, Later(number * 10))
        )
        await caller.keep_calling(10)
        await PacedTransport(caller.server, caller.pace).aclose()
        return len(caller.server.log)

    calls = [virtually(run(number)) for number in range(6)]
    assert calls[0] >= 120
    assert sum(calls) <= 240 + 8 * 6


def test_a_look_remembers_nothing(registry: Registry) -> None:
    async def run() -> None:
        caller = Caller(Server(), store=LocalStore(ReadOnlyMemory(registry.key_values), Later(0)))
        await caller.keep_calling(1)
        await PacedTransport(caller.server, caller.pace).aclose()

    virtually(run())
    assert registry.key_values.recall("pace:main") is None


def test_what_is_remembered_and_not_understood_is_begun_anew(registry: Registry) -> None:
    async def run() -> Caller:
        registry.key_values.remember("pace:main", "{")
        caller = Caller(Server(), store=LocalStore(registry.key_values, Later(0)))
        assert await caller.call() == 200
        return caller

    assert found(virtually(run())) == [120.0]


async def calls_of(store: LimiterStore, rate: float, seconds: float) -> list[float]:
    """When one replica's calls were sent, in real time."""
    sent: list[float] = []

    def answer(_request: httpx2.Request) -> httpx2.Response:
        sent.append(time.monotonic())
        return httpx2.Response(200)

    pace = ProjectLimiter("main", rates=of_one_verb(rate), store=store)
    transport = PacedTransport(httpx2.MockTransport(answer), pace)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await transport.handle_async_request(httpx2.Request("DELETE", "http://server.test/"))
    await transport.aclose()
    return sent


@pytest.mark.slow
@pytest.mark.parametrize("rate", [600.0, 6000.0])
def test_replicas_share_one_bucket(postgres: Postgres, rate: float) -> None:
    async def main(url: str) -> tuple[list[float], list[float]]:
        with Registry.open(url) as one, Registry.open(url) as other:
            return await asyncio.gather(
                calls_of(SharedStore(one.key_values), rate, 3),
                calls_of(SharedStore(other.key_values), rate, 3),
            )

    with postgres.database() as name:
        one, other = asyncio.run(main(postgres.url(name)))
    per_second = rate / MINUTE
    assert len(one) + len(other) <= 3.3 * per_second + max(1, rate * 0.01)
    assert len(one) + len(other) >= 2 * per_second
    assert min(len(one), len(other)) >= 0.2 * per_second


def test_a_429_of_one_replica_slows_the_other(postgres: Postgres) -> None:
    told: list[object] = []

    async def main(url: str) -> None:
        with Registry.open(url) as one, Registry.open(url) as other:
            answers = iter([httpx2.Response(429, headers={"retry-after": "1"})])
            refusing = httpx2.MockTransport(lambda _: next(answers, httpx2.Response(200)))
            answering = httpx2.MockTransport(lambda _: httpx2.Response(200))
            request = httpx2.Request("DELETE", "http://server.test/")
            first = ProjectLimiter("main", store=SharedStore(one.key_values))
            second = ProjectLimiter("main", store=SharedStore(other.key_values), tell=told.append)
            await PacedTransport(refusing, first).handle_async_request(request)
            await PacedTransport(answering, second).handle_async_request(request)

    with postgres.database() as name:
        asyncio.run(main(postgres.url(name)))
    assert FoundRate(Verb.DELETE, 60.0) in told
