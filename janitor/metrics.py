"""Every metric, declared once, in a registry of its own. Labels never hold an id or metadata."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    make_asgi_app,
    write_to_textfile,
)

from janitor.model import Kind, Outcome, Stage, State

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SWEEP_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 7200, 21600)


class Metrics:
    """The metrics of one process, or of a registry's history when they are loaded from it."""

    def __init__(self) -> None:
        r = self.collectors = CollectorRegistry()
        self.threads = Gauge(
            "janitor_threads", "Registered threads.", ["project", "kind", "state"], registry=r
        )
        self.due = Gauge(
            "janitor_due_threads", "Due and not done.", ["policy", "stage"], registry=r
        )
        self.actions = Counter(
            "janitor_actions",
            "Stages by how they ended.",
            ["policy", "stage", "outcome"],
            registry=r,
        )
        self.kept = Counter("janitor_kept", "Threads looked at and kept.", ["reason"], registry=r)
        self.sweep_seconds = Histogram(
            "janitor_sweep_duration_seconds",
            "Duration of sweeps.",
            buckets=SWEEP_SECONDS,
            registry=r,
        )
        self.last_success = Gauge(
            "janitor_sweep_last_success_timestamp_seconds",
            "When the last sweep ended well.",
            registry=r,
        )
        self.sweeps = Counter("janitor_sweeps", "Sweeps by how they ended.", ["result"], registry=r)
        self.requests = Counter(
            "janitor_api_requests",
            "Requests to the API by status; `error` where none came.",
            ["project", "kind", "call", "status"],
            registry=r,
        )
        self.request_seconds = Histogram(
            "janitor_api_request_seconds",
            "Time to the answer's headers.",
            ["kind", "call"],
            buckets=SECONDS,
            registry=r,
        )
        self.paused = Counter(
            "janitor_paused_seconds", "Time that a rate limit made us wait.", registry=r
        )
        self.rate = Gauge(
            "janitor_rate_per_minute",
            "Calls a minute that a verb is kept at.",
            ["project", "verb"],
            registry=r,
        )
        self.archived_bytes = Counter(
            "janitor_archive_bytes", "Bytes stored in the archive.", ["project"], registry=r
        )
        self.limit_tripped = Gauge(
            "janitor_limit_tripped",
            "1 while a safety limit holds.",
            ["limit", "policy"],
            registry=r,
        )
        self.unmatched = Gauge(
            "janitor_unmatched_threads", "Due for review and matched by no policy.", registry=r
        )
        self.future_dated = Gauge(
            "janitor_future_dated_threads", "Kept for a time that is yet to come.", registry=r
        )
        self.silent_rules = Gauge(
            "janitor_rules_matching_nothing",
            "1 where a rule matches no thread.",
            ["rule"],
            registry=r,
        )
        self.reloaded = Gauge(
            "janitor_config_last_reload_successful",
            "1 where the configuration last read is in force.",
            registry=r,
        )
        self.unapproved = Gauge(
            "janitor_policies_unapproved", "Tightenings that wait for approval.", registry=r
        )
        self.archive_objects = Gauge(
            "janitor_archive_objects", "Copies that the registry knows.", registry=r
        )
        self.pauses = Gauge("janitor_paused_info", "1 while paused.", ["scope"], registry=r)
        self.overdue = Gauge(
            "janitor_overdue_seconds",
            "Age of the oldest thing due and not done; silent under audit.",
            ["policy"],
            registry=r,
        )
        self.holds = Gauge("janitor_holds", "Holds in force.", registry=r)
        self.inbox_rows = Gauge("janitor_inbox_rows", "Inbox rows not yet drained.", registry=r)
        self.registry_up = Gauge("janitor_registry_up", "1 while the registry answers.", registry=r)
        self._build = Gauge(
            "janitor_build_info", "What runs.", ["version", "python", "openai"], registry=r
        )
        self._build.labels(version("janitor"), platform.python_version(), version("openai")).set(1)

    def load_threads(self, states: Mapping[tuple[str, Kind, State], int]) -> None:
        """Set the gauges of registered threads from the count table."""
        for (project, kind, state), number in states.items():
            self.threads.labels(project, kind, state).set(number)

    def load_actions(self, totals: Mapping[tuple[str, Stage, Outcome], int]) -> None:
        """Start the counters of actions at the totals of all runs, so that they never fall."""
        for (policy, stage, outcome), number in totals.items():
            self.actions.labels(policy, stage, outcome).inc(number)

    def succeeded(self, at: datetime) -> None:
        """Record when the last sweep ended well."""
        self.last_success.set(at.timestamp())

    def app(self, refresh: Callable[[], None]) -> ASGIApp:
        """An ASGI application that exposes all metrics; `refresh` fills the gauges before."""
        expose: ASGIApp = make_asgi_app(self.collectors)

        async def answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
            await asyncio.to_thread(refresh)
            await expose(scope, receive, send)

        return answer

    def write(self, path: Path) -> None:
        """Write all metrics for the node exporter's textfile collector, atomically.

        Raises:
            OSError: The file cannot be written.
        """
        write_to_textfile(str(path), self.collectors)
