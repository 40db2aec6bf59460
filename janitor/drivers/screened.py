"""A driver that tells of metadata only what is stored of it.

What is decided in memory right after a probe and what is decided later from the row must agree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from janitor.drivers.driver import Driver, IsKnown, StillWanted
from janitor.drivers.listing import Listing
from janitor.model import Kind, Metadata, Presence, Probe, Record
from janitor.policy.screen import Screen


def screened(driver: Driver, screen: Screen) -> Driver:
    """The same driver, whose probes pass through a screen; exports stay as the API sent them."""
    return driver if screen.is_open else _Screened(driver, screen)


class _Screened:
    def __init__(self, driver: Driver, screen: Screen) -> None:
        self._driver = driver
        self._screen = screen

    @property
    def kind(self) -> Kind:
        return self._driver.kind

    async def probe(self, id: str) -> Probe:
        probe = await self._driver.probe(id)
        return replace(probe, metadata=self._screen.metadata(probe.metadata))

    async def presence(self, id: str) -> Presence:
        presence = await self._driver.presence(id)
        return replace(presence, metadata=self._screen.metadata(presence.metadata))

    def export(self, id: str) -> AsyncIterator[Record]:
        return self._driver.export(id)

    async def list_page(self, after: str | None = None) -> Listing:
        return await self._driver.list_page(after)

    async def delete(
        self,
        id: str,
        *,
        items_first: bool = True,
        still_wanted: StillWanted | None = None,
        is_known: IsKnown | None = None,
    ) -> str | None:
        return await self._driver.delete(
            id, items_first=items_first, still_wanted=still_wanted, is_known=is_known
        )

    async def delete_item(self, id: str, item_id: str) -> None:
        await self._driver.delete_item(id, item_id)

    async def write_metadata(self, id: str, changes: Mapping[str, str | None]) -> Metadata:
        return self._screen.metadata(await self._driver.write_metadata(id, changes))
