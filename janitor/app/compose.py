"""Builds the parts of a run from a configuration: the one place where packages are joined.

The registry, each project's endpoint, rate limiter and drivers, the archive, and the clocks.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import cast

from janitor.addresses import address_of
from janitor.archive import Archive
from janitor.config import Config, Project
from janitor.drivers import Driver, Endpoint, SendGuard, filtered, read_only
from janitor.drivers.connect import ClosedTransport, Outbound, Transport, connect
from janitor.drivers.guarded_transport import FreshTransport, GuardedTransport
from janitor.engine.clock import ClockWatch, Uptime
from janitor.engine.context import ConnectedProject, RunContext, RunNotice
from janitor.engine.progress import Progress
from janitor.engine.redecide import approved_beside, promises_copies
from janitor.errors import ArchiveError, ConfigError, NoRegistryError, StoppedError
from janitor.kinds import CATALOGUE
from janitor.metrics import Metrics
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

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
VARIABLE = "JANITOR_BOOT_ID"
"""Gives the boot id if the sandbox of a service hides the file (`%b` in systemd)."""


def uptime() -> Uptime | None:
    """The current boot and the time since; `None` if the system does not tell (not Linux)."""
    from janitor.engine.clock import Uptime

    try:
        boot = os.environ.get(VARIABLE) or BOOT_ID.read_text("ascii").strip()
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return None
    return Uptime(boot.replace("-", ""), timedelta(seconds=seconds))


def pace_of(
    project: Project,
    registry: Registry,
    metrics: Metrics,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float] | None = None,
    *,
    changing: bool,
    progress: Progress | None = None,
) -> ProjectLimiter:
    """The rate limiter of a project; the rates it finds are stored in the registry if `changing`.

    Metrics and `progress` get each event, and `progress` predicts by the limiter.
    """

    def tell(event: Event) -> None:
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


STAND_IN = "unreadable"


@dataclass(frozen=True, slots=True)
class Target:
    """One project's endpoint, or why no call can be made to it (`closed`).

    Which account an unreadable secret opens is unknown. It may be that of any project at the same
    address, so these projects share one `account` until the secret can be read, and
    `account_is_known` is false for all of them.
    """

    endpoint: Endpoint
    account: str
    account_is_known: bool = True
    closed: str | None = None


def targets(projects: Mapping[str, Project]) -> dict[str, Target]:
    """Each project's target, by name; an unreadable secret stops only its own project.

    Raises:
        ConfigError: No project's secret can be read.
    """
    opened: dict[str, Endpoint] = {}
    failed: dict[str, ConfigError] = {}
    for name, project in projects.items():
        try:
            opened[name] = endpoint(project)
        except ConfigError as error:
            failed[name] = error
    if failed and not opened:
        raise next(iter(failed.values()))
    unread = {name: endpoint(project, STAND_IN) for name, project in projects.items()}
    unsure = {unread[name].account for name in failed}

    def target(name: str) -> Target:
        is_known = unread[name].account not in unsure
        found = opened.get(name, unread[name])
        account = found.account if is_known else unread[name].account
        return Target(found, account, is_known, _why(name, failed.get(name)))

    return {name: target(name) for name in projects}


def _why(name: str, error: ConfigError | None) -> str | None:
    if error is None:
        return None
    return (
        f"project {name}: {error}. The project is stopped; none of its threads are read or "
        "removed. Fix that, then run: janitor plan"
    )


def endpoint(project: Project, api_key: str | None = None) -> Endpoint:
    """A project's endpoint, with its secret read again unless `api_key` stands in for it.

    Raises:
        ConfigError: The secret cannot be read, or cannot be sent in a header.
    """
    azure = project.azure
    return Endpoint(
        project.name,
        api_key or _api_key(project) or "none",
        base_url=project.base_url,
        organization=project.organization,
        project=project.project,
        query=project.query,
        headers=project.headers,
        azure_endpoint=azure.endpoint if azure else None,
        azure_api_version=azure.api_version if azure else None,
        timeout=project.timeout.total_seconds(),
        not_found=project.not_found,
    )


def _api_key(project: Project) -> str:
    """The project's secret; one that is unfit for a header would fail each call or add a header."""
    key = project.api_key.reveal()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"projects.{project.name}.api_key: the value of {project.api_key} is not an API key: "
            "it contains a line break or a non-ASCII character"
        )
    return key


BEAT = 0.2
Clock = Callable[[], datetime]

LEASE_SECONDS = 30.0
LONGEST_LEASE = 3600.0
LEASE_VARIABLE = "JANITOR_LEASE_SECONDS"
"""Shortens the leases of replicas, so that their end can be tested within seconds."""


def utc_now() -> datetime:
    """The clock that everything uses, except tests and `--at`."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Time:
    """How a run tells the time and waits.

    `now` returns aware UTC; `steady` returns seconds since the epoch that are never set back, and
    `sleep` waits for rate limits: the machine's own if they are `None`. `uptime` tells the time
    since boot; a clock other than the machine's has none.
    """

    now: Clock = utc_now
    uptime: Callable[[], Uptime | None] | None = None
    steady: Callable[[], float] | None = None
    sleep: Callable[[float], Awaitable[None]] | None = None


def open_registry(config: Config, *, read_only: bool = False, create: bool = False) -> Registry:
    """The registry that a configuration names, migrated unless it is `read_only`.

    Only commands that fill it or sweep may `create` it: otherwise a query to a missing registry
    would be answered by an empty one.

    Raises:
        ConfigError: It is not a registry, has another version, or is not writable.
        StoreError: It is full or locked.
    """
    distrusted = frozenset(n for n, p in config.projects.items() if not p.trust_reported)
    return Registry.open(
        config.registry.url,
        password=config.registry.password.reveal() or None,
        read_only=read_only,
        create=create,
        untrusted=distrusted,
        screen=config.screen,
        lease=_lease(),
    )


@contextmanager
def trial_registry(config: Config) -> Iterator[Registry]:
    """The registry, only read, for a dry run; a temporary empty one if there is none yet.

    Raises:
        ConfigError, StoreError: As for `open_registry`.
    """
    with ExitStack() as stack:
        try:
            registry = open_registry(config, read_only=True)
        except NoRegistryError:
            directory = stack.enter_context(TemporaryDirectory(prefix="janitor-dry-run-"))
            registry = Registry.open(address_of(f"{directory}/janitor.db"), screen=config.screen)
        yield stack.enter_context(registry)


def _lease() -> timedelta:
    stored = os.environ.get(LEASE_VARIABLE)
    try:
        seconds = LEASE_SECONDS if stored is None else float(stored)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_LEASE:
        most = f"more than 0 and at most {LONGEST_LEASE:g}"
        raise ConfigError(f"{LEASE_VARIABLE}: write a number of seconds, {most}; or unset it")
    return timedelta(seconds=seconds)


@asynccontextmanager
async def compose(
    config: Config,
    registry: Registry,
    *,
    changing: bool,
    time: Time = Time(),
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
    observed, progress = metrics or Metrics(), progress or Progress()
    is_used = copying or _needs_archive(config, registry, time.now(), changing=changing)
    archive, archive_error = _archive(config, registry, is_used=is_used, changing=changing)
    shared = (registry, observed, time.sleep or _sleep_until(stop), time.steady)
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


def offline_context(config: Config, registry: Registry) -> RunContext:
    """The context for decisions from the registry's facts alone: no driver is ever asked.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    nobody = cast("Driver", None)
    projects = {
        name: ConnectedProject(
            name,
            dict.fromkeys(one.kinds, nobody),
            "",
            trust_reported=one.trust_reported,
            account=_account(one),
        )
        for name, one in config.projects.items()
    }
    approved = approved_beside(registry, config.policies)
    policies, sources = config.policies, tuple(config.sources)
    return RunContext(
        *(registry, projects, None, policies, utc_now, lambda _: None),
        sources=sources,
        approved=approved,
    )


def _account(project: Project) -> str:
    """The project's account; if its secret cannot be read, one computed from its reference."""
    try:
        return endpoint(project).account
    except ConfigError:
        return endpoint(project, project.api_key.reference).account


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
