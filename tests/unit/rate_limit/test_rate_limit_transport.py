"""One request at a time: what is tried again, how long it waits, and what it gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rate_limit_world import BEGIN, MINUTE, Caller, Server, clock, virtually
from rates import UNLIMITED

from janitor.rate_limit import Exchange, Paused, Urgency, Verb
from janitor.rate_limit.limiter import retry_after

Answer = tuple[int, Mapping[str, str]]


class Scripted:
    """Answers as told, and then well."""

    def __init__(self, *answers: int | Answer) -> None:
        self.answers: Iterator[int | Answer] = iter(answers)

    def __call__(self, _now: float, _method: str) -> Answer:
        answer = next(self.answers, 200)
        return (answer, {}) if isinstance(answer, int) else answer


def called(
    *answers: int | Answer, method: str = "GET", body: bytes = b"{}"
) -> tuple[int, Caller, float]:
    """The status that a request ends with, its caller, and the seconds that it took."""

    async def main() -> tuple[int, Caller, float]:
        caller = Caller(Server(Scripted(*answers), body=body), UNLIMITED)
        status = await caller.call(method)
        return status, caller, clock() - BEGIN

    return virtually(main())


def asking(seconds: float | str) -> Answer:
    return 429, {"retry-after": str(seconds)}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_what_was_refused_is_tried_again_when_the_server_said(method: str) -> None:
    status, caller, took = called(asking(7), method=method)
    assert status == 200
    assert 7 <= took < 8
    assert [answered for _, _, answered in caller.server.log] == [429, 200]


@pytest.mark.parametrize("failure", [502, 503, 504, 0])
def test_a_read_is_tried_again_and_a_change_is_not(failure: int) -> None:
    assert called(failure)[0] == 200
    for method in ("DELETE", "POST"):
        status, caller, _ = called(failure, method=method)
        assert status == failure
        assert len(caller.server.log) == 1


@pytest.mark.parametrize("failure", [502, 503, 504, 0])
def test_a_read_that_always_fails_is_given_up_after_seconds(failure: int) -> None:
    status, caller, took = called(*[failure] * 50)
    assert status == failure
    assert len(caller.server.log) == 4
    assert took < 6


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
def test_an_answer_is_an_answer(status: int) -> None:
    assert called(status)[0] == status


def test_a_date_is_waited_for() -> None:
    at = format_datetime(datetime.fromtimestamp(BEGIN + 30, UTC), usegmt=True)
    status, _, took = called(asking(at))
    assert status == 200
    assert 30 <= took < 31


def test_a_quota_that_is_spent_is_not_tried_again() -> None:
    body = b'{"error": {"code": "insufficient_quota"}}'
    status, caller, took = called(asking(5), body=body)
    assert status == 429
    assert len(caller.server.log) == 1
    assert took < 1
    assert not any(isinstance(event, Paused) for event in caller.told)


def test_without_a_word_the_pauses_double_and_the_tries_are_bounded() -> None:
    status, caller, _ = called(*[429] * 50)
    assert status == 429
    assert len(caller.server.log) == 8
    pauses = [event.seconds for event in caller.told if isinstance(event, Paused)]
    for number, seconds in enumerate(pauses):
        assert seconds == pytest.approx(min(2**number, 64), rel=0.26)


def test_a_server_that_always_asks_for_more_is_given_up() -> None:
    status, caller, took = called(*[asking(299)] * 50)
    assert status == 429
    assert took <= 900
    assert len(caller.server.log) <= 4


def test_a_pause_that_is_too_long_is_not_waited_for_and_nobody_calls_meanwhile() -> None:
    async def main() -> None:
        server = Server(Scripted(asking(3600)))
        caller = Caller(server, UNLIMITED)
        assert await caller.call("DELETE") == 429
        assert await caller.call("GET") == 429
        assert clock() - BEGIN < 1
        assert len(server.log) == 1
        await caller.pace.sleep(3600)
        assert await caller.call("GET") == 200

    virtually(main())


def test_a_pause_is_the_whole_projects_and_is_counted_once() -> None:
    async def main() -> None:
        server = Server(Scripted(asking(20), asking(20), asking(20)))
        caller = Caller(server, UNLIMITED)
        await caller.keep_calling(5, workers=3)
        paused = sum(event.seconds for event in caller.told if isinstance(event, Paused))
        assert paused == pytest.approx(20, abs=1)
        assert not [at for at in server.times(200) if at < 20]

    virtually(main())


def test_every_request_is_told_with_its_time() -> None:
    _, caller, _ = called(503, method="DELETE")
    told = next(event for event in caller.told if isinstance(event, Exchange))
    assert (told.method, told.path, told.status) == ("DELETE", "/v1/conversations/conv_1", 503)
    assert told.seconds == pytest.approx(0.05, abs=1e-3)


def test_the_more_urgent_goes_first_even_where_it_came_later() -> None:
    order: list[str] = []

    async def one(caller: Caller, urgency: Urgency) -> None:
        await caller.call("GET", urgency)
        order.append(urgency.name)

    async def main() -> None:
        caller = Caller(Server(), {**UNLIMITED, **dict.fromkeys(UNLIMITED, 6.0)})
        wanted = [Urgency.SWEEP] * 3 + [Urgency.APPLY] * 2
        await asyncio.gather(*(one(caller, urgency) for urgency in wanted))

    virtually(main())
    assert order == ["SWEEP", "APPLY", "APPLY", "SWEEP", "SWEEP"]


def reserved(names: str, *methods: str, rate: Verb | None = None, at_once: int = 8) -> str:
    """In what order calls are answered that some make who have each reserved a deletion first.

    The `rate` of one verb is one call a second.
    """
    order: list[str] = []

    async def work(caller: Caller, name: str) -> None:
        async with caller.pace.reserved(Verb.DELETE, Urgency.SWEEP):
            for method in methods:
                await caller.call(method)
                order.append(name)

    async def main() -> None:
        rates = dict(UNLIMITED) if rate is None else {**UNLIMITED, rate: MINUTE}
        caller = Caller(Server(), rates, at_once)
        await asyncio.gather(*(work(caller, name) for name in names))

    virtually(main())
    return "".join(order)


def test_all_is_read_for_one_reservation_before_the_next_begins() -> None:
    assert reserved("abc", "GET", "GET", "GET", rate=Verb.READ) == "aaabbbccc"


def test_a_place_in_flight_is_the_earliest_reservations() -> None:
    assert reserved("abc", "GET", "GET", at_once=1) == "ababcc"


def test_who_deletes_more_than_was_reserved_waits_like_the_others() -> None:
    assert reserved("abc", "DELETE", "DELETE", rate=Verb.DELETE) == "abcabc"


@given(st.text(max_size=40) | st.floats().map(str))
def test_any_header_is_a_wait_or_none(header: str) -> None:
    wait = retry_after(header, BEGIN)
    assert wait is None or wait >= 0


def test_a_minute_of_refusals_is_survived_by_one_request() -> None:
    def rule(now: float, _method: str) -> Answer:
        return (429, {}) if now < BEGIN + MINUTE else (200, {})

    async def main() -> int:
        return await Caller(Server(rule), UNLIMITED).call("DELETE")

    assert virtually(main()) == 200
