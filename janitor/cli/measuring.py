"""What metrics say: history at the start, the registry at each look, a report at each end."""

from __future__ import annotations

from janitor.metrics import Metrics
from janitor.registry import Registry
from janitor.sweep import Report

ALL_RUNS = 1_000_000


def begin(metrics: Metrics, registry: Registry) -> None:
    """Start the counters where all earlier runs left them, so that they never fall."""
    metrics.load_actions(registry.totals())
    for past in registry.runs(limit=ALL_RUNS):
        if past.result is not None:
            metrics.sweeps.labels(past.result).inc()


def look(metrics: Metrics, registry: Registry) -> None:
    """Set the gauges that the registry knows without a scan."""
    from janitor.cli.showing import now

    at = now()
    metrics.load_threads(registry.states())
    metrics.inbox_rows.set(registry.undrained())
    metrics.holds.set(len(registry.holds(at)))
    metrics.unapproved.set(0)
    if (last := registry.last_completed(at)) is not None:
        metrics.succeeded(last)
    metrics.registry_up.set(1)


def end(metrics: Metrics, report: Report) -> None:
    """Take in what a run reported; what no longer holds is taken back."""
    run, backlog = report.run, report.backlog
    for gauge in (metrics.due, metrics.silent_rules, metrics.limit_tripped, metrics.overdue):
        gauge.clear()
    metrics.unmatched.set(backlog.kept["unmatched"])
    metrics.future_dated.set(backlog.kept["future_dated"])
    for (policy, stage), number in backlog.stages.items():
        metrics.due.labels(policy, stage).set(number)
    for rule in backlog.silent_rules:
        metrics.silent_rules.labels(rule).set(1)
    for policy, tripped in backlog.tripped.items():
        metrics.limit_tripped.labels(tripped.limit, policy).set(1)
    for stop in report.stops:
        metrics.limit_tripped.labels(stop.limit, "").set(1)
    if run.result is not None:
        metrics.sweeps.labels(run.result).inc()
    if run.closed_at is not None:
        metrics.sweep_seconds.observe((run.closed_at - run.started_at).total_seconds())
