"""From a configuration to the parts of a run: the one place where rooms are joined."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import cast

from janitor.archive import Archive
from janitor.cli.pacing import pace_of
from janitor.cli.targets import Target, endpoint, targets
from janitor.cli.uptime import uptime
from janitor.config import Config, Project
from janitor.drivers import (
    ClosedTransport,
    Driver,
    FreshTransport,
    Guard,
    GuardedTransport,
    Outbound,
    connect,
    read_only,
    screened,
)
from janitor.errors import ArchiveError, ConfigError, StoppedError
from janitor.metrics import Metrics
from janitor.pace import PacedTransport, ProjectPace, Urgency, verb_of
from janitor.policy.screen import Screen
from janitor.registry import Registry
from janitor.sweep import Notice, Parts
from janitor.sweep import Project as Reach
from janitor.sweep.approval import approved_beside, promises_copies
from janitor.sweep.clocks import ClockWatch, Uptime

BEAT = 0.2
Clock = Callable[[], datetime]

LEASE_SECONDS = 30.0
LONGEST_LEASE = 3600.0
LEASE_VARIABLE = "JANITOR_LEASE_SECONDS"
"""Shortens the leases of replicas, so that what happens at their end can be tried in seconds."""


def utc_now() -> datetime:
    """The clock of everything but tests and `--at`."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Time:
    """How a run tells the time and waits.

    `now` gives aware UTC; `steady` seconds since the epoch that are never set back, and `sleep`
    waits for rate limits: the machine's own where they are `None`. `uptime` tells the time since
    boot; another clock than the machine's has none.
    """

    now: Clock = utc_now
    uptime: Callable[[], Uptime | None] | None = None
    steady: Callable[[], float] | None = None
    sleep: Callable[[float], Awaitable[None]] | None = None


def open_registry(config: Config, *, read_only: bool = False, create: bool = False) -> Registry:
    """The registry that a configuration names, migrated unless it is only read.

    Only what fills it, or sweeps, is to `create` it: what is asked of a registry that is not there
    would else be answered by an empty one.

    Raises:
        ConfigError: It is no registry, is of another version, or may not be written.
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


def _lease() -> timedelta:
    said = os.environ.get(LEASE_VARIABLE)
    try:
        seconds = LEASE_SECONDS if said is None else float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_LEASE:
        most = f"more than 0 and at most {LONGEST_LEASE:g}"
        raise ConfigError(f"{LEASE_VARIABLE}: write a number of seconds, {most}; or unset it")
    return timedelta(seconds=seconds)


@asynccontextmanager
async def parts(
    config: Config,
    registry: Registry,
    *,
    changing: bool,
    time: Time = Time(),
    metrics: Metrics | None = None,
    notify: Callable[[Notice], None] = lambda _: None,
    urgency: Urgency = Urgency.SWEEP,
    stop: threading.Event | None = None,
    copying: bool = False,
) -> AsyncIterator[Parts]:
    """Everything a run needs; without `changing` the drivers refuse every changing call.

    The archive is opened where a policy needs it or a copy is past its date, for `copying` in any
    case, and without `changing` also to tell what is left of removals that were begun. Once `stop`
    is set no request waits for a rate limit any more: it raises `StoppedError` instead.

    Raises:
        ConfigError: No project's secret can be read.
    """
    observed = metrics or Metrics()
    archive, archive_error = None, None
    if copying or _needs_archive(config, registry, time.now(), changing=changing):
        archive, archive_error = _archive(config, registry, changing=changing)
    sleep = time.sleep or _sleep_until(stop or threading.Event())
    guard, watch = _guarded(config, time)
    async with AsyncExitStack() as stack:
        reaches = {}
        for name, target in targets(config.projects).items():
            project = config.projects[name]
            limits = pace_of(project, registry, observed, sleep, time.steady, changing=changing)
            reaches[name] = await _reach(
                *(stack, project, target, limits),
                urgency=urgency,
                guard=guard,
                screen=registry.screen,
                changing=changing,
            )
        yield Parts(
            *(registry, reaches, archive, config.policies, time.now, notify),
            tombstones_keep_for=config.tombstones_keep_for,
            archive_error=archive_error,
            guard=guard,
            watch=watch,
            sources=tuple(config.sources),
        )
        if changing and archive is not None and archive.is_begun:
            registry.set_archive_url(config.archive.url)


def _guarded(config: Config, time: Time) -> tuple[Guard, ClockWatch]:
    """What holds changing requests back, and what it tells every date that an answer bears."""
    guard = Guard()
    since_boot = time.uptime or (uptime if time.now is utc_now else lambda: None)
    watch = ClockWatch(config.policies.limits.clock_step, time.now, since_boot)
    guard.dated = watch.hear
    return guard, watch


def unasked_parts(config: Config, registry: Registry) -> Parts:
    """What decisions from the registry's facts alone need: no driver is ever asked.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    nobody = cast("Driver", None)
    reaches = {
        name: Reach(
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
    return Parts(
        *(registry, reaches, None, policies, utc_now, lambda _: None),
        sources=sources,
        approved=approved,
    )


def _account(project: Project) -> str:
    """The project's account; where its secret cannot be read, as its reference tells it."""
    try:
        return endpoint(project).account
    except ConfigError:
        return endpoint(project, project.api_key.reference).account


def _needs_archive(config: Config, registry: Registry, now: datetime, *, changing: bool) -> bool:
    """Whether there are copies to make or to remove, or, in a plan, one tells what is left."""
    is_past = bool(registry.copies_past(now, limit=1))
    is_told = not changing and bool(registry.open_intents(limit=1))
    is_begun = changing or registry.archive_url() == config.archive.url
    is_begun = is_begun or config.archive.path.exists()  # else a sweep makes it
    return is_past or is_told or (is_begun and promises_copies(registry, config.policies))


def _archive(
    config: Config, registry: Registry, *, changing: bool
) -> tuple[Archive | None, ArchiveError | None]:
    """The archive, or why it does not serve; one that held copies before must still hold them.

    Without `changing` it is only read, and not begun.
    """
    url = config.archive.url
    try:
        return Archive.open(url, create=changing, known=registry.archive_url() == url), None
    except ArchiveError as error:
        return None, error


def _sleep_until(stop: threading.Event) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        ends_at = monotonic() + seconds
        while (left := ends_at - monotonic()) > 0:
            if stop.is_set():
                raise StoppedError("asked to stop while a rate limit was waited for")
            await asyncio.sleep(min(left, BEAT))

    return sleep


async def _reach(
    stack: AsyncExitStack,
    project: Project,
    target: Target,
    pace: ProjectPace,
    *,
    urgency: Urgency,
    guard: Guard,
    screen: Screen,
    changing: bool,
) -> Reach:
    def reserve(method: str) -> AbstractAsyncContextManager[None]:
        return pace.reserved(verb_of(method), urgency)

    def open_transport() -> FreshTransport:
        outbound = GuardedTransport(Outbound(project.concurrency), guard)
        return FreshTransport(PacedTransport(outbound, pace, urgency=urgency), reserve)

    transport = ClosedTransport(target.closed) if target.closed else open_transport()
    opened = connect(target.endpoint, transport=transport, concurrency=project.concurrency)
    drivers = await stack.enter_async_context(opened)
    served = {
        kind: screened(driver if changing else read_only(driver), screen)
        for kind, driver in drivers.items()
        if kind in project.kinds
    }
    return Reach(
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
    )
