"""`doctor --canary`: the parts that a canary needs, joined."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from janitor.config import Config, Project
    from janitor.doctor import Finding
    from janitor.registry import Registry

SECONDS = 300.0


def canaries(config: Config, wait: timedelta) -> list[Finding]:
    """One canary for each project that serves conversations, under the run's lock.

    Raises:
        JanitorError: The registry cannot be written, or another janitor holds the run.
    """
    from janitor.cli.compose import open_registry
    from janitor.cli.turn import turn

    with open_registry(config, create=True) as registry, turn(registry, wait):
        return asyncio.run(_canaries(config, registry))


async def _canaries(config: Config, registry: Registry) -> list[Finding]:
    from janitor.doctor import attempt_later

    found: list[Finding] = []
    for project in config.projects.values():
        check = f"canary {project.name}"
        found += await attempt_later(check, _canary(config, project, registry), SECONDS)
    return found


async def _canary(config: Config, project: Project, registry: Registry) -> list[Finding]:
    """Through what guards, counts and paces every other call, too."""
    from janitor.cli.pacing import pace_of
    from janitor.cli.showing import now
    from janitor.cli.targets import endpoint
    from janitor.doctor import Aviary, try_canary
    from janitor.doctor.findings import fine
    from janitor.drivers import Guard, GuardedTransport, Outbound, Planting, connect
    from janitor.metrics import Metrics
    from janitor.model import Kind
    from janitor.pace import PacedTransport

    if Kind.CONVERSATION not in project.kinds:
        return [fine(f"canary {project.name}", "serves no conversations; nothing was tried")]
    pace = pace_of(project, registry, Metrics(), asyncio.sleep, changing=True)
    transport = PacedTransport(GuardedTransport(Outbound(1), Guard()), pace)
    async with connect(endpoint(project), transport=transport, concurrency=1) as drivers:
        driver = drivers[Kind.CONVERSATION]
        if not isinstance(driver, Planting):
            raise TypeError(type(driver).__name__)
        return await try_canary(Aviary(project.name, driver, registry, config.policies, now))
