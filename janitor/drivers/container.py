"""What the drivers of all kinds share: calls, emptying and metadata, and how each is proven."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, aclosing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

import orjson

from janitor.drivers.driver import IsKnown, StillWanted, Tell, TornError
from janitor.drivers.response_memory import Share
from janitor.drivers.responses import (
    Body,
    Listing,
    Page,
    check_container,
    check_deleted,
    facts,
    read_listing,
    read_moment,
    read_page,
    set_aside,
    unlisted,
    walk,
)
from janitor.errors import (
    BareGoneError,
    BusyError,
    DriverError,
    GoneError,
    IncompleteError,
    RefusedError,
    TooLargeError,
    UnsupportedError,
)
from janitor.kinds import (
    CATALOGUE,
    METADATA_KEY_LENGTH,
    METADATA_PAIRS,
    METADATA_VALUE_LENGTH,
    PAGE,
    Trait,
    is_id,
)
from janitor.model import Kind, Metadata, Presence, Probe, Record, Tail
from janitor.texts import counted, misfit

if TYPE_CHECKING:
    from janitor.drivers.client import Api, Query, Reply


class NoFreeKeyError(RefusedError):
    """All metadata keys that the API allows are in use; nothing was written."""


def read_metadata(body: Body, subject: str) -> dict[str, str]:
    """The metadata of a body; `null` means empty, a missing field means unknown and is refused.

    What the registry could not store is refused, as in a row from the application.
    """
    value = body.get("metadata", ...)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise RefusedError(f"{subject}: metadata is not a map of strings; kept")
    if why := misfit(value):
        raise RefusedError(f"{subject}: {why}; kept")
    return value


def merged(
    current: Mapping[str, str], changes: Mapping[str, str | None], subject: str
) -> dict[str, str]:
    """`current` with `changes` applied; `None` removes a key, other keys stay.

    Raises `RefusedError` if the result is more than the API accepts.
    """
    kept = {key: value for key, value in current.items() if changes.get(key, value) is not None}
    written = {key: value for key, value in changes.items() if value is not None}
    if any(
        len(key) > METADATA_KEY_LENGTH or len(value) > METADATA_VALUE_LENGTH
        for key, value in written.items()
    ):
        raise RefusedError(
            f"{subject}: a metadata key over {METADATA_KEY_LENGTH} or a value over "
            f"{METADATA_VALUE_LENGTH} characters is more than the API accepts; nothing written"
        )
    result = kept | written
    if len(result) > METADATA_PAIRS:
        raise NoFreeKeyError(
            f"{subject}: all {METADATA_PAIRS} metadata keys are taken; nothing written"
        )
    return result


AT_ONCE = 8


async def empty(
    known: Sequence[str],
    gone: list[str],
    *,
    newest: Callable[[], Awaitable[Page]],
    delete: Callable[[str], Awaitable[None]],
    ask: Callable[[], Awaitable[None]],
    subject: str,
) -> None:
    """Delete the items `known`, oldest first, until the server lists none.

    Each deleted id is added to `gone`, even if a later step fails. `newest` lists the newest item,
    `ask` raises to stop. Raises `BusyError` if an item arrived that is not among `known`, and
    `RefusedError` if the server still lists what it said was deleted.
    """
    ids = frozenset(known)
    for start in range(0, len(known), PAGE):
        if start:
            _refuse_newcomers(await newest(), ids, subject)
        await ask()
        await _delete_all(known[start : start + PAGE], gone, delete)
    left = await newest()
    _refuse_newcomers(left, ids, subject)
    if left.items:
        raise RefusedError(f"{subject}: the server still lists items that it deleted; kept")


def _refuse_newcomers(page: Page, known: frozenset[str], subject: str) -> None:
    if any(item["id"] not in known for item in page.items):
        raise BusyError(f"{subject}: an item arrived while items were deleted; stopped, kept")


async def _delete_all(
    ids: Sequence[str], gone: list[str], delete: Callable[[str], Awaitable[None]]
) -> None:
    for start in range(0, len(ids), AT_ONCE):
        batch = ids[start : start + AT_ONCE]
        results = await asyncio.gather(*map(delete, batch), return_exceptions=True)
        # The empty listing proves the deletion; it does not matter if somebody else did it.
        gone.extend(item for item, result in zip(batch, results, strict=True) if result is None)
        failed = [
            result
            for result in results
            if isinstance(result, BaseException) and not isinstance(result, GoneError)
        ]
        # These two say that nothing was removed; a lost answer does not, so it is raised first.
        for error in sorted(failed, key=lambda one: isinstance(one, BusyError | UnsupportedError)):
            raise error


NO_CALL = frozenset({405, 501})
"""How a server answers a call that it does not offer, and so has not carried out."""
FACTS = ("id", "created_at", "last_active_at", "status")
"""The fields that are kept of an answer."""
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "items": (
            "`delete: {items: keep}` deletes only the conversation; its items stay if the server "
            "keeps them"
        ),
        "delete": (
            "remove `delete` from the policies that match them: this server cannot delete them"
        ),
        "metadata": (
            "`soft_delete: {mark: registry}` marks a thread in the registry only; `tag` is not "
            "possible"
        ),
    }
)
"""What to do if a server does not offer a call."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The facts of a container, its newest item (`None`: it is empty) and its `probed_part`."""

    id: str
    container: Body
    newest: Body | None
    inside: Sequence[Body] = ()


@dataclass(frozen=True, slots=True)
class Activity:
    """When the container was last active (`None`: the API does not say), and whether it is now."""

    last_active_at: datetime | None = None
    busy: bool = False


class ContainerDriver:
    """The driver of any kind; a subclass adds how its lists are read and how to tell activity.

    `follows_last_id` says whether the next page of a list follows the list's `last_id`
    (`ConversationCursorPage` in the SDK) or its last item's id (`CursorPage`). `parts` are the
    lists that belong to a container besides its items; no call lists the `streamed_parts`, and a
    probe reads the newest of the `probed_part`. `item_noun` is the API's word for an item, where it
    confirms an item's deletion. `tells_error` says that the container itself has a field `error`,
    which is no failure of the call.
    """

    kind: ClassVar[Kind]
    follows_last_id: ClassVar[bool]
    parts: ClassVar[tuple[str, ...]] = ()
    streamed_parts: ClassVar[frozenset[str]] = frozenset()
    probed_part: ClassVar[str | None] = None
    item_noun: ClassVar[str] = ""
    tells_error: ClassVar[bool] = False

    def __init__(self, api: Api) -> None:
        self._api = api
        self._headers = {"OpenAI-Beta": self.trait.beta} if self.trait.beta else {}

    @property
    def trait(self) -> Trait:
        """The kind's entry in the catalogue."""
        return CATALOGUE[self.kind]

    async def probe(self, id: str) -> Probe:
        """See `Driver.probe`."""
        container = await self._container(id)
        presence, shown = self._presence(id, container), facts(container, *FACTS)
        del container  # free it before the next answer is awaited
        return self._probe(presence, await self._end(id, shown))

    async def tail(self, id: str) -> Tail:
        """See `Driver.tail`."""
        seen = await self._end(id, {})
        newest = None if seen.newest is None else seen.newest["id"]
        if self.probed_part is None or not (seen.inside or seen.newest):
            return Tail(newest)
        activity = self._activity(seen)
        return Tail(newest, activity.last_active_at, activity.busy)

    async def _end(self, id: str, shown: Body) -> Seen:
        """The end of the lists beside the container's facts as `shown`."""
        page = await self._newest_page(id)
        inside: list[Body] = []
        if self.probed_part is not None:
            inside = [one async for one in self._newest(id, self.probed_part, PAGE)]
        return Seen(id, shown, page.items[0] if page.items else None, inside)

    def _probe(self, presence: Presence, seen: Seen) -> Probe:
        activity = self._activity(seen) if self.trait.has_activity else Activity()
        return Probe(
            created_at=presence.created_at,
            last_active_at=activity.last_active_at,
            metadata=presence.metadata,
            newest_item=None if seen.newest is None else seen.newest["id"],
            busy=activity.busy,
        )

    async def count_items(self, id: str, most: int = PAGE) -> int:
        """See `Driver.count_items`."""
        count = 0
        async with aclosing(self._newest(id, self.trait.items_path, most)) as items:
            async for _ in items:
                count += 1
        return count

    async def presence(self, id: str) -> Presence:
        """See `Driver.presence`."""
        return self._presence(id, await self._container(id))

    def _presence(self, id: str, container: Body) -> Presence:
        subject = self._subject(id)
        return Presence(
            read_moment(container, "created_at", subject),
            read_metadata(container, subject) if self.trait.has_metadata else {},
        )

    async def export(self, id: str, tell: Tell | None = None) -> AsyncIterator[Record]:
        """See `Driver.export`."""
        container = await self._container(id)
        shown, first = facts(container, *FACTS), self._record(id, container, is_item=False)
        presence = None if tell is None else self._presence(id, container)
        del container  # free it before the next answer is awaited
        yield first
        del first
        newest, ids = None, deque[str](maxlen=PAGE + 1)
        async with aclosing(self._walk(id, self.trait.items_path)) as items:
            async for item in items:
                newest = facts(item, *FACTS)
                ids.append(item["id"])
                yield self._record(id, item, is_item=True)
                del item
        inside = deque[Body](maxlen=PAGE)
        for part in self.parts:
            async with aclosing(self._part(id, part)) as bodies:
                async for name, body in bodies:
                    if part == self.probed_part:
                        inside.append(facts(body, *FACTS))
                    yield self._record(id, body, is_item=False, name=name)
                    del body
        if tell is not None and presence is not None:
            probe = self._probe(presence, Seen(id, shown, newest, [*inside]))
            tell(replace(probe, items=tuple(ids) if len(ids) <= PAGE else None))

    async def list_page(self, after: str | None = None) -> Listing:
        """See `Driver.list_page`."""
        limit = PAGE
        while True:
            try:
                return await self._list_page(after, limit)
            except TooLargeError:
                if limit == 1:
                    raise
                limit //= 2

    async def _list_page(self, after: str | None, limit: int) -> Listing:
        subject, query = self._list_subject, _ordered("asc", after, limit)
        with self._api.share(subject) as share:
            try:
                reply = await self._api.get(
                    self.trait.path,
                    subject=subject,
                    headers=self._headers,
                    query=query,
                    share=share,
                )
            except DriverError as error:
                promised = self.trait.listable
                raise unlisted(error, subject, after, promised=promised) from error
            body, odd = set_aside(reply.body)
            page = read_page(body, subject)
            listing = read_listing(
                page, self._check_listed, subject, follows_last_id=self.follows_last_id
            )
            return replace(listing, unfit=listing.unfit + odd)

    @property
    def _list_subject(self) -> str:
        return f"{self.kind} of project {self._api.endpoint.name}"

    def _check_listed(self, body: Body) -> None:
        check_container(
            *(body, self.trait.noun, body["id"], self._list_subject),
            tells_error=self.tells_error,
            is_listed=True,
        )

    async def delete(
        self,
        id: str,
        *,
        items_first: bool = True,
        items: Sequence[str] | None = None,
        still_wanted: StillWanted | None = None,
        is_known: IsKnown | None = None,
    ) -> str | None:
        """See `Driver.delete`."""
        gone: list[str] = []
        try:
            if items_first and self.trait.items_first:
                await self._empty(id, items, still_wanted, is_known, gone)
            await self._ask(id, still_wanted)
            with self._changing(id, f"delete {self._plural}", REMEDIES["delete"]):
                reply = await self._delete(self._path(id), id)
        except (BusyError, UnsupportedError, IncompleteError) as error:
            if not gone:
                raise
            message = f"{error}; {counted(len(gone), 'item is', 'items are')} gone already"
            torn = TornError if isinstance(error, BusyError) else RefusedError
            raise torn(message, status=error.status) from error
        check_deleted(reply.body, self.trait.noun, id, self._subject(id))
        return reply.request_id

    async def delete_item(self, id: str, item_id: str) -> None:
        """See `Driver.delete_item`."""
        subject = self._subject(id)
        if not self.trait.items_deletable:
            raise RefusedError(f"{subject}: the API cannot delete single items of this kind")
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
            raise RefusedError(f"{subject}: the API has no metadata for this kind")
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
            raise RefusedError(f"{subject}: the server did not store the metadata as written")
        return wanted

    def _activity(self, seen: Seen) -> Activity:
        """When the container was last active; only for kinds whose API tells."""
        raise NotImplementedError

    async def _part(self, id: str, part: str) -> AsyncGenerator[tuple[str, Body], None]:
        """The entries of a part, each with the id that its record gets."""
        async with aclosing(self._walk(id, part)) as bodies:
            async for body in bodies:
                yield body["id"], body
                del body

    async def _container(self, id: str) -> Body:
        with self._reading(id, f"show {self._plural}"):
            reply = await self._get(self._path(id), id, {})
        self._check_container(reply.body, id)
        return reply.body

    def _check_container(self, body: Body, id: str) -> None:
        check_container(body, self.trait.noun, id, self._subject(id), tells_error=self.tells_error)

    async def _newest_page(self, id: str) -> Page:
        """A page with the facts of the newest item."""
        with self._api.share(self._subject(id)) as share:
            query = {"order": "desc", "limit": 1}
            page = await self._page(id, self.trait.items_path, query, share)
            return replace(page, items=[facts(item, *FACTS) for item in page.items])

    async def _newest(self, id: str, part: str, most: int) -> AsyncGenerator[Body, None]:
        """The facts of at most `most` entries, newest first."""
        count = itertools.count(1)
        async with aclosing(self._walk(id, part, order="desc")) as bodies:
            async for body in bodies:
                yield facts(body, *FACTS)
                if next(count) == most:
                    return

    async def _page(self, id: str, part: str, query: Query, share: Share) -> Page:
        """A page of a part of a known container; a 404 says nothing about the container."""
        try:
            return await self._bare_page(id, part, query, share)
        except (GoneError, BareGoneError) as error:
            await self._container(id)
            raise RefusedError(
                f"{self._subject(id)}: the server knows it but not its {part}; kept",
                status=error.status,
            ) from error

    async def _bare_page(self, id: str, part: str, query: Query, share: Share) -> Page:
        with self._reading(id, f"list the {part} of {self._plural}"):
            reply = await self._get(f"{self._path(id)}/{part}", id, query, share)
        return read_page(reply.body, self._subject(id))

    def _walk(
        self, id: str, part: str, *, order: str = "asc", optional: bool = False
    ) -> AsyncGenerator[Body, None]:
        page_of = self._bare_page if optional else self._page

        async def fetch(after: str | None, limit: int, share: Share) -> Page:
            return await page_of(id, part, _ordered(order, after, limit), share)

        subject = self._subject(id)
        return walk(
            fetch,
            partial(self._api.share, subject),
            limit=PAGE,
            follows_last_id=self.follows_last_id,
            subject=subject,
        )

    async def _empty(
        self,
        id: str,
        items: Sequence[str] | None,
        still_wanted: StillWanted | None,
        is_known: IsKnown | None,
        gone: list[str],
    ) -> None:
        part = self.trait.items_path
        try:
            known = items
            if known is None:
                known = [item["id"] async for item in self._walk(id, part)]
            if known:
                if is_known is not None and not await is_known(known):
                    raise BusyError(f"{self._subject(id)}: an item has arrived since; kept")
                await empty(
                    known,
                    gone,
                    newest=partial(self._newest_page, id),
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
            raise RefusedError(f"{subject}: an item id that does not fit into a path; kept")
        path = f"{self._path(id)}/{self.trait.items_path}/{quote(item_id, safe='')}"
        with self._changing(id, "delete items", REMEDIES["items"]):
            reply = await self._delete(path, id)
        if self.trait.item_delete_returns_container:
            self._check_container(reply.body, id)
        else:
            check_deleted(reply.body, self.item_noun, item_id, subject)

    async def _ask(self, id: str, still_wanted: StillWanted | None) -> None:
        if still_wanted is not None and not await still_wanted():
            raise BusyError(f"{self._subject(id)}: no longer to be deleted; kept")

    @property
    def _plural(self) -> str:
        return f"{self.kind.value.replace('_', ' ')}s"

    def _changing(self, id: str, what: str, remedy: str) -> AbstractContextManager[None]:
        """Raise `UnsupportedError` if the server does not offer a changing call."""
        return _named(f"{self._subject(id)}: this server cannot {what}; {remedy}", UnsupportedError)

    def _reading(self, id: str, what: str) -> AbstractContextManager[None]:
        """Raise `RefusedError` if the server does not offer a call: then nothing is known."""
        return _named(f"{self._subject(id)}: this server cannot {what}; kept", RefusedError)

    async def _get(self, path: str, id: str, query: Query, share: Share | None = None) -> Reply:
        subject, headers = self._subject(id), self._headers
        return await self._api.get(path, subject=subject, headers=headers, query=query, share=share)

    async def _delete(self, path: str, id: str) -> Reply:
        return await self._api.delete(path, subject=self._subject(id), headers=self._headers)

    def _path(self, id: str) -> str:
        if not is_id(id):
            raise RefusedError(
                f"{self._subject(id)}: an id that does not fit into a path; no call made"
            )
        return f"{self.trait.path}/{id}"

    def _subject(self, id: str) -> str:
        shown = id if is_id(id) else ascii(id[:80])
        return f"{self.kind} {shown} in project {self._api.endpoint.name}"

    def _record(self, id: str, body: Body, *, is_item: bool, name: str | None = None) -> Record:
        try:
            return Record(name or body["id"], _written(body), is_item=is_item)
        except (ValueError, RecursionError):
            raise RefusedError(
                f"{self._subject(id)}: an object nested too deeply to be copied; kept"
            ) from None


@contextmanager
def _named(message: str, raised: type[RefusedError]) -> Iterator[None]:
    try:
        yield
    except DriverError as error:
        if error.status not in NO_CALL:
            raise
        raise raised(f"{message} (HTTP {error.status})", status=error.status) from error


def _ordered(order: str, after: str | None, limit: int) -> Query:
    return {"order": order, "limit": limit} | ({} if after is None else {"after": after})


def _written(body: Body) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        text = json.dumps(body, separators=(",", ":"))
        if "\\ud" not in text:  # half of a surrogate pair can be written, in ASCII
            raise ValueError from None
        return text.encode()
