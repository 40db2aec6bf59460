"""The run's lock and, where claims have leases, the wait for those that a dead janitor left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from janitor.errors import LockedError
from janitor.registry.database import Tell, tell_nobody

if TYPE_CHECKING:
    from janitor.registry import Registry

POLL = 0.2
TRY = timedelta(milliseconds=500)


@contextmanager
def run_lock(
    registry: Registry,
    wait: timedelta,
    *,
    shared: bool = False,
    tell: Tell = tell_nobody,
    tell_holder: Tell = tell_nobody,
) -> Iterator[None]:
    """Holds the run's lock; unless `shared`, exclusively and with nobody else's claims left.

    On PostgreSQL, claims of a janitor that died outlive its lock until their lease ends. `tell`
    gets a message if they are waited for, `tell_holder` the holder if the lock is waited for.

    Raises:
        LockedError: The lock was not free, or the leases had not ended, within `wait`.
    """
    deadline = time.monotonic() + wait.total_seconds()
    with registry.lock(wait, shared=shared, tell=tell_holder):
        if not shared and (left := registry.claims.claimed_for()):
            if wait:
                tell(
                    f"waiting up to {left.total_seconds():.0f} s for the lease of a janitor "
                    "that is not responding"
                )
            _outlast(registry, left, wait, deadline)
        yield


def _outlast(registry: Registry, left: timedelta, wait: timedelta, deadline: float) -> None:
    while left:
        if time.monotonic() >= deadline:
            raise LockedError(
                f"{left.total_seconds():.0f} s left on the lease of another janitor that is not "
                f"responding (waited {wait.total_seconds():g} s). Retry later, or pass a longer "
                "--wait"
            )
        time.sleep(min(left.total_seconds(), POLL))
        left = registry.claims.claimed_for()


@contextmanager
def shared_run_lock(registry: Registry, wait: timedelta, stop: threading.Event) -> Iterator[None]:
    """Holds the run's lock together with other replicas; the wait for it heeds `stop`.

    Raises:
        LockedError: The lock was not free within `wait`, or before `stop` was set.
    """
    deadline = time.monotonic() + wait.total_seconds()
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(registry.lock(TRY, shared=True))
                break
            except LockedError:
                if stop.is_set() or time.monotonic() > deadline:
                    raise
        yield
