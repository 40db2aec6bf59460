"""From a configuration to the parts of a run: the one place where rooms are joined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from janitor.archive import Archive
from janitor.catalogue import CATALOGUE
from janitor.config import Config, Project
from janitor.drivers import Endpoint, Outbound, connect, read_only
from janitor.errors import ArchiveError
from janitor.metrics import Metrics
from janitor.pace import Exchange, PacedTransport
from janitor.registry import Registry
from janitor.sweep import Notice, Parts
from janitor.sweep import Project as Reach

Clock = Callable[[], datetime]


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
    return Registry.open(config.registry.url, read_only=read_only, untrusted=distrusted)


@asynccontextmanager
async def parts(
    config: Config,
    registry: Registry,
    *,
    changing: bool,
    clock: Clock = utc_now,
    metrics: Metrics | None = None,
    notify: Callable[[Notice], None] = lambda _: None,
    stop: asyncio.Event | None = None,
) -> AsyncIterator[Parts]:
    """Everything a run needs; without `changing` the drivers refuse every changing call.

    Once `stop` is set no request waits for a rate limit any more: it fails instead.

    Raises:
        ConfigError: A secret cannot be read.
    """
    observed = metrics or Metrics()
    archive, archive_error = _archive(config, registry) if changing else (None, None)
    sleep = _sleep_until(stop or asyncio.Event())
    async with AsyncExitStack() as stack:
        reaches = {
            name: await _reach(stack, project, observed, sleep, changing=changing)
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
            archive_error=archive_error,
        )
        if archive is not None and archive.is_begun:
            registry.set_archive_url(config.archive.url)


def _archive(config: Config, registry: Registry) -> tuple[Archive | None, ArchiveError | None]:
    """The archive where a policy needs one, or why it does not serve.

    One that held copies before must still hold them.
    """
    if all(policy.archive is None for policy in config.policies.rules):
        return None, None
    url = config.archive.url
    try:
        return Archive.open(url, known=registry.archive_url() == url), None
    except ArchiveError as error:
        return None, error


def _sleep_until(stop: asyncio.Event) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            return
        raise InterruptedError("asked to stop while a rate limit was waited for")

    return sleep


async def _reach(
    stack: AsyncExitStack,
    project: Project,
    metrics: Metrics,
    sleep: Callable[[float], Awaitable[None]],
    *,
    changing: bool,
) -> Reach:
    target = endpoint(project)
    transport = PacedTransport(
        Outbound(project.concurrency),
        lambda exchange: _count(metrics, project.name, exchange),
        waited=metrics.paused.inc,
        sleep=sleep,
    )
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


def _count(metrics: Metrics, project: str, exchange: Exchange) -> None:
    kind = _kind(exchange.path)
    call = exchange.method.lower()
    status = "error" if exchange.status is None else str(exchange.status)
    metrics.requests.labels(project, kind, call, status).inc()
    metrics.request_seconds.labels(kind, call).observe(exchange.seconds)


def _kind(path: str) -> str:
    """The kind whose path a request went to; the longest path wins (`/chatkit/threads`)."""
    fits = [kind for kind, trait in CATALOGUE.items() if f"{trait.path}/" in f"{path}/"]
    return max(fits, key=lambda kind: len(CATALOGUE[kind].path), default="other")
