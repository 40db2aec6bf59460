"""Metrics of one-off runs, for the node exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from janitor.errors import ConfigError, StoreError

ALL_RUNS = 1_000_000

if TYPE_CHECKING:
    from janitor.metrics import Metrics
    from janitor.registry import Registry
    from janitor.sweep import Report


def require_writable(path: Path) -> None:
    """Refuse a place that cannot be written, before anything is done.

    Raises:
        ConfigError: The directory does not exist or takes no file.
    """
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=".janitor-"):
            pass
    except OSError as error:
        message = f"{path}: metrics cannot be written there: {error.strerror}; choose another place"
        raise ConfigError(message) from error


def write_metrics(metrics: Metrics, registry: Registry, report: Report, path: Path) -> None:
    """Write everything that is known after a run; totals come from the registry's history.

    Raises:
        StoreError: The file cannot be written.
    """
    fill(metrics, registry, report)
    try:
        metrics.write(path)
    except OSError as error:
        message = f"{path}: metrics cannot be written: {error.strerror}; the run itself is closed"
        raise StoreError(message) from error


def fill(metrics: Metrics, registry: Registry, report: Report) -> None:
    """Set the gauges and totals that the registry and the report know."""
    run = report.run
    metrics.registry_up.set(1)
    metrics.load_threads(registry.states())
    metrics.inbox_rows.set(registry.undrained())
    metrics.holds.set(len(registry.holds(run.started_at)))
    metrics.unmatched.set(report.backlog.kept["unmatched"])
    metrics.future_dated.set(report.backlog.kept["future_dated"])
    for (policy, stage), number in report.backlog.stages.items():
        metrics.due.labels(policy, stage).set(number)
    for rule in report.backlog.silent_rules:
        metrics.silent_rules.labels(rule).set(1)
    for policy, tripped in report.backlog.tripped.items():
        metrics.limit_tripped.labels(tripped.limit, policy).set(1)
    for stop in report.stops:
        metrics.limit_tripped.labels(stop.limit, "").set(1)
    for past in registry.runs(limit=ALL_RUNS):
        if past.result is not None:
            metrics.sweeps.labels(past.result).inc()
    if (last := registry.last_completed(run.closed_at or run.started_at)) is not None:
        metrics.succeeded(last)
    if run.closed_at is not None:
        metrics.sweep_seconds.observe((run.closed_at - run.started_at).total_seconds())
