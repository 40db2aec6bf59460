"""What a project has of one kind, page by page: which answers are believed and which are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from janitor.catalogue import is_id
from janitor.drivers.answers import Body, Page, read_moment
from janitor.drivers.pages import cursor_of
from janitor.errors import DriverError, GoneError, RefusedError

NO_SUCH_CALL = frozenset({400, 404, 405, 501})
"""How servers answer a call that they do not have."""
NO_SUCH_PLACE = frozenset({400, 404})
"""How servers answer where they do not know the container that a page is to follow."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A container that a list names, and when it was created (`None`: nobody can tell)."""

    id: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of containers. `after` leads on; `None`: the server said that the list ends here.

    `unfit` counts those whose id no path can carry: nothing could ever be asked about them.
    """

    listed: tuple[Listed, ...]
    after: str | None
    unfit: int = 0


class UnlistedError(RefusedError):
    """The server does not list containers of this kind; that is no failure of it."""


class LostPlaceError(RefusedError):
    """The server no longer knows the container behind which a list was to go on."""


def read_listing(
    page: Page, check: Callable[[Body], None], subject: str, *, follows_last_id: bool
) -> Listing:
    """A page whose every item is a container of this kind, none of them twice.

    `check` refuses what is no container of the kind. Raises `RefusedError` where one is
    none, or where the page goes on without saying where.
    """
    named = [item["id"] for item in page.items]
    if len(set(named)) != len(named):
        raise RefusedError(f"{subject}: a page that names one twice; the list is not believed")
    for item in page.items:
        check(item)
    listed = [Listed(item["id"], _created_at(item, subject)) for item in page.items]
    fit = tuple(one for one in listed if is_id(one.id))
    after = cursor_of(page, subject, follows_last_id=follows_last_id) if page.has_more else None
    if after is not None and not is_id(after):
        raise RefusedError(f"{subject}: a list that goes on behind what is no id; incomplete")
    return Listing(fit, after, len(listed) - len(fit))


def _created_at(item: Body, subject: str) -> datetime | None:
    """A time that cannot be read makes this one's age unknown; a look at it says why."""
    try:
        return read_moment(item, "created_at", subject)
    except RefusedError:
        return None


def unlisted(error: DriverError, subject: str, after: str | None, *, promised: bool) -> DriverError:
    """What a failed call for a page means: no such call, no such place, or what it was.

    Where the API has `promised` the list, a 400 and a gateway's 404 speak of something else.
    """
    status = error.status
    if after is not None and status in NO_SUCH_PLACE:
        message = f"{subject}: the list does not go on where it was left (HTTP {status})"
        return LostPlaceError(message, status=status)
    proper = status in {405, 501} or isinstance(error, GoneError)
    if after is None and (proper if promised else status in NO_SUCH_CALL):
        return UnlistedError(f"{subject}: this server does not list them", status=status)
    return error
