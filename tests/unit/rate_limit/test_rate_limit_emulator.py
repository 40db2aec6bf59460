"""Over real sockets: a quota of 300 deletions in a window that is a minute, shortened."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest

from janitor.drivers import load_sdk
from janitor.drivers.connect import Outbound
from janitor.emulator import Emulator
from janitor.rate_limit import AUTO, Allowance, Exchange, ProjectLimiter, Verb
from janitor.rate_limit.transport import PacedTransport

WINDOW = 2.0
SCALE = 60.0 / WINDOW


def emulated(rates: dict[Verb, Allowance], seconds: float) -> list[Exchange]:
    """Every deletion that one after another eight callers asked for."""
    told: list[Exchange] = []
    asyncio.run(load_sdk())  # whose import would take minutes of this clock
    begun = time.monotonic()

    def clock() -> float:
        return 1e9 + (time.monotonic() - begun) * SCALE

    async def sleep(wait: float) -> None:
        await asyncio.sleep(wait / SCALE)

    def tell(event: object) -> None:
        if isinstance(event, Exchange):
            told.append(event)

    async def main(base_url: str, key: str) -> None:
        pace = ProjectLimiter("main", rates=rates, tell=tell, clock=clock, sleep=sleep)
        transport = PacedTransport(Outbound(8), pace)

        async def work() -> None:
            while time.monotonic() < begun + seconds:
                request = httpx2.Request(
                    "DELETE",
                    f"{base_url}/conversations/conv_1",
                    headers={"authorization": f"Bearer {key}"},
                )
                await transport.handle_async_request(request)

        await asyncio.gather(*(work() for _ in range(8)))
        await transport.aclose()

    emulator = Emulator(quota={"DELETE": 300}, quota_window=WINDOW)
    with emulator.serve() as served:
        asyncio.run(main(served.base_url, emulator.key))
    return told


@pytest.mark.slow
def test_a_fixed_rate_keeps_the_emulators_quota() -> None:
    # A fifth below it: on a busy machine calls arrive late, and then together.
    told = emulated({**AUTO, Verb.DELETE: 240.0}, 2 * WINDOW)
    assert [event for event in told if event.status == 429] == []
    assert len(told) >= 0.4 * 2 * 240


@pytest.mark.slow
def test_auto_takes_half_of_what_the_emulator_names() -> None:
    told = emulated(dict(AUTO), 2 * WINDOW)
    assert [event for event in told if event.status == 429] == []
    assert 120 <= len(told) <= 120 + 3 * 150
