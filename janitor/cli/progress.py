"""How a run shows itself: a bar on a terminal's stderr, a line per thread in logs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from janitor.cli.context import is_terminal
from janitor.metrics import Metrics
from janitor.model import Outcome
from janitor.registry import Event
from janitor.sweep import Notice, Report
from janitor.sweep.prune import PRUNED

log = logging.getLogger("janitor")


class Watch:
    """Receives every notice of a run: counts it, logs it, and moves the bar."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.advance: Callable[[], None] = _stand_still

    def __call__(self, notice: Notice) -> None:
        """Take one notice; never raises."""
        event = notice.event
        if event.outcome is Outcome.KEPT:
            self._metrics.kept.labels(event.reason or "").inc()
        if event.outcome is not None and (event.stage or event.outcome is not Outcome.KEPT):
            policy, stage = event.policy or "", event.stage or ""
            self._metrics.actions.labels(policy, stage, event.outcome).inc()
        if event.name == PRUNED:
            self._metrics.archive_pruned.labels(event.key.project).inc()
        if notice.size:
            self._metrics.archived_bytes.labels(event.key.project).inc(notice.size)
        _tell(event)
        self.advance()

    @contextmanager
    def bar(self, title: str, total: int | None = None) -> Iterator[None]:
        """Show a progress bar on stderr while the body runs, if a person sits at a terminal."""
        if not is_terminal(sys.stderr):
            yield
            return
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(title, total=total)
            self.advance = lambda: progress.advance(task)
            yield
            self.advance = _stand_still


def _stand_still() -> None:
    """No bar is shown."""


def _tell(event: Event) -> None:
    """One line per thread: what happened, under which policy, in which run."""
    level = logging.DEBUG if event.outcome is Outcome.KEPT else logging.INFO
    if not log.isEnabledFor(level):
        return
    told = {"policy": event.policy, "stage": event.stage, "reason": event.reason, "run": event.run}
    key, said = event.key, [f"{name}={value}" for name, value in told.items() if value]
    extra = {**told, "event": event.name, "outcome": event.outcome}
    extra |= {"project": key.project, "kind": key.kind, "id": key.id}
    log.log(level, "%s %s/%s %s", event.name, key.kind, key.id, " ".join(said), extra=extra)


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


def complain(report: Report) -> None:
    """Log what stopped a run, or a part of it."""
    from janitor.cli.showing import paused_messages
    from janitor.sweep import approval, backlog, twins

    for stop in report.stops:
        log.error("%s", stop.message, extra={"run": report.run.id})
    for silence in (*report.silences, *report.lists):
        log.error("%s", silence, extra={"run": report.run.id})
    for names in report.sharing:
        log.warning("%s", twins.warning(names), extra={"run": report.run.id})
    for source, said in report.sources.items():
        log.error("%s", said, extra={"run": report.run.id, "source": source})
    for policy, tripped in report.backlog.tripped.items():
        log.error("%s", backlog.message(tripped), extra={"run": report.run.id, "policy": policy})
    for said in paused_messages(report):
        log.warning("%s", said, extra={"run": report.run.id})
    for said in (*report.undone, *report.pruned.messages()):
        log.error("%s", said, extra={"run": report.run.id})
    for left in report.in_use:
        log.info("%s", left.message, extra={"run": report.run.id})
    if (waiting := report.unapproved) is not None:
        due = report.kept.get("unapproved", 0)
        said = approval.message(waiting.digest, waiting.threads, due)
        log.warning("%s", said, extra={"run": report.run.id})
