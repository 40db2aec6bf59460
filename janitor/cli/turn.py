"""One's turn at a registry: the run's lock and, where claims have leases, the end of dead ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from janitor.errors import LockedError

if TYPE_CHECKING:
    from janitor.registry import Registry

POLL = 0.2


@contextmanager
def turn(registry: Registry, wait: timedelta, *, shared: bool = False) -> Iterator[None]:
    """Hold the run's lock, alone unless `shared`: then nobody else's claims stand either.

    Claims of a janitor that died outlive its lock on PostgreSQL, until their lease is over.

    Raises:
        LockedError: `wait` was over before that.
    """
    deadline = time.monotonic() + wait.total_seconds()
    with registry.lock(wait, shared=shared):
        if not shared and (left := registry.claimed_for()):
            _outlast(registry, left, wait, deadline)
        yield


def _outlast(registry: Registry, left: timedelta, wait: timedelta, deadline: float) -> None:
    if wait:
        told = f"waiting up to {left.total_seconds():.0f} s for what a janitor left that died"
        click.echo(f"janitor: {told}", err=True)
    while left:
        if time.monotonic() >= deadline:
            raise LockedError(
                f"a janitor that died, or cannot be reached, left threads that are its own for "
                f"{left.total_seconds():.0f} s more (waited {wait.total_seconds():g} s); "
                "wait for it, or give --wait more time"
            )
        time.sleep(min(left.total_seconds(), POLL))
        left = registry.claimed_for()
