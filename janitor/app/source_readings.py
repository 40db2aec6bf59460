"""The application's own tables, read before a sweep, or when a person asks for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from janitor.config import Config, Source
from janitor.errors import (
    AccessError,
    ConfigError,
    FaultError,
    JanitorError,
    LimitError,
    LockedError,
    StoppedError,
)
from janitor.registry import Registry
from janitor.sources.discovery import round_of
from janitor.sources.sync import Context, Synced, sync
from janitor.sources.watermark import INBOX, InputMemory, forget_others, memories
from janitor.texts import counted

if TYPE_CHECKING:
    from janitor.metrics import Metrics

log = logging.getLogger("janitor")

PATIENCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class SourceReading:
    """How the reading of a source ended: either `done` or `error` is set."""

    source: str
    done: Synced | None = None
    error: JanitorError | None = None

    def row(self) -> dict[str, Any]:
        """The reading with the field names of `--output json`."""
        if self.done is None:
            return {"source": self.source, "error": str(self.error)}
        done = self.done
        told = {
            "source": done.source,
            "read": done.read,
            **asdict(done.done),
            "refused": done.refused,
            "vanished": done.vanished,
            "odd_times": done.odd_times,
            "remarks": list(done.remarks),
            "drift": done.drift,
            "watermark": done.watermark,
            "seconds": round(done.seconds, 3),
        }
        return {**told, "full": done.is_full, "refusals": list(done.refusals), "error": None}


def read_sources(
    config: Config,
    registry: Registry,
    metrics: Metrics,
    now: Callable[[], datetime],
    stop: threading.Event | None = None,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Reads all sources before a sweep, one janitor at a time; a failure is remembered, not raised.

    A janitor that waited for another one uses what that one read. `advance` gets the number of rows
    of each page.

    Raises:
        StoppedError: `stop` was set.
        StoreError: The registry failed.
    """
    before, stopped = memories(registry), stop or threading.Event()
    configured = [*config.sources, *_list_names(config)]
    if not config.sources and before.keys() <= {*configured, INBOX}:
        return
    with _sources_lock(registry, stopped):
        forget_others(registry, configured)
        known = memories(registry)
        context = reading_context(config, now, is_stopped=stopped.is_set, advance=advance)
        for name, source in config.sources.items():
            readings = [one.get(name, InputMemory()).readings for one in (before, known)]
            if readings[0] == readings[1]:
                _log_source(read_source(registry, source, context, metrics))


def _list_names(config: Config) -> Iterator[str]:
    """The lists that are walked before sweeps, by the names under which they are remembered."""
    for name, project in config.projects.items():
        if project.discover:
            yield from (round_of(name, kind) for kind in project.kinds)


@contextmanager
def _sources_lock(registry: Registry, stopped: threading.Event) -> Iterator[None]:
    """Holds the lock for reading sources, after waiting for as long as another janitor reads."""
    while True:
        lock = registry.syncing(PATIENCE)
        try:
            lock.__enter__()
            break
        except LockedError:
            if stopped.is_set():
                raise StoppedError("stopped while another janitor was reading sources") from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def reading_context(config: Config, now: Callable[[], datetime], **others: Any) -> Context:  # noqa: ANN401 - its fields
    limit = config.policies.limits.max_missing_percent
    return Context(tuple(config.projects), now, limit, **others)


def read_source(
    registry: Registry, source: Source, context: Context, metrics: Metrics
) -> SourceReading:
    try:
        done = sync(registry, source, context)
    except (AccessError, ConfigError, LimitError, FaultError) as error:
        if isinstance(error, FaultError):
            log.exception("source %s is down", source.name, extra={"source": source.name})
        return SourceReading(source.name, error=error)
    counts = {**asdict(done.done), "refused": done.refused, "vanished": done.vanished}
    del counts["due_earlier"]  # already counted as updated
    for result, number in counts.items():
        metrics.source_rows.labels(source.name, result).inc(number)
    return SourceReading(source.name, done)


def _log_source(ended: SourceReading) -> None:
    """Logs how a source was read; a failure is reported by the run, which keeps its threads."""
    if (done := ended.done) is None:
        return
    log.info(
        "source %s: %s read, %d added, %d updated",
        *(ended.source, counted(done.read, "row"), done.done.added, done.done.updated),
        extra={"source": ended.source},
    )
    if done.refused:
        message = (
            f"{counted(done.refused, 'row was', 'rows were')} refused, such as {done.refusals[0]}"
        )
        log.warning("source %s: %s", ended.source, message, extra={"source": ended.source})
    if done.odd_times:
        rows = counted(done.odd_times, "row names", "rows name")
        message = f"{rows} a time that is not taken as written, such as {done.remarks[0]}"
        log.warning("source %s: %s", ended.source, message, extra={"source": ended.source})
    if done.drift is not None:
        log.warning("source %s: %s", ended.source, done.drift, extra={"source": ended.source})
    if done.done.due_earlier:
        threads = counted(done.done.due_earlier, "thread falls", "threads fall")
        message = f"{threads} due earlier, because of dates that the source reports"
        log.warning("source %s: %s", ended.source, message, extra={"source": ended.source})
