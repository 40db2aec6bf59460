"""What the connections themselves promise: a bound for each answer, and nothing sent twice."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from janitor.drivers import Budget, Endpoint
from janitor.drivers.connect import Outbound, connect
from janitor.emulator import Emulator, Fault
from janitor.errors import TooLargeError, TransientError
from janitor.model import Kind
from janitor.testing import Emulated, emulator


@pytest.fixture
def emulated() -> Iterator[Emulated]:
    with emulator() as made:
        yield made


def ask(emulated: Emulated, verb: str, id: str, small: int = 4 << 20) -> Any:  # noqa: ANN401
    async def work() -> Any:  # noqa: ANN401
        endpoint = Endpoint("main", emulated.api_key, base_url=emulated.base_url)
        async with connect(endpoint, concurrency=4, budget=Budget(small=small)) as drivers:
            driver = drivers[Kind.CONVERSATION]
            await driver.probe(id)
            with emulated.server.faulty(FAULTS[verb]):
                return await getattr(driver, verb)(id)

    return asyncio.run(work())


FAULTS = {"probe": Fault("huge", padding=2 << 20), "delete": Fault("reset", method="DELETE")}


def test_an_answer_that_is_too_large_is_not_read_to_its_end(emulated: Emulated) -> None:
    one = emulated.server.add_conversation()
    with pytest.raises(TooLargeError, match="more than 4 MiB of memory"):
        ask(emulated, "probe", one)
    assert ask(emulated, "probe", one, small=32 << 20).newest_item is None


def test_it_is_measured_unpacked(emulated: Emulated) -> None:
    one = emulated.server.add_conversation()
    packed = gzip.compress(b" " * (3 << 20))
    assert len(packed) < 10_000
    server: Emulator = emulated.server
    server.add_fault(
        Fault("status", status=200, body=packed, headers={"content-encoding": "gzip"}, skip=2)
    )
    with pytest.raises(TooLargeError, match="more than 4 MiB of memory"):
        ask(emulated, "probe", one)


def test_a_deletion_without_an_answer_is_sent_once(emulated: Emulated) -> None:
    """Over a connection that was kept, where aiohttp would send it again by itself."""
    one = emulated.server.add_conversation()
    with pytest.raises(TransientError):
        ask(emulated, "delete", one)
    assert [one.method for one in emulated.server.log].count("DELETE") == 1


def test_an_unpacked_answer_is_not_unpacked_again(emulated: Emulated) -> None:
    async def work() -> httpx2.Response:
        outbound = Outbound(1)
        request = httpx2.Request("GET", f"{emulated.base_url}/conversations/none")
        try:
            return await outbound.handle_async_request(request)
        finally:
            await outbound.aclose()

    response = asyncio.run(work())
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert "transfer-encoding" not in response.headers
