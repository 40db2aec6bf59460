"""What a canary needs of the driver of conversations, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from janitor.drivers import Endpoint, Planting
from janitor.drivers.connect import connect
from janitor.emulator import Emulator, Fault, How
from janitor.errors import RefusedError
from janitor.model import Kind

MARK = {"janitor_canary": "true"}


@pytest.fixture(params=[True, False], ids=["items outlive", "items go"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Emulator, str]]:
    emulator = Emulator(items_outlive=request.param)
    with emulator.serve() as served:
        yield emulator, served.base_url


@asynccontextmanager
async def planting(server: tuple[Emulator, str]) -> AsyncIterator[Planting]:
    emulator, base_url = server
    endpoint = Endpoint("main", emulator.key, base_url=base_url, timeout=5.0)
    async with connect(endpoint, concurrency=1) as drivers:
        driver = drivers[Kind.CONVERSATION]
        assert isinstance(driver, Planting)
        assert [kind for kind, one in drivers.items() if isinstance(one, Planting)] == [driver.kind]
        yield driver


def test_an_item_is_found_while_it_is_there(server: tuple[Emulator, str]) -> None:
    async def main() -> None:
        async with planting(server) as driver:
            made = await driver.plant(MARK)
            assert server[0].metadata(made) == MARK
            item = await driver.add_item(made, "Hello.")
            assert [one["id"] for one in server[0].items(made)] == [item]
            assert await driver.has_item(made, item)
            assert not await driver.has_item(made, "msg_other")
            await driver.delete(made, items_first=False)
            outlives = bool(server[0].items(made))
            assert await driver.has_item(made, item) is outlives

    asyncio.run(main())


@pytest.mark.parametrize("how", [How.EMPTY_OBJECT, How.NULL, How.HTML, How.WRONG_ID])
def test_nothing_is_believed_that_does_not_prove_itself(
    server: tuple[Emulator, str], how: How
) -> None:
    async def main() -> None:
        async with planting(server) as driver:
            made = await driver.plant(MARK)
            item = await driver.add_item(made, "Hello.")
            with server[0].faulty(Fault(how)):
                with pytest.raises(RefusedError):
                    await driver.has_item(made, item)
                if how is not How.WRONG_ID:
                    with pytest.raises(RefusedError):
                        await driver.plant(MARK)
                    with pytest.raises(RefusedError):
                        await driver.add_item(made, "Hello.")

    asyncio.run(main())
