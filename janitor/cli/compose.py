"""From a configuration to the parts of a run: the one place where rooms are joined."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

from janitor.archive import Archive
from janitor.cli.pacing import pace_of
from janitor.config import Config, Project
from janitor.drivers import Endpoint, Outbound, connect, read_only
from janitor.metrics import Metrics
from janitor.pace import PacedTransport, ProjectPace, Urgency
from janitor.registry import Registry
from janitor.sweep import Notice, Parts
from janitor.sweep import Project as Reach

Clock = Callable[[], datetime]

LEASE_SECONDS = 30.0
LEASE_VARIABLE = "JANITOR_LEASE_SECONDS"
"""Shortens the leases of replicas, so that what happens at their end can be tried in seconds."""


def utc_now() -> datetime:
    """The clock of everything but tests and `--at`."""
    return datetime.now(UTC)


def open_registry(config: Config, *, read_only: bool = False) -> Registry:
    """The registry that a configuration names; made and migrated unless it is only read.

    Raises:
        ConfigError: It is no registry, is of another version, or may not be written.
        StoreError: It is full or locked.
    """
    distrusted = frozenset(n for n, p in config.projects.items() if not p.trust_reported)
    return Registry.open(
        config.registry.url,
        password=config.registry.password.reveal() or None,
        read_only=read_only,
        untrusted=distrusted,
        lease=timedelta(seconds=float(os.environ.get(LEASE_VARIABLE, LEASE_SECONDS))),
    )


@asynccontextmanager
async def parts(
    config: Config,
    registry: Registry,
    *,
    changing: bool,
    clock: Clock = utc_now,
    metrics: Metrics | None = None,
    notify: Callable[[Notice], None] = lambda _: None,
    urgency: Urgency = Urgency.SWEEP,
) -> AsyncIterator[Parts]:
    """Everything a run needs; without `changing` the drivers refuse every changing call.

    Raises:
        ConfigError: A secret cannot be read.
        StoreError: The archive cannot be opened.
    """
    observed = metrics or Metrics()
    archive = _archive(config, registry) if changing and _archives(config) else None
    async with AsyncExitStack() as stack:
        reaches = {
            name: await _reach(
                stack,
                project,
                pace_of(project, registry, observed, changing=changing),
                urgency,
                changing=changing,
            )
            for name, project in config.projects.items()
        }
        yield Parts(
            registry,
            reaches,
            archive,
            config.policies,
            clock,
            notify,
            tombstones_keep_for=config.tombstones_keep_for,
        )
        if archive is not None and archive.is_begun:
            registry.set_archive_url(config.archive.url)


def _archive(config: Config, registry: Registry) -> Archive:
    """The archive; one that held copies before must still hold them."""
    url = config.archive.url
    return Archive.open(url, known=registry.archive_url() == url)


def _archives(config: Config) -> bool:
    return any(policy.archive is not None for policy in config.policies.rules)


async def _reach(
    stack: AsyncExitStack,
    project: Project,
    pace: ProjectPace,
    urgency: Urgency,
    *,
    changing: bool,
) -> Reach:
    target = endpoint(project)
    transport = PacedTransport(Outbound(project.concurrency), pace, urgency=urgency)
    opened = connect(target, transport=transport, concurrency=project.concurrency)
    drivers = await stack.enter_async_context(opened)
    served = {
        kind: driver if changing else read_only(driver)
        for kind, driver in drivers.items()
        if kind in project.kinds
    }
    return Reach(
        project.name,
        served,
        target.fingerprint,
        concurrency=project.concurrency,
        trust_reported=project.trust_reported,
    )


def endpoint(project: Project) -> Endpoint:
    """Where a project's containers live, with its secret read anew.

    Raises:
        ConfigError: The secret cannot be read.
    """
    azure = project.azure
    return Endpoint(
        project.name,
        project.api_key.reveal() or "none",
        base_url=project.base_url,
        organization=project.organization,
        project=project.project,
        query=project.query,
        headers=project.headers,
        azure_endpoint=azure.endpoint if azure else None,
        azure_api_version=azure.api_version if azure else None,
        timeout=project.timeout.total_seconds(),
    )
