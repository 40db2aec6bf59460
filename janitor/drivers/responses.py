"""What an answer must contain to be believed: an object, a page, a whole list.

A list is complete only if the server says so and no id appears twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from janitor.drivers.response_memory import Share
from janitor.errors import DriverError, GoneError, IncompleteError, RefusedError, TooLargeError
from janitor.kinds import is_id
from janitor.texts import is_text
from janitor.times import of_second

Body = dict[str, Any]

SHORT = 1000
"""The most characters of values that are kept, such as ids and states."""
LIVING = frozenset({"created_at", "metadata", "data"})
"""Fields of a container or a list: an answer with one of them does not confirm a deletion."""


class ContradictionError(ValueError):
    """JSON that two parsers may read differently; the message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; every item has a string of 1 to `SHORT` characters as id."""

    items: list[Body]
    has_more: bool
    last_id: str | None


def read_json(content: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Parse a body: one JSON document in UTF-8 that every parser reads alike.

    Raises `ValueError`; `ContradictionError` if an object at any depth has a key twice, or a number
    cannot be copied exactly.
    """
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_once,
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_narrow,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> Body:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ContradictionError("a key appears twice in one object")
    return body


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that JSON does not have")
    return number


def _narrow(text: str) -> int:
    number = int(text)
    if not -(1 << 63) <= number < 1 << 64:
        raise ContradictionError("a number too long to be copied exactly")
    return number


def check_container(
    body: Body,
    object: str,
    id: str,
    subject: str,
    *,
    tells_error: bool = False,
    is_listed: bool = False,
) -> None:
    """Check that the answer is this container with its date, and no error or deletion.

    `tells_error`: containers of the kind have a text `error`, which says how they ended. If
    `is_listed`, the date is not checked: whoever reads the list reads it.
    """
    if body.get("object") != object or body.get("id") != id:
        raise RefusedError(f"{subject}: unexpected answer from the server; kept")
    if not (tells_error and isinstance(body.get("error"), str)):
        check_no_error(body, subject)
    if _is_called_deleted(body):
        raise RefusedError(f"{subject}: the server returns it and calls it deleted; kept")
    if not is_listed:
        read_moment(body, "created_at", subject)


def check_deleted(body: Body, object: str, id: str, subject: str) -> None:
    """Check that the answer confirms the deletion of exactly this id, of this kind of object.

    A server that sends no `object` is believed. One that names another, or also sends the
    container or an error, is not.
    """
    if body.get("deleted") is not True or body.get("id") != id:
        raise RefusedError(f"{subject}: the server did not confirm the deletion; taken as kept")
    check_no_error(body, subject)
    if body.get("object") not in (None, f"{object}.deleted") or LIVING & body.keys():
        raise RefusedError(
            f"{subject}: the server says that it deleted something else; taken as kept"
        )


def check_item(body: Body, item_id: str, subject: str) -> None:
    """Check that the answer is exactly this item."""
    if body.get("id") != item_id or _is_called_deleted(body):
        raise RefusedError(f"{subject}: unexpected answer from the server; kept")
    check_no_error(body, subject)


def _is_called_deleted(body: Body) -> bool:
    return body.get("deleted") is not None and body["deleted"] is not False


def check_no_error(body: Body, subject: str) -> None:
    """Check that the answer contains no error, whatever its status."""
    if body.get("error") is not None or body.get("errors"):
        raise RefusedError(f"{subject}: the server answered both a success and an error; kept")


def read_moment(body: Body, field: str, subject: str) -> datetime | None:
    """A time in whole Unix seconds; `None` if it was never set (0)."""
    value = body.get(field)
    try:
        if type(value) is int:
            return of_second(value)
    except ValueError:
        pass
    raise RefusedError(f"{subject}: {field} is not a time in Unix seconds; kept")


def facts(body: Body, *fields: str) -> Body:
    """The given fields of a body, with an empty text in place of long or complex values."""
    return {field: body[field] if _is_short(body[field]) else "" for field in fields & body.keys()}


def _is_short(value: object) -> bool:
    return type(value) is int or value is None or (isinstance(value, str) and len(value) <= SHORT)


def read_page(body: Body, subject: str) -> Page:
    """A page whose list, ids and `has_more` are what the API promises."""
    items, has_more, last_id = (body.get(field) for field in ("data", "has_more", "last_id"))
    check_no_error(body, subject)
    is_list = body.get("object", "list") == "list" and not _is_called_deleted(body)
    if not is_list or not isinstance(items, list):
        raise RefusedError(f"{subject}: the server's answer is not a list; kept")
    if not isinstance(has_more, bool):
        raise RefusedError(f"{subject}: a list that does not say whether it ends; incomplete, kept")
    if not all(isinstance(item, dict) and is_name(item.get("id")) for item in items):
        raise RefusedError(
            f"{subject}: a list with an item that has no id, or one over {SHORT} characters; "
            "incomplete, kept"
        )
    if has_more and not items:
        raise IncompleteError(
            f"{subject}: the server's list never ends: an empty page says that more follows; kept"
        )
    return Page(items, has_more, last_id if is_name(last_id) else None)


def is_name(value: object) -> bool:
    """Whether a value can be a server's id for something."""
    return isinstance(value, str) and 0 < len(value) <= SHORT and is_text(value)


MOST_PAGES = 10_000

Fetch = Callable[[str | None, int, Share], Awaitable[Page]]


async def walk(
    fetch: Fetch,
    share: Callable[[], Share],
    *,
    limit: int,
    follows_last_id: bool,
    subject: str,
) -> AsyncGenerator[Body, None]:
    """Every item of a list, in the server's order.

    `fetch` returns the page after an id (`None`: the first) with at most so many items, within a
    share of the memory. At first `limit` items are requested, and fewer if those are too large.
    `follows_last_id` says whether the next page follows the list's own `last_id` or the id of its
    last item. Raises `IncompleteError` if the list loops, breaks off or never ends, and
    `TooLargeError` if a single item is too large.
    """
    seen: set[str] = set()
    after: str | None = None
    asked, left = limit, MOST_PAGES * limit
    page: Page | None = None
    item: Body | None = None
    while left > 0:
        with share() as held:
            try:
                page = await fetch(after, asked, held)
            except TooLargeError:
                if asked == 1:
                    raise
                asked //= 2
                continue
            for item in page.items:
                _note(item["id"], seen, subject)
                yield item
            if not page.has_more:
                return
            after = cursor_of(page, subject, follows_last_id=follows_last_id)
            page = item = None  # before their share is given back
            left -= asked
            if held.size < held.most // 4:
                asked = min(2 * asked, limit)
    raise IncompleteError(
        f"{subject}: the server's list never ends: {MOST_PAGES} pages, and more to follow; kept"
    )


def _note(id: str, seen: set[str], subject: str) -> None:
    if id in seen:
        raise IncompleteError(f"{subject}: the server's list never ends: it repeats an item; kept")
    seen.add(id)


def cursor_of(page: Page, subject: str, *, follows_last_id: bool) -> str:
    """The cursor of the next page. Raises `IncompleteError` if the page does not name it."""
    last = page.items[-1]["id"] if page.items else None
    if last is None or (follows_last_id and page.last_id != last):
        raise IncompleteError(
            f"{subject}: the server's list ends early: it says that more follows, but not where; "
            "kept"
        )
    return str(last)


NO_SUCH_CALL = frozenset({400, 404, 405, 501})
"""The statuses with which servers answer a call that they do not offer."""
NO_SUCH_PLACE = frozenset({400, 404})
"""The statuses with which servers answer if they do not know the container a page should follow."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A container in a list, and when it was created (`None`: unknown)."""

    id: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of containers. `after` is the cursor of the next page; `None` if this is the last.

    `unfit` counts those whose id does not fit into a path: no call about them can be made.
    """

    listed: tuple[Listed, ...]
    after: str | None
    unfit: int = 0


class UnlistedError(RefusedError):
    """The server does not offer a list of this kind; that is not a failure."""


class LostPlaceError(RefusedError):
    """The server no longer knows the container after which the list should continue."""


def set_aside(body: Body) -> tuple[Body, int]:
    """A list without the items whose id is unusable, and how many of those there are."""
    items = body.get("data")
    if not isinstance(items, list):
        return body, 0
    fit = [one for one in items if not _has_odd_id(one)]
    return {**body, "data": fit}, len(items) - len(fit)


def _has_odd_id(item: object) -> bool:
    named = item.get("id") if isinstance(item, dict) else None
    return named is not None and not is_name(named)


def read_listing(
    page: Page, check: Callable[[Body], None], subject: str, *, follows_last_id: bool
) -> Listing:
    """Read a page of containers of this kind, each named once.

    `check` refuses what is not a container of the kind. Raises `RefusedError` if it refuses one,
    or if the page says that more follows, but not where.
    """
    named = [item["id"] for item in page.items]
    if len(set(named)) != len(named):
        raise RefusedError(f"{subject}: a page that lists an id twice; the list is not trusted")
    for item in page.items:
        check(item)
    listed = [Listed(item["id"], _created_at(item, subject)) for item in page.items]
    fit = tuple(one for one in listed if is_id(one.id))
    after = cursor_of(page, subject, follows_last_id=follows_last_id) if page.has_more else None
    if after is not None and not is_id(after):
        raise RefusedError(f"{subject}: a list that continues after an invalid id; incomplete")
    return Listing(fit, after, len(listed) - len(fit))


def _created_at(item: Body, subject: str) -> datetime | None:
    """When it was created; an unreadable time means unknown, and a later probe reports why."""
    try:
        return read_moment(item, "created_at", subject)
    except RefusedError:
        return None


def unlisted(error: DriverError, subject: str, after: str | None, *, promised: bool) -> DriverError:
    """What a failed call for a page means: no such list, a lost cursor, or the error itself.

    If the API has `promised` the list, a 400 and a gateway's 404 mean something else.
    """
    status = error.status
    if after is not None and status in NO_SUCH_PLACE:
        message = f"{subject}: the list cannot be continued where it stopped (HTTP {status})"
        return LostPlaceError(message, status=status)
    proper = status in {405, 501} or isinstance(error, GoneError)
    if after is None and (proper if promised else status in NO_SUCH_CALL):
        return UnlistedError(f"{subject}: this server does not list them", status=status)
    return error
