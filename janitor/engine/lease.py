"""The lease of a janitor's claims, renewed in the background while it works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from janitor.errors import ClaimLostError, StoreError

# It keeps running while the machine is suspended or the process is stopped.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
RENEWALS = 3
LOST = "this janitor was delayed for longer than its lease; it stopped, and others continue"


class Lease:
    """Whether the claims of one janitor are still valid; checked before every changing call.

    Renewed every third of `length`; trusted for two thirds of it after the last renewal began, so
    that a call under way by then ends before another janitor takes over. Once over, it stays over.
    With `length=None` it never ends: the run's lock serves instead.
    """

    def __init__(self, length: timedelta | None, renew: Callable[[], object]) -> None:
        self._length = length.total_seconds() if length is not None else None
        self._renew = renew
        self._renewed_at = _now()
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether the lease has ended, so that this janitor may do nothing more."""
        if self._length is not None:
            trusted = self._length * (RENEWALS - 1) / RENEWALS
            self._is_over = self._is_over or _now() - self._renewed_at > trusted
        return self._is_over

    @property
    def pause(self) -> float:
        """Seconds to wait before looking again whether another janitor's lease is over."""
        return (self._length or 0.0) / 10

    def check(self) -> None:
        """Raise ClaimLostError if it is over."""
        if self.is_over:
            raise ClaimLostError(LOST)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew the claims until the block is left."""
        task = asyncio.create_task(self._keep()) if self._length is not None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _keep(self) -> None:
        while not self.is_over:
            await asyncio.sleep((self._length or 0.0) / RENEWALS)
            began = _now()
            # A registry that does not answer now may answer in time.
            with suppress(StoreError):
                await asyncio.to_thread(self._renew)
                if not self.is_over:
                    self._renewed_at = began


def _now() -> float:
    return time.clock_gettime(_CLOCK)
