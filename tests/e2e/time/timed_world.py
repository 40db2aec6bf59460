"""A service in virtual time: an emulated API on loopback, files on disk, and its metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from virtual_time import VirtualClock, awaited

from janitor.app.open_registry import open_registry
from janitor.app.service_loop import ServiceLoop
from janitor.config import load
from janitor.emulator import Emulator
from janitor.metrics import Metrics
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

KEY = "sk-timed"
CONFIG = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///janitor.db"}}
projects:
  main:
    api_key: {{env: JANITOR_TIMED_KEY}}
    base_url: "{base_url}"
    concurrency: {at_once}
    rate: {rate}
{more}
"""


@dataclass
class Timed:
    """What `serve` holds between its sweeps, and the server that it sweeps."""

    directory: Path
    server: Emulator
    clock: VirtualClock
    base_url: str
    registry: Registry
    live: ServiceLoop
    metrics: Metrics

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def add(self, created_at: datetime, items: int = 0, *, kind: Kind = Kind.CONVERSATION) -> Key:
        """A container at the server that the registry knows, never touched since."""
        made = self.server.add(kind, created_at=created_at, items=items)
        key = Key("main", kind, made)
        said = Registration(key, created_at, created_at, None, {})
        self.registry.registrations.add([said], self.now)
        return key

    def sweep(self) -> None:
        """What `serve` does whenever its schedule says so."""
        self.live.sweep(threading.Event())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples with these labels, as a scrape now would find them."""
        self.live.refresh()
        samples = (one for family in self.metrics.families() for one in family.samples)
        return sum(
            s.value for s in samples if s.name == name and labels.items() <= s.labels.items()
        )


@contextmanager
def timed(
    directory: Path,
    server: Emulator,
    clock: VirtualClock,
    rate: str,
    more: str,
    *,
    at_once: int = 8,
    latency: float = 0.0,
) -> Iterator[Timed]:
    """The service, swept by hand; each of its requests takes `latency` in virtual time."""
    with pytest.MonkeyPatch.context() as patch, awaited(clock, latency), server.serve() as served:
        patch.setenv("JANITOR_TIMED_KEY", KEY)
        file = directory / "janitor.yaml"
        text = CONFIG.format(base_url=served.base_url, at_once=at_once, rate=rate, more=more)
        file.write_text(text, encoding="utf-8")
        config, metrics = load(file), Metrics()
        with open_registry(config, create=True) as registry:
            live = ServiceLoop(file, config, registry, metrics, clock.time)
            yield Timed(directory, server, clock, served.base_url, registry, live, metrics)
