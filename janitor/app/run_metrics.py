"""Sets the metrics: past counts at start, gauges at each scrape or write, each run's report.

The metrics of one-off runs go into a file, for the node exporter's textfile collector.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from janitor.causes import cause, is_scarce
from janitor.engine.context import RunContext
from janitor.engine.limits import overdue
from janitor.engine.progress import expected_end
from janitor.engine.report import APPLY, Report
from janitor.errors import ConfigError, StoreError
from janitor.registry import Registry
from janitor.registry.runs import SWEEPS
from janitor.sources.discovery import place_of
from janitor.sources.watermark import INBOX, is_source, memories

if TYPE_CHECKING:
    from janitor.metrics import Metrics, Totals

COUNTERS = "counters"
"""The name under which the registry stores what all processes have counted."""


class KeptCounters:
    """The counters of all processes, stored in the registry so that none of them ever decreases."""

    def __init__(self, metrics: Metrics, registry: Registry) -> None:
        self._metrics = metrics
        self._registry = registry
        self._kept: Totals = {}
        metrics.load_actions(registry.runs.totals())
        metrics.carry(_read(registry.key_values.recall(COUNTERS)))

    def keep(self) -> None:
        """Adds what was counted since the last call to the stored counters, if anything was.

        Raises:
            StoreError: The registry cannot be written; the next call adds it instead.
        """
        grown = self._metrics.grown()
        if grown == self._kept:
            return
        added = {place: value - self._kept.get(place, 0.0) for place, value in grown.items()}
        self._registry.key_values.alter(
            COUNTERS, lambda before, _: _spell(_sum(_read(before), added))
        )
        self._kept = grown


def _sum(before: Totals, added: Totals) -> Totals:
    places = [*before, *(place for place in added if place not in before)]
    return {place: before.get(place, 0.0) + added.get(place, 0.0) for place in places}


def _spell(totals: Totals) -> str:
    return json.dumps([[name, labels, value] for (name, labels), value in totals.items()])


def _read(text: str | None) -> Totals:
    rows = json.loads(text or "[]")
    return {(name, tuple((k, v) for k, v in labels)): value for name, labels, value in rows}


def look(metrics: Metrics, registry: Registry, at: datetime) -> None:
    """Sets the gauges that need no scan of the registry, as they are at this moment."""
    registry.check_in_place()
    metrics.load_threads(registry.threads.states())
    metrics.inbox_rows.set(registry.inbox.undrained())
    metrics.inbox_refused.set(registry.inbox.refused())
    metrics.archive_objects.set(registry.copies.count())
    metrics.plans_waiting.set(len(registry.plans.waiting()))
    metrics.holds.set(registry.holds.count_in_force(at))
    waiting = registry.policies.unapproved()
    metrics.unapproved.set(sum(waiting.threads.values()) if waiting is not None else 0)
    metrics.show(metrics.pauses, {(pause.scope,): 1 for pause in registry.pauses.in_force(at)})
    if (last := registry.runs.last_completed(at)) is not None:
        metrics.succeeded(last)
    end_of = expected_end(registry, at)
    ends = {} if end_of is None else {(end_of.mode,): end_of.at.timestamp()}
    metrics.show(metrics.expected_end, ends)
    _inputs(metrics, registry)
    metrics.registry_up.set(1)


def _inputs(metrics: Metrics, registry: Registry) -> None:
    """Sets whether sources, lists and the inbox were read to their end the last time."""
    known = memories(registry)
    sources = {(name,): memory for name, memory in known.items() if is_source(name)}
    ended = {name: memory.ended_at for name, memory in sources.items()}
    times = {name: at.timestamp() if at else 0.0 for name, at in ended.items()}
    metrics.show(metrics.source_success, times)
    metrics.show(metrics.source_up, {name: not one.is_down for name, one in sources.items()})
    lists = {place_of(name): memory for name, memory in known.items()}
    walked = {place: one.trouble is None for place, one in lists.items() if place is not None}
    metrics.show(metrics.list_up, walked)
    metrics.inbox_up.set(INBOX not in known or known[INBOX].trouble is None)


async def end(metrics: Metrics, report: Report, context: RunContext) -> None:
    """Sets what a run left overdue, and counts a sweep or apply; clears what no longer applies."""
    at = context.clock()
    left = await asyncio.to_thread(overdue, context, at)
    ages = {(name,): (at - (since or at)).total_seconds() for name, since in left.items()}
    metrics.show(metrics.overdue, ages)
    # Counted last: whoever sees that a run has ended also sees what it left.
    if report.run.command in SWEEPS:
        _reported(metrics, report)
    elif report.run.command.startswith(APPLY) and report.run.result is not None:
        applied(metrics, report.run.result)


def applied(metrics: Metrics, result: str) -> None:
    """Counts an applied plan by how it ended."""
    metrics.applies.labels(result).inc()


def _reported(metrics: Metrics, report: Report) -> None:
    run, backlog = report.run, report.backlog
    metrics.unmatched.set(backlog.kept["unmatched"])
    metrics.future_dated.set(backlog.kept["future_dated"])
    metrics.show(metrics.due, backlog.stages)
    failing = {(failed.project,): failed.threads for failed in report.failures}
    metrics.show(metrics.failing, failing)
    metrics.show(metrics.silent_rules, {(rule,): 1 for rule in backlog.silent_rules})
    tripped = [(over.limit, policy) for policy, over in backlog.tripped.items()]
    tripped += [(stop.limit, "") for stop in report.stops]
    if report.pruned.is_limited and report.pruned.tripped is not None:
        tripped.append((report.pruned.tripped.limit, report.pruned.tripped.policy))
    metrics.show(metrics.limit_tripped, dict.fromkeys(tripped, 1))
    if run.result is not None:
        metrics.sweeps.labels(run.result).inc()
    if run.closed_at is not None:
        metrics.sweep_seconds.observe((run.closed_at - run.started_at).total_seconds())


def require_writable(path: Path) -> None:
    """Refuses a path that cannot be written, before anything is done.

    Raises:
        ConfigError: The directory does not exist or cannot be written, or the path is a device, a
            pipe or anything else that is not a file.
        StoreError: The disk is full, or something else ran out.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(
            f"{path}: metrics cannot be written there: it is not a file; choose another place"
        )
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=".janitor-"):
            pass
    except OSError as error:
        kind = StoreError if is_scarce(error) else ConfigError
        reason = cause(error, "choose another place")
        raise kind(f"{path}: metrics cannot be written there: {reason}") from error


def write_metrics(metrics: Metrics, registry: Registry, path: Path, at: datetime) -> None:
    """Writes all metrics as of `at`, the end of a run; totals continue from earlier runs.

    Raises:
        StoreError: The file cannot be written.
    """
    look(metrics, registry, at)
    try:
        metrics.write(path)
    except OSError as error:
        reason = cause(error, "choose another place")
        message = f"{path}: metrics cannot be written: {reason}. The run itself is recorded"
        raise StoreError(message) from error
