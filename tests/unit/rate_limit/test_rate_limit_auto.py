"""What `auto` finds and holds, and what fixed rates keep, minute by minute in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest
from rate_limit_world import (
    BEGIN,
    DAY,
    HOUR,
    MINUTE,
    Caller,
    Fixed,
    Rule,
    Server,
    Sliding,
    clock,
    of_one_verb,
    reach,
    virtually,
)

from janitor.rate_limit import FoundRate, Verb


def called(rule: Rule, minutes: int, rates: dict[Verb, object] | None = None) -> Server:
    server = Server(rule)

    async def main() -> None:
        caller = Caller(server, **({"rates": rates} if rates else {}))  # type: ignore[arg-type]
        await caller.keep_calling(minutes * MINUTE)

    virtually(main())
    return server


def share(server: Server, quota: int, first: int, last: int) -> float:
    done = sum(server.in_minute(minute) for minute in range(first, last))
    return done / quota / (last - first)


@pytest.mark.parametrize("quota", [250, 300, 330])
def test_auto_finds_a_quota_within_six_minutes(quota: int) -> None:
    server = called(Sliding(quota), 7)
    assert max(server.in_minute(minute) for minute in range(1, 7)) >= 0.9 * quota
    assert len(server.times(429)) <= 3


@pytest.mark.parametrize("rule", [Sliding(60), Sliding(60, says=False), Fixed(60)])
def test_auto_holds_nine_tenths_of_what_it_found(rule: Rule) -> None:
    server = called(rule, 132)
    assert share(server, 60, 12, 132) >= 0.9
    assert len(server.times(429)) <= 20


def test_auto_begins_at_120_a_minute_and_grows_by_a_fifth() -> None:
    server = called(Sliding(10_000), 6)
    minutes = [server.in_minute(minute) for minute in range(1, 6)]
    assert minutes == pytest.approx([144, 173, 207, 249, 299], rel=0.04)


def test_reads_begin_at_500_a_minute() -> None:
    server = Server(Sliding(10_000))

    async def main() -> None:
        await Caller(server).keep_calling(6 * MINUTE, "GET")

    virtually(main())
    minutes = [server.in_minute(minute) for minute in range(1, 6)]
    assert minutes == pytest.approx([600, 720, 864, 1037, 1244], rel=0.04)


def test_auto_takes_half_of_the_limit_that_a_server_names() -> None:
    server = called(Sliding(300, names=True), 20)
    assert server.times(429) == []
    assert max(server.in_minute(minute) for minute in range(20)) <= 152
    assert server.in_minute(19) >= 145


def test_a_fixed_rate_keeps_a_quota_without_a_429() -> None:
    for quota in (7, 60, 300):
        server = called(Sliding(quota), 20, {Verb.DELETE: float(quota)})
        assert server.times(429) == []
        assert share(server, quota, 0, 20) >= 0.97


def test_reads_and_deletions_have_a_bucket_each() -> None:
    server = Server()

    async def main() -> None:
        caller = Caller(server, {**of_one_verb(60.0), Verb.READ: 600.0})
        await asyncio.gather(
            caller.keep_calling(10 * MINUTE), caller.keep_calling(10 * MINUTE, "GET")
        )

    virtually(main())
    methods = Counter(method for _, method, _ in server.log)
    assert methods == {"DELETE": pytest.approx(590, abs=10), "GET": pytest.approx(5900, abs=100)}


def test_idle_minutes_prove_nothing() -> None:
    """Not even where each hour a few calls had to wait."""
    server = Server()

    async def main() -> None:
        caller = Caller(server)
        for hour in range(24):
            await reach(hour * HOUR)
            await caller.keep_calling(hour * HOUR + 5, workers=40)
            assert len(server.log) > 120 * (hour + 1)
        found = [event for event in caller.told if isinstance(event, FoundRate)]
        assert {event.per_minute for event in found if event.verb is Verb.DELETE} == {120.0}

    virtually(main())


@pytest.mark.parametrize("status", [429, 503, 0])
def test_a_day_without_an_answer_ends_by_itself_and_recovers(status: int) -> None:
    good = Sliding(60)

    def rule(now: float, method: str) -> tuple[int, Mapping[str, str]]:
        return (status, {}) if HOUR <= now - BEGIN < HOUR + DAY else good(now, method)

    server, took = Server(rule), []

    async def main() -> None:
        caller = Caller(server, of_one_verb("auto") | {Verb.READ: "auto"})
        await caller.keep_calling(HOUR, "GET")
        for hour in range(1, 25):
            await reach(hour * HOUR + 1)
            begun = clock()
            assert await caller.call("GET") == status
            took.append(clock() - begun)
        await reach(HOUR + DAY)
        await caller.keep_calling(HOUR + DAY + 20 * MINUTE, "GET")

    virtually(main())
    assert max(took) <= 700
    back = int((HOUR + DAY) / MINUTE)
    assert share(server, 60, back + 12, back + 20) >= 0.8


def test_a_day_of_429_makes_few_calls() -> None:
    server = Server(lambda _now, _method: (429, {}))

    async def main() -> None:
        caller = Caller(server)
        await caller.keep_calling(DAY)

    virtually(main())
    assert len(server.log) <= DAY / MINUTE * 8
