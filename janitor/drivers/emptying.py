"""Deleting the items of a container before the container itself, and proving that none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from janitor.catalogue import PAGE
from janitor.drivers.answers import Page
from janitor.errors import BusyError, GoneError, RefusedError, UnsupportedError

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

    Each deleted id is added to `gone`, whatever comes after. `newest` lists the newest item, `ask`
    raises to stop. Raises `BusyError` where an item arrived that is not among `known`,
    `RefusedError` where the server still lists what it said was deleted.
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
        # The empty listing proves the deletion; that somebody else did it does not matter.
        gone.extend(one for one, found in zip(batch, results, strict=True) if found is None)
        failed = [
            found
            for found in results
            if isinstance(found, BaseException) and not isinstance(found, GoneError)
        ]
        # These say that nothing was removed, which no lost answer beside them does.
        for found in sorted(failed, key=lambda one: isinstance(one, BusyError | UnsupportedError)):
            raise found
