"""How a run shows itself: a bar on a terminal's stderr, a line per thread in logs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from janitor.cli.context import Settings, plain
from janitor.metrics import Metrics
from janitor.model import Outcome
from janitor.sweep import Notice

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
        elif event.outcome is not None:
            policy, stage = event.policy or "", event.stage or ""
            self._metrics.actions.labels(policy, stage, event.outcome).inc()
        if notice.size:
            self._metrics.archived_bytes.labels(event.key.project).inc(notice.size)
        log.log(
            logging.DEBUG if event.outcome is Outcome.KEPT else logging.INFO,
            "%s %s/%s policy=%s reason=%s run=%s",
            event.name,
            event.key.kind,
            event.key.id,
            plain(event.policy),
            plain(event.reason),
            event.run,
        )
        self.advance()

    @contextmanager
    def bar(self, title: str, total: int | None = None) -> Iterator[None]:
        """Show a progress bar on stderr while the body runs, if a person sits at a terminal."""
        if not sys.stderr.isatty():
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


class JsonLines(logging.Formatter):
    """One JSON object a line, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; a traceback goes into `message`."""
        line = {"at": self.formatTime(record), "level": record.levelname}
        return json.dumps({**line, "message": super().format(record)})


def configure_logging(settings: Settings, *, service: bool = False) -> None:
    """Log to stderr; one line per thread acted on with `-v`, and always in the service."""
    handler = logging.StreamHandler(sys.stderr)
    as_text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonLines() if settings.log_format == "json" else as_text)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    log.setLevel(logging.INFO if settings.verbose or service else logging.WARNING)
