"""What every driver promises, and the wrappers that make one read-only or hide metadata.

Metadata is filtered at the probe, too: what is decided in memory right after it must agree with
what is decided later from the row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn, Protocol, runtime_checkable

from janitor.drivers.responses import Listing
from janitor.errors import BusyError
from janitor.kinds import PAGE
from janitor.model import Kind, Metadata, Presence, Probe, Record, Tail
from janitor.policy.stored_metadata import MetadataFilter

StillWanted = Callable[[], Awaitable[bool]]
IsKnown = Callable[[Sequence[str]], Awaitable[bool]]
Tell = Callable[[Probe], None]


class TornError(BusyError):
    """A deletion was stopped midway: some items are gone, the container still exists."""


class Driver(Protocol):
    """Reads and removes containers of one kind.

    A driver speaks the API's verbs and nothing else: it knows no policy, no registry, no pace and
    no retry. It believes an answer only if the answer itself is proof. Every method raises
    `AccessError` (the project must stop) or a `DriverError` (this one call went wrong) and
    nothing else, except that a `JanitorError` from the transport passes unchanged.
    """

    @property
    def kind(self) -> Kind:
        """The kind of container that this driver handles."""
        ...

    async def probe(self, id: str) -> Probe:
        """What the server says about the container now; two calls, three for a kind with runs.

        Raises `GoneError` only if the server says that it does not know the container itself.
        """
        ...

    async def tail(self, id: str) -> Tail:
        """The end of its lists, as a probe reads them; one call, two for a kind with runs.

        Raises as `probe` does.
        """
        ...

    async def presence(self, id: str) -> Presence:
        """What reading the container alone tells, in one call; raises as `probe` does."""
        ...

    async def count_items(self, id: str, most: int = PAGE) -> int:
        """How many items the container has, counted up to `most`; one call for up to `PAGE`."""
        ...

    def export(self, id: str, tell: Tell | None = None) -> AsyncIterator[Record]:
        """The container, then its items oldest first, then whatever else belongs to it.

        The export is complete when the iterator ends. If it cannot be proven complete, it raises
        `RefusedError`, and the records yielded before must not be kept. At its end `tell` gets what
        a probe would have found, with the items' ids.
        """
        ...

    async def list_page(self, after: str | None = None) -> Listing:
        """A page of all containers of this kind, oldest first; `after` is the last page's cursor.

        Raises `UnlistedError` if the server does not list this kind, `LostPlaceError` if it no
        longer knows `after`.
        """
        ...

    async def delete(
        self,
        id: str,
        *,
        items_first: bool = True,
        items: Sequence[str] | None = None,
        still_wanted: StillWanted | None = None,
        is_known: IsKnown | None = None,
    ) -> str | None:
        """Delete the container and return the id of the request that was answered, if any.

        If the API keeps the items of a deleted container and `items_first` is true, each item
        listed at the start is deleted first, proven by an empty listing. `items` are the ids that a
        look has listed and a second reading confirmed, oldest first; `None` lists them here.
        `is_known` is asked about all of them, oldest first, before any is deleted, and
        `still_wanted` before each page of item deletes and before the container's own. False stops
        the deletion, as does an item that arrived since. Raises `BusyError`, `UnsupportedError` and
        `IncompleteError` only if nothing was removed, and `TornError` if some items were; after any
        other error items may be gone, too.
        """
        ...

    async def delete_item(self, id: str, item_id: str) -> None:
        """Delete one item.

        `GoneError` is about the container. An item that the server does not know is a
        `RefusedError` with status 404, since a server without this call answers in the same way.
        """
        ...

    async def write_metadata(self, id: str, changes: Mapping[str, str | None]) -> Metadata:
        """Set keys, remove those that map to `None`, and leave all others as they are.

        Returns the whole metadata as it is upstream now.
        """
        ...


class _Reading:
    """Forwards the reading calls; each wrapper defines what happens to the changing ones."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def kind(self) -> Kind:
        return self._driver.kind

    async def probe(self, id: str) -> Probe:
        return await self._driver.probe(id)

    async def tail(self, id: str) -> Tail:
        return await self._driver.tail(id)

    async def presence(self, id: str) -> Presence:
        return await self._driver.presence(id)

    async def count_items(self, id: str, most: int = PAGE) -> int:
        return await self._driver.count_items(id, most)

    def export(self, id: str, tell: Tell | None = None) -> AsyncIterator[Record]:
        return self._driver.export(id, tell)

    async def list_page(self, after: str | None = None) -> Listing:
        return await self._driver.list_page(after)


class _ReadOnly(_Reading):
    async def delete(
        self,
        id: str,
        *,
        items_first: bool = True,
        items: Sequence[str] | None = None,
        still_wanted: StillWanted | None = None,
        is_known: IsKnown | None = None,
    ) -> str | None:
        _forbid("delete", id, items_first, items, still_wanted, is_known)

    async def delete_item(self, id: str, item_id: str) -> None:
        _forbid("delete_item", id, item_id)

    async def write_metadata(self, id: str, changes: Mapping[str, str | None]) -> Metadata:
        _forbid("write_metadata", id, changes)


def _forbid(method: str, *_arguments: object) -> NoReturn:
    raise RuntimeError(f"{method} was called on a read-only driver: a dry run changes nothing")


def read_only(driver: Driver) -> Driver:
    """The same driver whose changing methods raise `RuntimeError` before any call."""
    return _ReadOnly(driver)


@runtime_checkable
class Planting(Driver, Protocol):
    """A driver that can create a container and tell whether an item outlives it.

    Only kinds for which that is not known beforehand have one. Every method raises as those of
    `Driver` do.
    """

    async def plant(self, metadata: Mapping[str, str]) -> str:
        """Create a container without items, and return its id."""
        ...

    async def add_item(self, id: str, text: str) -> str:
        """Add a message to a container, and return the item's id."""
        ...

    async def has_item(self, id: str, item_id: str) -> bool:
        """Whether the server still shows an item, whether it still knows the container or not."""
        ...


def filtered(driver: Driver, metadata_filter: MetadataFilter) -> Driver:
    """The same driver with the metadata in its answers filtered; exports stay as sent."""
    return driver if metadata_filter.is_open else _Filtered(driver, metadata_filter)


class _Filtered(_Reading):
    def __init__(self, driver: Driver, metadata_filter: MetadataFilter) -> None:
        super().__init__(driver)
        self._filter = metadata_filter

    async def probe(self, id: str) -> Probe:
        return self._filtered(await self._driver.probe(id))

    def export(self, id: str, tell: Tell | None = None) -> AsyncIterator[Record]:
        if tell is None:
            return self._driver.export(id)
        return self._driver.export(id, lambda probe: tell(self._filtered(probe)))

    def _filtered(self, probe: Probe) -> Probe:
        return replace(probe, metadata=self._filter.metadata(probe.metadata))

    async def presence(self, id: str) -> Presence:
        presence = await self._driver.presence(id)
        return replace(presence, metadata=self._filter.metadata(presence.metadata))

    async def delete(
        self,
        id: str,
        *,
        items_first: bool = True,
        items: Sequence[str] | None = None,
        still_wanted: StillWanted | None = None,
        is_known: IsKnown | None = None,
    ) -> str | None:
        return await self._driver.delete(
            id,
            items_first=items_first,
            items=items,
            still_wanted=still_wanted,
            is_known=is_known,
        )

    async def delete_item(self, id: str, item_id: str) -> None:
        await self._driver.delete_item(id, item_id)

    async def write_metadata(self, id: str, changes: Mapping[str, str | None]) -> Metadata:
        return self._filter.metadata(await self._driver.write_metadata(id, changes))
