"""Every metric, declared once, in a registry of its own. Labels never hold an id or metadata."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import mkstemp
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    make_asgi_app,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from janitor.distribution import VERSION
from janitor.errors import ConfigError
from janitor.model import Kind, Outcome, Stage, State

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Labels = TypeVar("Labels", bound=tuple[str, ...])
Totals = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
"""The values of counters and histograms, by a sample's name and labels."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SWEEP_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 7200, 21600)
COUNTED = frozenset({"counter", "histogram"})
SHARED = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def check_environment() -> None:
    """Refuse to count into files that several processes share.

    Raises:
        ConfigError: The environment asks for such files; names the variable.
    """
    for variable in SHARED:
        if variable in os.environ:
            raise ConfigError(
                f"{variable} is set, but janitor counts in one process and would count what is in "
                f"shared files again. Unset it: env -u {variable} janitor ..."
            )


class Metrics:
    """The metrics of one process; after `carry` they continue where earlier processes ended.

    Raises `ConfigError` if the environment wants them in files that several processes share.
    """

    def __init__(self) -> None:
        check_environment()
        self._own = CollectorRegistry()
        self._carried: Totals = {}
        self._shown: dict[Gauge, frozenset[tuple[str, ...]]] = {}
        self.collectors = CollectorRegistry()
        self.collectors.register(_Joined(self))
        for declare in (
            self._declare_threads,
            self._declare_actions,
            self._declare_sweeps,
            self._declare_sources,
            self._declare_calls,
            self._declare_state,
        ):
            declare(self._own)

    def _declare_threads(self, r: CollectorRegistry) -> None:
        self.threads = Gauge(
            "janitor_threads", "Registered threads.", ["project", "kind", "state"], registry=r
        )
        self.due = Gauge(
            "janitor_due_threads",
            "Stages that were due when the last sweep began.",
            ["policy", "stage"],
            registry=r,
        )
        self.overdue = Gauge(
            "janitor_overdue_seconds",
            "Age of the oldest stage still due after the last sweep; absent in audit mode.",
            ["policy"],
            registry=r,
        )
        self.failing = Gauge(
            "janitor_failing_threads",
            "Threads still due after the last sweep because their last attempt failed.",
            ["project"],
            registry=r,
        )
        self.unmatched = Gauge(
            "janitor_unmatched_threads",
            "Threads that the last sweep looked at and no policy matches; they are kept.",
            registry=r,
        )
        self.future_dated = Gauge(
            "janitor_future_dated_threads",
            "Threads dated in the future that the last sweep looked at; they are kept.",
            registry=r,
        )
        self.inbox_rows = Gauge("janitor_inbox_rows", "Inbox rows not yet drained.", registry=r)
        self.inbox_refused = Gauge(
            "janitor_inbox_refused_rows",
            "Inbox rows refused in the last 30 days.",
            registry=r,
        )

    def _declare_actions(self, r: CollectorRegistry) -> None:
        self.actions = Counter(
            "janitor_actions",
            "Stages by outcome: done, kept, busy, missing or failed.",
            ["policy", "stage", "outcome"],
            registry=r,
        )
        self.kept = Counter("janitor_kept", "Threads checked and kept.", ["reason"], registry=r)
        self.archived_bytes = Counter(
            "janitor_archive_bytes", "Bytes stored in the archive.", ["project"], registry=r
        )
        self.archive_pruned = Counter(
            "janitor_archive_pruned",
            "Archive copies removed after their keep_for.",
            ["project"],
            registry=r,
        )
        self.archive_objects = Gauge(
            "janitor_archive_objects", "Threads with a copy in the archive.", registry=r
        )

    def _declare_sweeps(self, r: CollectorRegistry) -> None:
        self.sweep_seconds = Histogram(
            "janitor_sweep_duration_seconds",
            "Duration of sweeps.",
            buckets=SWEEP_SECONDS,
            registry=r,
        )
        self.last_success = Gauge(
            "janitor_sweep_last_success_timestamp_seconds",
            "When the last full sweep ended; 0 before the first.",
            registry=r,
        )
        self.expected_end = Gauge(
            "janitor_sweep_expected_end_timestamp_seconds",
            "When the sweep under way is expected to end, by its mode; absent while none is known.",
            ["mode"],
            registry=r,
        )
        self.sweeps = Counter(
            "janitor_sweeps",
            "Sweeps by result: done, partial, limited or failed.",
            ["result"],
            registry=r,
        )
        self.applies = Counter(
            "janitor_applies",
            "Runs of reviewed plans by result: done, partial, limited, failed or refused.",
            ["result"],
            registry=r,
        )
        self.plans_waiting = Gauge(
            "janitor_plans_waiting", "Plans handed over and not yet applied.", registry=r
        )
        self.limit_tripped = Gauge(
            "janitor_limit_tripped",
            "1 if this limit stopped the last sweep; a project's stop names no policy.",
            ["limit", "policy"],
            registry=r,
        )
        self.silent_rules = Gauge(
            "janitor_rules_matching_nothing",
            "1 if a rule matches no thread; perhaps a typo.",
            ["rule"],
            registry=r,
        )

    def _declare_sources(self, r: CollectorRegistry) -> None:
        self.source_success = Gauge(
            "janitor_source_last_success_timestamp_seconds",
            "When a source was last read to its end; 0 before the first.",
            ["source"],
            registry=r,
        )
        self.source_up = Gauge(
            "janitor_source_up",
            "1 if the last reading of a source was complete; while 0, its threads are kept.",
            ["source"],
            registry=r,
        )
        self.list_up = Gauge(
            "janitor_list_up",
            "1 if the last walk of a list that discovery reads was complete.",
            ["project", "kind"],
            registry=r,
        )
        self.inbox_up = Gauge(
            "janitor_inbox_up",
            "1 if the inbox can be read; while 0, no thread is removed.",
            registry=r,
        )
        self.source_rows = Counter(
            "janitor_source_rows",
            "Rows of a source: added, updated, unchanged or refused; and threads that vanished.",
            ["source", "result"],
            registry=r,
        )

    def _declare_calls(self, r: CollectorRegistry) -> None:
        self.requests = Counter(
            "janitor_api_requests",
            "Requests to the API by status; `error` if no answer came.",
            ["project", "kind", "call", "status"],
            registry=r,
        )
        self.request_seconds = Histogram(
            "janitor_api_request_seconds",
            "Time until the response headers arrive.",
            ["kind", "call"],
            buckets=SECONDS,
            registry=r,
        )
        self.paused = Counter(
            "janitor_paused_seconds",
            "Length of the pauses that the provider asked for by a 429 or a `Retry-After`.",
            registry=r,
        )
        self.rate = Gauge(
            "janitor_rate_per_minute",
            "Calls per minute that a project may currently make.",
            ["project", "verb"],
            registry=r,
        )

    def _declare_state(self, r: CollectorRegistry) -> None:
        self.holds = Gauge("janitor_holds", "Holds in force.", registry=r)
        self.unapproved = Gauge(
            "janitor_policies_unapproved",
            "Threads that changed policies would mark or remove earlier, once approved.",
            registry=r,
        )
        self.pauses = Gauge(
            "janitor_paused_info",
            "1 while a pause is in force: of everything, a project or a policy.",
            ["scope"],
            registry=r,
        )
        self.reloaded = Gauge(
            "janitor_config_last_reload_successful",
            "1 if the current configuration file is in force, 0 if it was refused.",
            registry=r,
        )
        self.registry_up = Gauge("janitor_registry_up", "1 while the registry answers.", registry=r)
        self._build = Gauge(
            "janitor_build_info",
            "The running version.",
            ["version", "python", "openai"],
            registry=r,
        )
        self._build.labels(VERSION, platform.python_version(), version("openai")).set(1)

    def load_threads(self, states: Mapping[tuple[str, Kind, State], int]) -> None:
        """Set the gauges of registered threads from the count table."""
        for (project, kind, state), number in states.items():
            self.threads.labels(project, kind, state).set(number)

    def load_actions(self, totals: Mapping[tuple[str, Stage, Outcome], int]) -> None:
        """Start the counters of actions at the totals of all runs, so that they never fall."""
        for (policy, stage, outcome), number in totals.items():
            self.actions.labels(policy, stage, outcome).inc(number)

    def show(self, gauge: Gauge, values: Mapping[Labels, float]) -> None:
        """Set a gauge for these labels, and remove the labels that were set last time but not now.

        A scrape in between finds the new labels, and at worst the old ones, too.
        """
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        shown = frozenset[tuple[str, ...]](values)
        for gone in self._shown.get(gauge, frozenset()) - shown:
            gauge.remove(*gone)
        self._shown[gauge] = shown

    def succeeded(self, at: datetime) -> None:
        """Record when the last sweep ended well."""
        self.last_success.set(at.timestamp())

    def carry(self, totals: Totals) -> None:
        """Start the counters from the totals of earlier processes."""
        self._carried = totals

    def grown(self) -> Totals:
        """What this process has added to the counters, without the carried totals.

        Actions are left out: the registry keeps their totals itself, even through crashes.
        """
        families = (one for one in self._own.collect() if one.type in COUNTED)
        counted = (one for one in families if one.name != "janitor_actions")
        return {_place(sample): sample.value for one in counted for sample in _lasting(one)}

    def families(self) -> Iterator[Metric]:
        """Every metric with its samples, including the carried totals."""
        for family in self._own.collect():
            shown = Metric(family.name, family.documentation, family.type, family.unit)
            own = {_place(sample): sample.value for sample in _lasting(family)}
            names = {f"{family.name}{ending}" for ending in ("_total", "_bucket", "_count", "_sum")}
            carried = {place: n for place, n in self._carried.items() if place[0] in names}
            for place in (*own, *(place for place in carried if place not in own)):
                value = own.get(place, 0.0) + carried.get(place, 0.0)
                shown.samples.append(Sample(place[0], dict(place[1]), value))
            yield shown

    def app(self, refresh: Callable[[], None]) -> ASGIApp:
        """An ASGI application that exposes all metrics; it calls `refresh` to fill the gauges."""
        expose: ASGIApp = make_asgi_app(self.collectors)
        turn, begun = asyncio.Lock(), 0

        async def answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
            nonlocal begun
            before = begun
            async with turn:
                # Scrapes that wait for their turn share the next look at the registry.
                if begun == before:
                    begun += 1
                    await asyncio.to_thread(refresh)
            headers = [header for header in scope["headers"] if _is_readable(*header)]
            await expose({**scope, "headers": headers}, receive, send)

        return answer

    def write(self, path: Path) -> None:
        """Write all metrics for the node exporter's textfile collector, atomically.

        Every user may read the file and only its owner may write it, whatever the umask.

        Raises:
            OSError: The file cannot be written.
        """
        descriptor, name = mkstemp(dir=path.parent, prefix=".janitor-")
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as written:
                written.write(generate_latest(self.collectors))
                os.fchmod(descriptor, 0o644)
            draft.replace(path)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


class _Joined(Collector):
    """The collector that exposes all metrics, with the carried totals added."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """No name is reserved: this is the only collector."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Every metric with its current values."""
        return self._metrics.families()


def _is_readable(name: bytes, value: bytes) -> bool:
    """Whether prometheus_client reads a header without an exception."""
    try:
        if name == b"accept":
            choose_encoder(value.decode())
    except (TypeError, ValueError):
        return False
    return value.isascii()


def _lasting(family: Metric) -> Iterator[Sample]:
    """The samples without `_created`, which says when a process began to count."""
    return (sample for sample in family.samples if not sample.name.endswith("_created"))


def _place(sample: Sample) -> tuple[str, tuple[tuple[str, str], ...]]:
    return sample.name, tuple(sample.labels.items())
