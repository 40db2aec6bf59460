"""Replicas that share a store pause together, and leave the next token to the most urgent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from postgres import Server as Postgres
from rate_limit_world import BEGIN, Caller, Server, clock, of_one_verb, reach, virtually
from rates import UNLIMITED

from janitor.rate_limit import FoundRate, LocalStore, Paused, ProjectLimiter, SharedStore, Urgency
from janitor.rate_limit.state import read
from janitor.rate_limit.transport import PacedTransport
from janitor.registry import Registry


def pair(first: Server, second: Server, rate: float | None = 600.0) -> tuple[Caller, Caller]:
    """Two processes as far as the pace can tell: all that they share is a store."""
    rates, store = UNLIMITED if rate is None else of_one_verb(rate), LocalStore(clock=clock)
    return Caller(first, rates, store=store), Caller(second, rates, store=store)


class Once:
    """One 429 for each entry, then fine."""

    def __init__(self, *headers: dict[str, str]) -> None:
        self.headers = list(headers)

    def __call__(self, _now: float, _method: str) -> tuple[int, dict[str, str]]:
        return (429, self.headers.pop(0)) if self.headers else (200, {})


@pytest.mark.parametrize("rate", [600.0, None])
def test_one_that_is_asked_to_wait_pauses_all(rate: float | None) -> None:
    async def main() -> None:
        limited, other = pair(Server(Once({"retry-after": "30"})), Server(), rate)
        await asyncio.gather(limited.keep_calling(40, workers=1), other.keep_calling(40, workers=3))
        heard = 1.0 if rate is None else 0.2
        assert not [at for at in other.server.times(200) if 0.1 + heard < at < 30]
        assert [at for at in other.server.times(200) if at >= 30]
        waited = sum(event.seconds for event in other.told if isinstance(event, Paused))
        assert waited == pytest.approx(30, abs=1.2)

    virtually(main())


def test_a_stop_of_one_is_heard_by_all() -> None:
    async def main() -> None:
        limited, other = pair(Server(Once({"retry-after": "3600"})), Server())
        assert await limited.call() == 429
        assert await other.call() == 429
        assert other.server.log == []
        assert clock() - BEGIN < 1
        await reach(3601)
        assert await other.call() == 200

    virtually(main())


def test_a_stop_is_heard_anew_after_a_day() -> None:
    async def main() -> None:
        limited, other = pair(Server(Once({"retry-after": "1e300"})), Server())
        assert await limited.call() == 429
        await reach(86_390)
        assert await other.call() == 429
        await reach(86_402)
        assert await other.call() == 200

    virtually(main())


def test_pauses_double_from_one_replica_to_the_next() -> None:
    async def main() -> None:
        first, second = pair(Server(Once({}, {})), Server(Once({}, {})))
        assert await first.call() == 200
        begun = clock()
        assert begun - BEGIN == pytest.approx(3, rel=0.3)  # one second, then two
        assert await second.call() == 200
        assert clock() - begun == pytest.approx(3, rel=0.3)  # the first was let through since

        one, other = pair(Server(Once({}, {})), Server(Once({}, {}, {})))
        begun = clock()
        await asyncio.gather(one.call(), other.call())
        assert clock() - begun > 3

    virtually(main())


def test_a_more_urgent_process_goes_first() -> None:
    async def main() -> None:
        eager, patient = pair(Server(), Server(), rate=60.0)
        sweeping = asyncio.gather(*(patient.call() for _ in range(30)))
        await reach(3.5)
        await asyncio.gather(*(eager.call(urgency=Urgency.APPLY) for _ in range(10)))
        took = clock() - BEGIN
        assert took < 18  # ten tokens, and one that the other had taken or waited for
        assert len([at for at in patient.server.times(200) if 5 < at < took - 1]) <= 1
        await sweeping

    virtually(main())


def test_what_is_left_waiting_by_a_dead_one_is_soon_taken() -> None:
    async def main() -> None:
        eager, patient = pair(Server(), Server(), rate=60.0)
        await patient.call()
        dying = asyncio.create_task(eager.call(urgency=Urgency.APPLY))
        await asyncio.sleep(0.1)
        dying.cancel()
        assert eager.pace is not None
        await patient.call()
        assert clock() - BEGIN < 4

    virtually(main())


def test_equals_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        one, other = pair(Server(), Server(), rate=60.0)
        await asyncio.gather(*(c.call() for c in (one, other) for _ in range(6)))
        assert clock() - BEGIN < 14

    virtually(main())


def test_a_rate_and_a_stop_survive_a_kill_without_a_write_for_each_call(tmp_path: Path) -> None:
    with Registry.open(f"sqlite:///{tmp_path / 'janitor.db'}") as registry:
        writes: list[str] = []

        class Counted:
            def recall(self, name: str) -> str | None:
                return registry.key_values.recall(name)

            def remember(self, name: str, value: str) -> None:
                writes.append(value)
                registry.key_values.remember(name, value)

        async def main() -> None:
            server = Server(Once({"retry-after": "1"}))
            caller = Caller(server, store=LocalStore(Counted(), clock))
            await asyncio.gather(*(caller.call() for _ in range(200)))
            server.rule = Once({"retry-after": "3600"})
            assert await caller.call() == 429
            # It is never closed: the process is killed.

        virtually(main())
        known = read(registry.key_values.recall("pace:main"))
    assert min(level.rate for level in known.levels.values()) < 120
    assert known.pause.stopped_until > BEGIN + 3000
    assert 1 <= len(writes) <= 6


def test_every_rate_is_told_before_the_first_call() -> None:
    caller = Caller(Server(), of_one_verb(300.0), store=LocalStore(clock=lambda: BEGIN))
    assert [event for event in caller.told if isinstance(event, FoundRate)] == [
        FoundRate(verb, 300.0) for verb in of_one_verb(300.0) if verb == "delete"
    ]


def test_replicas_on_postgresql_pause_and_stop_together(postgres: Postgres) -> None:
    sent: list[str] = []
    request = httpx2.Request("DELETE", "http://server.test/")

    def answering(_: httpx2.Request) -> httpx2.Response:
        sent.append("sent")
        return httpx2.Response(200)

    async def main(url: str) -> tuple[int, ProjectLimiter]:
        with Registry.open(url) as one, Registry.open(url) as other:
            refusing = httpx2.MockTransport(
                lambda _: httpx2.Response(429, headers={"retry-after": "9999"})
            )
            first = ProjectLimiter("main", store=SharedStore(one.key_values))
            second = ProjectLimiter("main", store=SharedStore(other.key_values))
            await PacedTransport(refusing, first).handle_async_request(request)
            answer = await PacedTransport(
                httpx2.MockTransport(answering), second
            ).handle_async_request(request)
            return answer.status_code, ProjectLimiter("main", store=SharedStore(other.key_values))

    with postgres.database() as name:
        status, third = asyncio.run(main(postgres.url(name)))
    assert (status, sent) == (429, [])
    assert third.stopped > 9000
