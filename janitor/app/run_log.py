"""What a run reports: metrics and a log line for each thread, a summary, and its troubles."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from janitor.engine.limits import message as limit_message
from janitor.engine.pauses import message as pause_message
from janitor.engine.progress import Progress
from janitor.engine.prune import PRUNED
from janitor.engine.redecide import message as approval_message
from janitor.engine.shared_containers import warning
from janitor.model import Outcome
from janitor.registry import Event

if TYPE_CHECKING:
    from janitor.engine.context import RunNotice
    from janitor.engine.report import Report
    from janitor.metrics import Metrics

log = logging.getLogger("janitor")


class RunLog:
    """Receives every notice of a run: counts and logs it. `progress` tells how far the run is."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.progress = Progress()

    def shown(self) -> AbstractContextManager[object]:
        """A context around the work that logs how far it is."""
        return logged(self.progress)

    def __call__(self, notice: RunNotice) -> None:
        """Counts and logs one notice; never raises."""
        event = notice.event
        if event.outcome is Outcome.KEPT:
            self.metrics.kept.labels(event.reason or "").inc()
        if event.outcome is not None and (event.stage or event.outcome is not Outcome.KEPT):
            policy, stage = event.policy or "", event.stage or ""
            self.metrics.actions.labels(policy, stage, event.outcome).inc()
        if event.name == PRUNED:
            self.metrics.archive_pruned.labels(event.key.project).inc()
        if notice.size:
            self.metrics.archived_bytes.labels(event.key.project).inc(notice.size)
        _tell(event)


LOGGED_EVERY = 30.0
"""Seconds between two progress lines in the log."""
progress_log = logging.getLogger("janitor.progress")


@contextmanager
def logged(
    progress: Progress, wait: Callable[[threading.Event, float], bool] = threading.Event.wait
) -> Iterator[None]:
    """Logs how far a run is, every half minute, while the body runs.

    `wait` waits for an event, at most so many seconds, and returns whether it was set.
    """
    over = threading.Event()

    def watch() -> None:
        while not wait(over, LOGGED_EVERY):
            progress_log.info("%s", progress.line())

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _tell(event: Event) -> None:
    """One line per thread: what happened, under which policy, in which run."""
    level = logging.DEBUG if event.outcome is Outcome.KEPT else logging.INFO
    if not log.isEnabledFor(level):
        return
    told = {"policy": event.policy, "stage": event.stage, "reason": event.reason, "run": event.run}
    key, lines = event.key, [f"{name}={value}" for name, value in told.items() if value]
    extra = {**told, "event": event.name, "outcome": event.outcome}
    extra |= {"project": key.project, "kind": key.kind, "id": key.id}
    log.log(level, "%s %s/%s %s", event.name, key.kind, key.id, " ".join(lines), extra=extra)


def summarize(report: Report) -> None:
    """One line per run: what it was, how it ended, what it did."""
    done = sum(n for (_, _, outcome), n in report.outcomes.items() if outcome == Outcome.DONE)
    failed = sum(n for (_, _, outcome), n in report.outcomes.items() if outcome == Outcome.FAILED)
    kept, run = sum(report.kept.values()), report.run
    log.info(
        "run %s: %s, %d done, %d kept, %d failed",
        *(run.id, run.result, done, kept, failed),
        extra={"run": run.id, "result": run.result, "done": done, "kept": kept, "failed": failed},
    )


@dataclass(frozen=True, slots=True)
class Trouble:
    """What stopped a run, or a part of it: a message, its log level, and what it concerns."""

    level: int
    message: str
    about: Mapping[str, str] = field(default_factory=dict)


def troubles(report: Report) -> Iterator[Trouble]:
    """Everything that a person should know about a run, apart from what it did."""
    for stop in report.stops:
        yield Trouble(logging.ERROR, stop.message)
    for message in (*report.silences, *report.lists):
        yield Trouble(logging.ERROR, message)
    for names in report.sharing:
        yield Trouble(logging.WARNING, warning(names))
    for source, message in report.sources.items():
        yield Trouble(logging.ERROR, message, {"source": source})
    for policy, tripped in report.backlog.tripped.items():
        yield Trouble(logging.ERROR, limit_message(tripped), {"policy": policy})
    for message in paused_messages(report):
        yield Trouble(logging.WARNING, message)
    for message in (*report.undone, *report.pruned.messages()):
        yield Trouble(logging.ERROR, message)
    for left in report.in_use:
        yield Trouble(logging.INFO, left.message)
    if (waiting := report.unapproved) is not None:
        due = report.kept.get("unapproved", 0)
        yield Trouble(logging.WARNING, approval_message(waiting.digest, waiting.threads, due))


def complain(report: Report) -> None:
    """Logs the troubles of a run."""
    for trouble in troubles(report):
        extra = {"run": report.run.id, **trouble.about}
        log.log(trouble.level, "%s", trouble.message, extra=extra)


def paused_messages(done: Report) -> list[str]:
    """One sentence for each pause that is in force, or that kept something and is over."""
    standing = [pause_message(pause) for pause in done.pauses]
    return standing + [pause_message(pause, is_over=True) for pause in done.past_pauses]
