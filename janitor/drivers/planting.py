"""What a driver must do besides, for a container of the janitor's own to be tried on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from janitor.drivers.driver import Driver


@runtime_checkable
class Planting(Driver, Protocol):
    """A driver that can make a container and tell whether an item outlives it.

    Only the kinds of which that is not known beforehand have one. Every method raises as those of
    `Driver` do.
    """

    async def plant(self, metadata: Mapping[str, str]) -> str:
        """Make a container without items; its id."""
        ...

    async def add_item(self, id: str, text: str) -> str:
        """Add a message to a container; the item's id."""
        ...

    async def has_item(self, id: str, item_id: str) -> bool:
        """Whether the server still shows an item, whether it still knows the container or not."""
        ...
