"""A registry that is gone ends the run as that, and counts against no project."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from janitor.drivers import Endpoint
from janitor.drivers.connect import connect
from janitor.errors import StoreError
from janitor.model import Kind
from janitor.rate_limit import ProjectLimiter, SharedStore
from janitor.rate_limit.transport import PacedTransport


class Gone:
    """Rows that were there at the start and are not any more."""

    def recall(self, _: str) -> str | None:
        return None

    def alter(self, _name: str, _change: object) -> None:
        raise StoreError("the registry does not answer")


@pytest.mark.parametrize("kind", Kind)
def test_a_ledger_that_is_gone_is_no_failure_of_the_api(kind: Kind) -> None:
    async def main() -> None:
        pace = ProjectLimiter("main", store=SharedStore(Gone()))
        transport = PacedTransport(httpx2.MockTransport(lambda _: httpx2.Response(200)), pace)
        async with connect(Endpoint("main", "sk"), transport=transport) as drivers:
            with pytest.raises(StoreError, match="does not answer"):
                await drivers[kind].probe("thread_1")
            with pytest.raises(StoreError, match="does not answer"):
                await drivers[kind].delete("thread_1")

    asyncio.run(main())
