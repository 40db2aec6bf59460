"""Builds the parts of a run from a configuration: the one place where packages are joined.

The registry, each project's endpoint, rate limiter and drivers, the archive, and the clocks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import asdict
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING

from janitor.app.clock import MACHINE, Time, uptime, utc_now
from janitor.app.targets import Target, targets
from janitor.archive import Archive
from janitor.config import Config, Project
from janitor.drivers import SendGuard, filtered, read_only
from janitor.drivers.connect import ClosedTransport, Outbound, Transport, connect
from janitor.drivers.guarded_transport import FreshTransport, GuardedTransport
from janitor.engine.clock import ClockWatch
from janitor.engine.context import ConnectedProject, RunContext, RunNotice
from janitor.engine.progress import Progress
from janitor.engine.redecide import promises_copies
from janitor.errors import ArchiveError, StoppedError
from janitor.kinds import CATALOGUE
from janitor.policy.stored_metadata import MetadataFilter
from janitor.rate_limit import (
    Event,
    Exchange,
    FoundRate,
    LimiterStore,
    LocalStore,
    Paused,
    ProjectLimiter,
    ReadOnlyMemory,
    SharedStore,
    Urgency,
    Verb,
    verb_of,
)
from janitor.rate_limit.transport import PacedTransport
from janitor.registry import Registry

if TYPE_CHECKING:
    from janitor.metrics import Metrics


def pace_of(
    project: Project,
    registry: Registry,
    metrics: Metrics | None,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float] | None = None,
    *,
    changing: bool,
    progress: Progress | None = None,
) -> ProjectLimiter:
    """The rate limiter of a project; the rates it finds are stored in the registry if `changing`.

    `metrics` and `progress` get each event, and `progress` predicts by the limiter.
    """

    def tell(event: Event) -> None:
        if metrics is not None:
            _observe(metrics, project.name, event)
        if progress is not None:
            progress.hear(project.name, event)

    limiter = ProjectLimiter(
        project.name,
        rates={Verb(verb): rate for verb, rate in asdict(project.rate).items()},
        concurrency=project.concurrency,
        store=_limiter_store(registry, clock, changing=changing),
        clock=clock,
        sleep=sleep,
        tell=tell,
    )
    if progress is not None:
        progress.watch(limiter)
    return limiter


def show_rates(config: Config, registry: Registry, metrics: Metrics) -> None:
    """Sets the rate metric of each project and verb, as far as known before the first call."""
    for project in config.projects.values():
        pace_of(project, registry, metrics, asyncio.sleep, changing=False)


def _limiter_store(
    registry: Registry, clock: Callable[[], float] | None, *, changing: bool
) -> LimiterStore:
    """Shared by replicas if the registry has leases, since only then can there be replicas."""
    if not changing:
        return LocalStore(ReadOnlyMemory(registry.key_values), clock)
    if registry.lease is None:
        return LocalStore(registry.key_values, clock)
    return SharedStore(registry.key_values)


def _observe(metrics: Metrics, project: str, event: Event) -> None:
    match event:
        case Exchange():
            _count(metrics, project, event)
        case Paused():
            metrics.paused.inc(event.seconds)
        case FoundRate():
            metrics.rate.labels(project, event.verb).set(event.per_minute)


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


BEAT = 0.2


@asynccontextmanager
async def compose(
    config: Config,
    registry: Registry,
    *,
    changing: bool,
    time: Time = MACHINE,
    metrics: Metrics | None = None,
    notify: Callable[[RunNotice], None] = lambda _: None,
    urgency: Urgency = Urgency.SWEEP,
    stop: threading.Event | None = None,
    copying: bool = False,
    progress: Progress | None = None,
) -> AsyncIterator[RunContext]:
    """Everything a run needs; without `changing` the drivers refuse every changing call.

    The archive is opened if a policy needs it or a copy is past its date, always for `copying`,
    and without `changing` also to tell what is left of removals that were begun. `progress` gets
    each call. Once `stop` is set, a request that would wait for its rate raises `StoppedError`.

    Raises:
        ConfigError: No project's secret can be read.
    """
    progress = progress or Progress()
    is_used = copying or _needs_archive(config, registry, time.now(), changing=changing)
    archive, archive_error = _archive(config, registry, is_used=is_used, changing=changing)
    shared = (registry, metrics, time.sleep or _sleep_until(stop), time.steady)
    guard, watch = _guarded(config, time)
    async with AsyncExitStack() as stack:
        projects = {
            name: await _connected(
                *(stack, config.projects[name], target),
                pace_of(config.projects[name], *shared, changing=changing, progress=progress),
                urgency=urgency,
                guard=guard,
                screen=registry.screen,
                changing=changing,
            )
            for name, target in targets(config.projects).items()
        }
        yield RunContext(
            *(registry, projects, archive, config.policies, time.now, notify),
            tombstones_keep_for=config.tombstones_keep_for,
            archive_error=archive_error,
            guard=guard,
            watch=watch,
            sources=tuple(config.sources),
            progress=progress,
        )
        if changing and archive is not None and archive.is_begun:
            registry.copies.set_archive_url(config.archive.url)


def _guarded(config: Config, time: Time) -> tuple[SendGuard, ClockWatch]:
    """The guard of changing requests, and the clock watch, which gets the date of every answer."""
    guard = SendGuard()
    since_boot = time.uptime or (uptime if time.now is utc_now else lambda: None)
    watch = ClockWatch(config.policies.limits.clock_step, time.now, since_boot)
    guard.dated = watch.hear
    return guard, watch


def _needs_archive(config: Config, registry: Registry, now: datetime, *, changing: bool) -> bool:
    """Whether there are copies to make or remove or, in a plan, to see what removals have left."""
    is_past = bool(registry.copies.past(now, limit=1))
    is_told = not changing and bool(registry.threads.open_intents(limit=1))
    is_begun = changing or registry.copies.archive_url() == config.archive.url
    is_begun = is_begun or config.archive.path.exists()  # otherwise a sweep creates it
    return is_past or is_told or (is_begun and promises_copies(registry, config.policies))


def _archive(
    config: Config, registry: Registry, *, is_used: bool, changing: bool
) -> tuple[Archive | None, ArchiveError | None]:
    """The archive, or why it cannot be used; one that was used before must still exist.

    Neither if this run does not use it. Without `changing` it is only read, and not created.
    """
    if not is_used:
        return None, None
    url = config.archive.url
    try:
        return Archive.open(url, create=changing, known=registry.copies.archive_url() == url), None
    except ArchiveError as error:
        return None, error


def _sleep_until(stop: threading.Event | None) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        ends_at = monotonic() + seconds
        while (left := ends_at - monotonic()) > 0:
            if stop is not None and stop.is_set():
                raise StoppedError("stopped while waiting for a rate limit")
            await asyncio.sleep(min(left, BEAT))

    return sleep


Reserve = Callable[[str], AbstractAsyncContextManager[None]]


def reservation(pace: ProjectLimiter, urgency: Urgency = Urgency.SWEEP) -> Reserve:
    """A function that waits for the turn of a request with a given method."""

    def reserve(method: str) -> AbstractAsyncContextManager[None]:
        return pace.reserved(verb_of(method), urgency)

    return reserve


def transport_stack(
    outbound: Transport,
    pace: ProjectLimiter,
    guard: SendGuard,
    urgency: Urgency = Urgency.SWEEP,
) -> Transport:
    """The layers that each request of a project passes on its way to `outbound`.

    The first renews an old look when the request's turn comes; the next paces, counts and retries
    it; the last is the guard, right before the request is sent.
    """
    paced = PacedTransport(GuardedTransport(outbound, guard), pace, urgency=urgency)
    return FreshTransport(paced, reservation(pace, urgency))


async def _connected(
    stack: AsyncExitStack,
    project: Project,
    target: Target,
    pace: ProjectLimiter,
    *,
    urgency: Urgency,
    guard: SendGuard,
    screen: MetadataFilter,
    changing: bool,
) -> ConnectedProject:
    reserve = reservation(pace, urgency)
    transport = (
        ClosedTransport(target.closed)
        if target.closed
        else transport_stack(Outbound(project.concurrency), pace, guard, urgency)
    )
    opened = connect(target.endpoint, transport=transport, concurrency=project.concurrency)
    drivers = await stack.enter_async_context(opened)
    served = {
        kind: filtered(driver if changing else read_only(driver), screen)
        for kind, driver in drivers.items()
        if kind in project.kinds
    }
    return ConnectedProject(
        project.name,
        served,
        target.endpoint.fingerprint,
        concurrency=project.concurrency,
        trust_reported=project.trust_reported,
        not_found=project.not_found,
        discovers=project.discover,
        account=target.account,
        account_is_known=target.account_is_known,
        reserve=reserve,
        limiter=pace,
    )
