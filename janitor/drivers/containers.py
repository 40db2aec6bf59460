"""What the drivers of all kinds have in common: the verbs, and the proofs asked of each answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import quote

import orjson

from janitor.catalogue import CATALOGUE, PAGE, Trait, is_id
from janitor.drivers.answers import (
    Body,
    Page,
    check_container,
    check_deleted,
    read_moment,
    read_page,
)
from janitor.drivers.api import Api, Query, Reply
from janitor.drivers.driver import IsKnown, StillWanted, TornError
from janitor.drivers.emptying import empty
from janitor.drivers.listing import Listing, read_listing, unlisted
from janitor.drivers.metadata import merged, read_metadata
from janitor.drivers.pages import walk
from janitor.errors import (
    BareGoneError,
    BusyError,
    DriverError,
    GoneError,
    IncompleteError,
    RefusedError,
    UnsupportedError,
)
from janitor.model import Kind, Metadata, Presence, Probe, Record

NO_CALL = frozenset({405, 501})
"""How a server answers a call that it does not have, and that it can therefore not have made."""
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "items": (
            "`delete: {items: keep}` deletes the conversation alone, and its items stay if the "
            "server keeps them"
        ),
        "delete": (
            "leave `delete` out of the policies that match them: here nothing can remove them"
        ),
        "metadata": (
            "`soft_delete: {mark: registry}` marks a thread in the registry alone, and `tag` is "
            "not possible"
        ),
    }
)
"""What to do where a server does not have a call."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A container as it was read, with its newest item (`None`: it is empty)."""

    id: str
    container: Body
    newest: Body | None


@dataclass(frozen=True, slots=True)
class Activity:
    """When the API last saw activity (`None`: it does not say), and whether there is some now."""

    last_active_at: datetime | None = None
    busy: bool = False


class ContainerDriver:
    """The driver of any kind; a kind adds its names and where its activity shows.

    `noun` and `beta` are the API's words for the container and for its beta header.
    `follows_last_id` says whether the next page of a list follows the list's `last_id`
    (`ConversationCursorPage` in the SDK) or its last item's id (`CursorPage`). `parts` are the
    lists that belong to a container besides its items. `answers_item_delete_with_container` says
    that such a reply has no word about the item, whose absence a listing must prove. `item_noun`
    is the API's word for an item, where it confirms an item's deletion. `tells_error` says that
    the container itself has a field `error`, which is no failure of the call.
    """

    kind: ClassVar[Kind]
    noun: ClassVar[str]
    beta: ClassVar[str | None] = None
    follows_last_id: ClassVar[bool]
    parts: ClassVar[tuple[str, ...]] = ()
    answers_item_delete_with_container: ClassVar[bool] = False
    item_noun: ClassVar[str] = ""
    tells_error: ClassVar[bool] = False

    def __init__(self, api: Api) -> None:
        self._api = api
        self._headers = {"OpenAI-Beta": self.beta} if self.beta else {}

    @property
    def trait(self) -> Trait:
        """The kind's line in the catalogue."""
        return CATALOGUE[self.kind]

    async def probe(self, id: str) -> Probe:
        """See `Driver.probe`."""
        container = await self._container(id)
        page = await self._newest_page(id, self.trait.items_path)
        newest = page.items[0] if page.items else None
        seen = Seen(id, container, newest)
        activity = await self._activity(seen) if self.trait.has_activity else Activity()
        said = self._presence(id, container)
        return Probe(
            created_at=said.created_at,
            last_active_at=activity.last_active_at,
            metadata=said.metadata,
            newest_item=None if newest is None else newest["id"],
            busy=activity.busy,
        )

    async def presence(self, id: str) -> Presence:
        """See `Driver.presence`."""
        return self._presence(id, await self._container(id))

    def _presence(self, id: str, container: Body) -> Presence:
        subject = self._subject(id)
        return Presence(
            read_moment(container, "created_at", subject),
            read_metadata(container, subject) if self.trait.has_metadata else {},
        )

    async def export(self, id: str) -> AsyncIterator[Record]:
        """See `Driver.export`."""
        yield self._record(id, await self._container(id), is_item=False)
        async for item in self._walk(id, self.trait.items_path):
            yield self._record(id, item, is_item=True)
        for part in self.parts:
            async for record in self._part(id, part):
                yield record

    async def list_page(self, after: str | None = None) -> Listing:
        """See `Driver.list_page`."""
        subject = f"{self.kind} of project {self._api.endpoint.name}"
        query = _oldest_first(after)
        try:
            reply = await self._api.get(
                self.trait.path, subject=subject, headers=self._headers, query=query
            )
        except DriverError as error:
            promised = self.trait.listable
            raise unlisted(error, subject, after, promised=promised) from error
        page = read_page(reply.body, subject)

        def check(body: Body) -> None:
            check_container(body, self.noun, body["id"], subject, tells_error=self.tells_error)

        return read_listing(page, check, subject, follows_last_id=self.follows_last_id)

    async def delete(
        self,
        id: str,
        *,
        items_first: bool = True,
        still_wanted: StillWanted | None = None,
        is_known: IsKnown | None = None,
    ) -> str | None:
        """See `Driver.delete`."""
        gone: list[str] = []
        try:
            if items_first and self.trait.items_first:
                await self._empty(id, still_wanted, is_known, gone)
            await self._ask(id, still_wanted)
            with self._changing(id, f"delete {self._plural}", REMEDIES["delete"]):
                reply = await self._delete(self._path(id), id)
        except (BusyError, UnsupportedError, IncompleteError) as error:
            if not gone:
                raise
            message = f"{error}; {len(gone)} items are gone already"
            torn = TornError if isinstance(error, BusyError) else RefusedError
            raise torn(message, status=error.status) from error
        check_deleted(reply.body, self.noun, id, self._subject(id))
        return reply.request_id

    async def delete_item(self, id: str, item_id: str) -> None:
        """See `Driver.delete_item`."""
        subject = self._subject(id)
        if not self.trait.items_deletable:
            raise RefusedError(f"{subject}: the API deletes no single items of this kind")
        try:
            await self._delete_item(id, item_id)
        except GoneError as error:
            await self._container(id)
            raise RefusedError(
                f"{subject}: the server knows it but not the item to be deleted; kept",
                status=error.status,
            ) from error

    async def write_metadata(self, id: str, changes: Mapping[str, str | None]) -> Metadata:
        """See `Driver.write_metadata`."""
        subject = self._subject(id)
        if not self.trait.has_metadata:
            raise RefusedError(f"{subject}: the API keeps no metadata for this kind")
        current = read_metadata(await self._container(id), subject)
        wanted = merged(current, changes, subject)
        if wanted == current:
            return current
        with self._changing(id, "change metadata", REMEDIES["metadata"]):
            reply = await self._api.post(
                self._path(id), {"metadata": wanted}, subject=subject, headers=self._headers
            )
        self._check_container(reply.body, id)
        if read_metadata(reply.body, subject) != wanted:
            raise RefusedError(f"{subject}: the server did not take the metadata as written")
        return wanted

    async def _activity(self, seen: Seen) -> Activity:
        """When the container was last active; for kinds whose API tells."""
        raise NotImplementedError

    async def _part(self, id: str, part: str) -> AsyncIterator[Record]:
        async for body in self._walk(id, part):
            yield self._record(id, body, is_item=False)

    async def _container(self, id: str) -> Body:
        with self._reading(id, f"show {self._plural}"):
            reply = await self._get(self._path(id), id, {})
        self._check_container(reply.body, id)
        return reply.body

    def _check_container(self, body: Body, id: str) -> None:
        check_container(body, self.noun, id, self._subject(id), tells_error=self.tells_error)

    async def _newest_page(self, id: str, part: str) -> Page:
        return await self._page(id, part, {"order": "desc", "limit": 1})

    async def _page(self, id: str, part: str, query: Query) -> Page:
        """A page of what a known container holds; a 404 here is no word about the container."""
        try:
            return await self._bare_page(id, part, query)
        except (GoneError, BareGoneError) as error:
            await self._container(id)
            raise RefusedError(
                f"{self._subject(id)}: the server knows it but not its {part}; kept",
                status=error.status,
            ) from error

    async def _bare_page(self, id: str, part: str, query: Query) -> Page:
        with self._reading(id, f"list the {part} of {self._plural}"):
            reply = await self._get(f"{self._path(id)}/{part}", id, query)
        return read_page(reply.body, self._subject(id))

    def _walk(self, id: str, part: str, *, optional: bool = False) -> AsyncIterator[Body]:
        page_of = self._bare_page if optional else self._page

        async def fetch(after: str | None) -> Page:
            return await page_of(id, part, _oldest_first(after))

        return walk(fetch, follows_last_id=self.follows_last_id, subject=self._subject(id))

    async def _empty(
        self,
        id: str,
        still_wanted: StillWanted | None,
        is_known: IsKnown | None,
        gone: list[str],
    ) -> None:
        part = self.trait.items_path
        try:
            known = [item["id"] async for item in self._walk(id, part)]
            if known:
                if is_known is not None and not await is_known(known[-1]):
                    raise BusyError(f"{self._subject(id)}: an item arrived by now; kept")
                await empty(
                    known,
                    gone,
                    newest=partial(self._newest_page, id, part),
                    delete=partial(self._delete_item, id),
                    ask=partial(self._ask, id, still_wanted),
                    subject=self._subject(id),
                )
        except GoneError:
            # Only the answer to the container's own DELETE may say that it is gone.
            return

    async def _delete_item(self, id: str, item_id: str) -> None:
        subject = self._subject(id)
        if item_id.strip(".") == "":
            raise RefusedError(f"{subject}: an item id that no path can carry; kept")
        path = f"{self._path(id)}/{self.trait.items_path}/{quote(item_id, safe='')}"
        with self._changing(id, "delete items", REMEDIES["items"]):
            reply = await self._delete(path, id)
        if self.answers_item_delete_with_container:
            self._check_container(reply.body, id)
        else:
            check_deleted(reply.body, self.item_noun, item_id, subject)

    async def _ask(self, id: str, still_wanted: StillWanted | None) -> None:
        if still_wanted is not None and not await still_wanted():
            raise BusyError(f"{self._subject(id)}: no longer to be deleted; kept")

    @property
    def _plural(self) -> str:
        return f"{self.kind.value.replace('_', ' ')}s"

    @contextmanager
    def _changing(self, id: str, what: str, remedy: str) -> Iterator[None]:
        """Name a changing call that the server does not have."""
        with _named(f"{self._subject(id)}: this server cannot {what}; {remedy}", UnsupportedError):
            yield

    @contextmanager
    def _reading(self, id: str, what: str) -> Iterator[None]:
        """Name a reading call that the server does not have; without it nothing is known."""
        with _named(f"{self._subject(id)}: this server cannot {what}; kept", RefusedError):
            yield

    async def _get(self, path: str, id: str, query: Query) -> Reply:
        subject = self._subject(id)
        return await self._api.get(path, subject=subject, headers=self._headers, query=query)

    async def _delete(self, path: str, id: str) -> Reply:
        return await self._api.delete(path, subject=self._subject(id), headers=self._headers)

    def _path(self, id: str) -> str:
        if not is_id(id):
            raise RefusedError(
                f"{self._subject(id)}: not an id that a path can carry; no call made"
            )
        return f"{self.trait.path}/{id}"

    def _subject(self, id: str) -> str:
        shown = id if is_id(id) else ascii(id[:80])
        return f"{self.kind} {shown} in project {self._api.endpoint.name}"

    def _record(self, id: str, body: Body, *, is_item: bool) -> Record:
        try:
            return Record(body["id"], _written(body), is_item=is_item)
        except (ValueError, RecursionError):
            raise RefusedError(
                f"{self._subject(id)}: an object nested too deeply to be written again; kept"
            ) from None


@contextmanager
def _named(message: str, raised: type[RefusedError]) -> Iterator[None]:
    try:
        yield
    except DriverError as error:
        if error.status not in NO_CALL:
            raise
        raise raised(f"{message} (HTTP {error.status})", status=error.status) from error


def _oldest_first(after: str | None) -> Query:
    return {"order": "asc", "limit": PAGE} | ({} if after is None else {"after": after})


def _written(body: Body) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        text = json.dumps(body, separators=(",", ":"))
        if "\\ud" not in text:  # half of a surrogate pair can be written, in ASCII
            raise ValueError from None
        return text.encode()
