"""Work off the event loop, and iterators that are left before their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done in a thread.

    A cancellation is raised only once the thread is through: nobody may close a file under it.
    """
    future = asyncio.get_running_loop().run_in_executor(None, lambda: work(*args, **kwargs))
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()  # looked at, so that the loop does not complain of it
        raise cancelled
    return future.result()


@asynccontextmanager
async def finishing(records: AsyncIterator[T]) -> AsyncIterator[None]:
    """Let an iterator go at once where it is left before its end: it may hold much memory."""
    try:
        yield
    finally:
        if isinstance(records, AsyncGenerator):
            await records.aclose()
