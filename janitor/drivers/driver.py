"""What every driver promises, and the wrapper that only looks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NoReturn, Protocol

from janitor.drivers.listing import Listing
from janitor.errors import BusyError
from janitor.model import Kind, Metadata, Presence, Probe, Record

StillWanted = Callable[[], Awaitable[bool]]
IsKnown = Callable[[str], Awaitable[bool]]


class TornError(BusyError):
    """A deletion was stopped midway: some items are gone, the container still stands."""


class Driver(Protocol):
    """Reads and removes containers of one kind.

    A driver speaks the API's verbs and nothing else: it knows no policy, no registry, no pace and
    no retry. It believes an answer only where the answer proves itself. Every method raises
    `AccessError` (the project must stop) or a `DriverError` (this one call went wrong) and
    nothing else; what the transport raises as a `JanitorError` passes unchanged.
    """

    @property
    def kind(self) -> Kind:
        """The kind of container that this driver speaks of."""
        ...

    async def probe(self, id: str) -> Probe:
        """What the server says of the container now; two calls, three for a kind with runs.

        Raises `GoneError` only where the server says that it does not know the container itself.
        """
        ...

    async def presence(self, id: str) -> Presence:
        """What the container alone says, in one call; raises as `probe` does."""
        ...

    def export(self, id: str) -> AsyncIterator[Record]:
        """The container, then its items oldest first, then what else belongs to it.

        The export is complete when the iterator ends; an end that cannot be believed raises
        `RefusedError`, so records yielded before must not be kept.
        """
        ...

    async def list_page(self, after: str | None = None) -> Listing:
        """A page of all containers of this kind, oldest first; `after` is where the last one led.

        Raises `UnlistedError` where the server does not list this kind, `LostPlaceError` where it
        no longer knows `after`.
        """
        ...

    async def delete(
        self,
        id: str,
        *,
        items_first: bool = True,
        still_wanted: StillWanted | None = None,
        is_known: IsKnown | None = None,
    ) -> str | None:
        """Delete the container and return the id of the request that was answered, if any.

        Where the API keeps the items of a deleted container and `items_first` holds, each item
        listed at the start is deleted first, proven by an empty listing. `is_known` is asked about
        the newest of them before any is deleted, and `still_wanted` before each page of item
        deletes and before the container's own; a no stops the deletion, as does an item that
        arrived since. Raises `BusyError`, `UnsupportedError` and
        `IncompleteError` only where nothing was removed and `TornError` where some items were;
        after any other error items may be gone as well.
        """
        ...

    async def delete_item(self, id: str, item_id: str) -> None:
        """Delete one item.

        `GoneError` speaks of the container; an item that the server does not know is `RefusedError`
        with status 404, since a server without this call answers in the same way.
        """
        ...

    async def write_metadata(self, id: str, changes: Mapping[str, str | None]) -> Metadata:
        """Set keys, or remove those that map to `None`, and leave all others as they are.

        Returns all of the metadata as it is upstream now.
        """
        ...


class _ReadOnly:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def kind(self) -> Kind:
        return self._driver.kind

    async def probe(self, id: str) -> Probe:
        return await self._driver.probe(id)

    async def presence(self, id: str) -> Presence:
        return await self._driver.presence(id)

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
        _forbid("delete", id, items_first, still_wanted, is_known)

    async def delete_item(self, id: str, item_id: str) -> None:
        _forbid("delete_item", id, item_id)

    async def write_metadata(self, id: str, changes: Mapping[str, str | None]) -> Metadata:
        _forbid("write_metadata", id, changes)


def _forbid(method: str, *_arguments: object) -> NoReturn:
    raise RuntimeError(f"{method} was called on a read-only driver: a dry run changes nothing")


def read_only(driver: Driver) -> Driver:
    """The same driver whose changing methods raise `RuntimeError` before any call."""
    return _ReadOnly(driver)
