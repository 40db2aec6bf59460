"""Deleting the items of a container before the container itself, and proving that none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from janitor.catalogue import PAGE
from janitor.drivers.answers import Page
from janitor.drivers.driver import TornError
from janitor.errors import GoneError, RefusedError

AT_ONCE = 8


async def empty(
    known: Sequence[str],
    *,
    newest: Callable[[], Awaitable[Page]],
    delete: Callable[[str], Awaitable[None]],
    ask: Callable[[int], Awaitable[None]],
    subject: str,
) -> None:
    """Delete the items `known`, oldest first, until the server lists none.

    `newest` lists the newest item, `ask` is told how many are gone and raises to stop. Raises
    `TornError` where an item arrived that is not among `known`, `RefusedError` where the server
    still lists what it said was deleted.
    """
    ids = frozenset(known)
    for start in range(0, len(known), PAGE):
        if start:
            _refuse_newcomers(await newest(), ids, subject)
        await ask(start)
        await _delete_all(known[start : start + PAGE], delete)
    left = await newest()
    _refuse_newcomers(left, ids, subject)
    if left.items or left.has_more:
        raise RefusedError(f"{subject}: the server still lists items that it deleted; kept")


def _refuse_newcomers(page: Page, known: frozenset[str], subject: str) -> None:
    if any(item["id"] not in known for item in page.items):
        raise TornError(f"{subject}: an item arrived while items were deleted; stopped, kept")


async def _delete_all(ids: Sequence[str], delete: Callable[[str], Awaitable[None]]) -> None:
    for start in range(0, len(ids), AT_ONCE):
        calls = map(delete, ids[start : start + AT_ONCE])
        for result in await asyncio.gather(*calls, return_exceptions=True):
            # The empty listing proves the deletion; who did it does not matter.
            if isinstance(result, BaseException) and not isinstance(result, GoneError):
                raise result
