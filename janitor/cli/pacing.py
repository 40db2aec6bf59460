"""How a project's calls are paced and counted, as its configuration says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from janitor.catalogue import CATALOGUE
from janitor.config import Config, Project
from janitor.metrics import Metrics
from janitor.pace import (
    Event,
    Exchange,
    Ledger,
    Own,
    Paced,
    Paused,
    ProjectPace,
    Recalling,
    Shared,
    Verb,
)
from janitor.registry import Registry


def pace_of(
    project: Project,
    registry: Registry,
    metrics: Metrics,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float] | None = None,
    *,
    changing: bool,
) -> ProjectPace:
    """The pace of a project; what it finds is kept in the registry where that may be written."""
    return ProjectPace(
        project.name,
        rates={Verb(verb): rate for verb, rate in asdict(project.rate).items()},
        concurrency=project.concurrency,
        ledger=_ledger(registry, clock, changing=changing),
        clock=clock,
        sleep=sleep,
        tell=lambda event: _observe(metrics, project.name, event),
    )


def show_rates(config: Config, registry: Registry, metrics: Metrics) -> None:
    """Tell the rate of each project and verb, as far as it is known before the first call."""
    for project in config.projects.values():
        pace_of(project, registry, metrics, asyncio.sleep, changing=False)


def _ledger(registry: Registry, clock: Callable[[], float] | None, *, changing: bool) -> Ledger:
    """Replicas that share a registry share its buckets; a lease is what tells them."""
    if not changing:
        return Own(Recalling(registry), clock)
    return Own(registry, clock) if registry.lease is None else Shared(registry)


def _observe(metrics: Metrics, project: str, event: Event) -> None:
    match event:
        case Exchange():
            _count(metrics, project, event)
        case Paused():
            metrics.paused.inc(event.seconds)
        case Paced():
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
