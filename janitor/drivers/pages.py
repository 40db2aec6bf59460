"""Walking a list by hand: complete only when the server said so and no id came twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from janitor.drivers.answers import Body, Page
from janitor.drivers.budget import Share
from janitor.errors import IncompleteError, TooLargeError

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

    `fetch` gives the page after an id (`None`: the first) of at most so many items, within a share
    of the memory; at first `limit` are asked for, and fewer where those would be too large.
    `follows_last_id` says whether the list's own `last_id` leads on, or the id of its last item.
    Raises `IncompleteError` where the list loops, breaks off or never ends, and `TooLargeError`
    where a single item is.
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
        raise IncompleteError(
            f"{subject}: the server's list never ends: it comes by an item twice; kept"
        )
    seen.add(id)


def cursor_of(page: Page, subject: str, *, follows_last_id: bool) -> str:
    """Where the page that says that there is more leads on; `IncompleteError` where nowhere."""
    last = page.items[-1]["id"] if page.items else None
    if last is None or (follows_last_id and page.last_id != last):
        raise IncompleteError(
            f"{subject}: the server's list ends early: it says that more follows, and not where; "
            "kept"
        )
    return str(last)
