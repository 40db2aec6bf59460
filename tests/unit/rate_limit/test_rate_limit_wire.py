"""The transport waits as it is told, tries again only what is safe, and counts every request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rates import UNLIMITED

from janitor.emulator import Emulator, Fault, How
from janitor.rate_limit import Exchange, Paused, ProjectLimiter
from janitor.rate_limit.limiter import call_backoff, retry_after
from janitor.rate_limit.transport import PacedTransport

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
QUOTA = {"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "x"}}


class Paced:
    """A paced client of an emulator; its time passes only by the pauses it is asked for."""

    def __init__(self, base_url: str, **options: float) -> None:
        self.base_url = base_url
        self.now = NOW.timestamp()
        self.slept: list[float] = []
        self.exchanges: list[Exchange] = []
        self.waited: list[float] = []
        self.options = options

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds

    def _told(self, event: object) -> None:
        if isinstance(event, Exchange):
            self.exchanges.append(event)
        elif isinstance(event, Paused):
            self.waited.append(event.seconds)

    def run(self, work: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> None:
        asyncio.run(self._run(work))

    async def _run(self, work: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> None:
        pace = ProjectLimiter(
            "main",
            rates=UNLIMITED,
            tell=self._told,
            longest=self.options.get("longest", 60.0),
            sleep=self._sleep,
            clock=lambda: self.now,
        )
        transport = PacedTransport(
            httpx2.AsyncHTTPTransport(), pace, tries=int(self.options.get("tries", 4))
        )
        headers = {"authorization": "Bearer sk-emulator", "openai-beta": "assistants=v2"}
        async with httpx2.AsyncClient(
            transport=transport, base_url=self.base_url, headers=headers
        ) as client:
            await work(client)


@pytest.fixture
def server() -> Emulator:
    return Emulator()


def answers(server: Emulator, method: str = "GET", *, times: int = 1, **options: float) -> Paced:
    """Ask for a thread `times` times, one after the other."""
    with server.serve() as served:
        paced = Paced(served.base_url, **options)
        box = server.add_thread(id="thread_1", items=1)

        async def work(client: httpx2.AsyncClient) -> None:
            for _ in range(times):
                await client.request(method, f"/threads/{box}")

        paced.run(work)
    return paced


def limited(**known: object) -> Fault:
    return Fault(How.STATUS, status=429, **known)  # type: ignore[arg-type]


def statuses(paced: Paced) -> list[int | None]:
    return [one.status for one in paced.exchanges]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_rate_limit_is_waited_for_and_tried_again(server: Emulator, method: str) -> None:
    server.add_fault(limited(headers={"retry-after": "7"}, times=2))
    paced = answers(server, method)
    assert statuses(paced) == [429, 429, 200]
    assert paced.slept == [7.0, 7.0]
    assert [entry.status for entry in server.log] == [429, 429, 200]


def test_the_tries_are_bounded_and_the_last_answer_is_handed_on(server: Emulator) -> None:
    server.add_fault(limited(headers={"retry-after": "1"}))
    paced = answers(server, tries=3)
    assert statuses(paced) == [429, 429, 429]


def test_a_pause_longer_than_we_wait_is_not_waited_for(server: Emulator) -> None:
    server.add_fault(limited(headers={"retry-after": "61"}))
    paced = answers(server)
    assert statuses(paced) == [429]
    assert paced.slept == []


def test_without_a_word_of_when_the_pause_doubles(server: Emulator) -> None:
    server.add_fault(limited(times=3))
    first, second, third = answers(server).slept
    assert 0.75 <= first <= 1.25
    assert 1.5 <= second <= 2.5
    assert 3 <= third <= 5


def test_an_exhausted_quota_is_not_waited_for(server: Emulator) -> None:
    server.add_fault(limited(body=QUOTA, headers={"retry-after": "1"}))
    paced = answers(server)
    assert statuses(paced) == [429]
    assert paced.slept == []


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_read_is_tried_again_after_a_gateways_error(server: Emulator, status: int) -> None:
    server.add_fault(Fault(How.STATUS, status=status, times=1))
    assert statuses(answers(server)) == [status, 200]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 404, 401, 400, 409])
def test_a_delete_is_sent_once_whatever_was_answered(server: Emulator, status: int) -> None:
    server.add_fault(Fault(How.STATUS, status=status))
    assert statuses(answers(server, "DELETE")) == [status]


@pytest.mark.parametrize("status", [500, 404, 401, 400, 409])
def test_a_read_is_not_tried_again_where_that_is_no_use(server: Emulator, status: int) -> None:
    server.add_fault(Fault(How.STATUS, status=status))
    assert statuses(answers(server)) == [status]


def test_a_read_is_tried_again_after_a_broken_connection(server: Emulator) -> None:
    server.add_fault(Fault(How.RESET, times=2))
    paced = answers(server)
    assert statuses(paced) == [None, None, 200]
    assert len(paced.slept) == 2


def test_a_read_is_not_tried_for_ever(server: Emulator) -> None:
    server.add_fault(Fault(How.RESET))
    with pytest.raises(httpx2.TransportError):
        answers(server)
    assert len(server.log) == 4


def test_a_delete_whose_answer_was_lost_is_not_sent_again(server: Emulator) -> None:
    server.add_fault(Fault(How.RESET, method="DELETE", applied=True))
    with pytest.raises(httpx2.TransportError):
        answers(server, "DELETE")
    assert len(server.log) == 1
    assert server.deletes == {"thread_1": 1}


def test_every_request_is_told(server: Emulator) -> None:
    server.add_fault(limited(headers={"retry-after": "5"}, times=1))
    paced = answers(server, times=2)
    assert [one.path for one in paced.exchanges] == ["/v1/threads/thread_1"] * 3
    assert statuses(paced) == [429, 200, 200]
    assert paced.waited == [5.0]


@given(st.one_of(st.none(), st.text(), st.floats().map(str)))
def test_no_header_makes_us_wait_backwards_or_fail(header: str | None) -> None:
    asked = retry_after(header, NOW.timestamp())
    assert asked is None or not asked < 0


@given(st.integers(0, 10**6))
def test_a_retry_after_is_seconds_or_a_date(seconds: int) -> None:
    assert retry_after(str(seconds), NOW.timestamp()) == seconds
    at = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after(at, NOW.timestamp()) == seconds
    past = format_datetime(NOW - timedelta(seconds=seconds), usegmt=True)
    assert retry_after(past, NOW.timestamp()) == 0.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0.5", 0.5),
        ("-1", 0.0),
        ("", None),
        ("nan", None),
        ("soon", None),
        ("Wed, 99 Foo 2026 99:99:99 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
def test_an_odd_retry_after_is_no_wait(header: str, seconds: float | None) -> None:
    assert retry_after(header, NOW.timestamp()) == seconds


@given(st.integers(1, 1000))
def test_a_backoff_is_bounded(attempt: int) -> None:
    assert 0.375 <= call_backoff(attempt) <= 10.0
