"""The clock is looked at before a run begins; where that is not enough, the API is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from janitor.errors import AccessError, DriverError
from janitor.sweep.parts import Parts, Project

CLOCK = "clock"


async def look_at_clock(parts: Parts) -> None:
    """Hold the clock against earlier runs; `parts.watch` then knows whether it is in trouble.

    Where the clock stepped, the API is asked for its date. A clock in order is remembered.
    """
    registry, watch = parts.registry, parts.watch
    watch.compare(await asyncio.to_thread(registry.recall, CLOCK))
    if watch.is_suspected:
        asked = [await _hear(parts, project) for project in parts.projects.values()]
        if not any(asked):
            watch.dismiss()
    if watch.trouble is None:
        await asyncio.to_thread(registry.alter, CLOCK, _remember(parts))


def _remember(parts: Parts) -> Callable[[str | None, datetime], str]:
    return lambda before, _: parts.watch.remembered(before)


async def _hear(parts: Parts, project: Project) -> bool:
    """Ask for a thread of the project, for the date of any answer; false where it has none."""
    for kind, driver in project.drivers.items():
        herd = (project.name, kind)
        for entry in await asyncio.to_thread(parts.registry.canaries, herd, 1):
            with suppress(AccessError, DriverError):
                await driver.probe(entry.thread.key.id)
            return True
    return False
