"""`sync`, and the reading of sources before each sweep."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit, is_terminal, plain, table
from janitor.cli.options import DURATION, quit_with
from janitor.errors import (
    AccessError,
    ConfigError,
    FaultError,
    JanitorError,
    LimitError,
    LockedError,
    StoppedError,
)

if TYPE_CHECKING:
    from janitor.config import Config, Source
    from janitor.metrics import Metrics
    from janitor.registry import Registry
    from janitor.sources import Context, Synced

log = logging.getLogger("janitor")

PATIENCE = timedelta(seconds=1)
SHOWN = 20
FIELDS = (
    *("source", "read", "added", "updated", "unchanged"),
    *("refused", "vanished", "watermark", "seconds"),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How the reading of a source ended: one of the two."""

    source: str
    done: Synced | None = None
    error: JanitorError | None = None

    def row(self) -> dict[str, Any]:
        """The reading as interface.md names its fields."""
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


@click.command("sync")
@click.option("--source", "names", multiple=True, metavar="NAME", help="Only this source.")
@click.option("--discover", is_flag=True, help="Walk what the servers list, instead of sources.")
@click.option("--dry-run", is_flag=True, help="Read, and say what would be registered; no more.")
@click.option(
    "--accept-vanished",
    is_flag=True,
    help="Believe what is no longer in the table, however much that is; needs --source.",
)
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
@click.pass_obj
def sync_command(
    settings: Settings,
    *,
    names: tuple[str, ...],
    discover: bool,
    dry_run: bool,
    accept_vanished: bool,
    wait: timedelta,
) -> None:
    """Read the application's own tables now, as before each sweep.

    Exit code 1: a row was refused, or one of several sources failed. What a source feeds that
    failed is kept until it is read to its end.

    \b
    Examples:
      janitor sync
      janitor sync --source chats --dry-run
      janitor --output json sync
      janitor sync --discover --dry-run
    """
    from janitor.cli.compose import open_registry
    from janitor.cli.discovering import discover_now
    from janitor.cli.inbox import complain, take_in
    from janitor.cli.measuring import Counted
    from janitor.cli.showing import now
    from janitor.config import load
    from janitor.metrics import Metrics

    if discover and (names or accept_vanished):
        raise click.UsageError("--discover walks lists, not sources: call it by itself")
    if discover:
        quit_with(discover_now(settings, dry_run=dry_run))
    if accept_vanished and (dry_run or not names):
        raise click.UsageError("--accept-vanished needs --source, and is no dry run")
    config = load(settings.config_path(), environment=False)
    sources, metrics = _chosen(config, names), Metrics()
    with open_registry(config, read_only=dry_run, create=True) as registry:
        with nullcontext() if dry_run else registry.syncing(wait), _bar() as advance:
            if not dry_run:
                take_in(registry, now(), complain)
            context = _context(
                config, now, changing=not dry_run, believes=accept_vanished, advance=advance
            )
            ended = [_attempt(registry, source, context, metrics) for source in sources]
        if not dry_run:
            Counted(metrics, registry).keep()
    _show(settings, ended, dry_run=dry_run)
    quit_with(_code(ended))


def _chosen(config: Config, names: Sequence[str]) -> list[Source]:
    """The sources that were named, or all.

    Raises:
        ConfigError: There is none, or none of that name.
    """
    if not config.sources:
        raise ConfigError("no sources are configured: add `sources:` to the configuration")
    for name in names:
        if name not in config.sources:
            known = ", ".join(config.sources)
            raise ConfigError(f"--source {name}: there is no such source; known: {known}")
    return [config.sources[name] for name in names or config.sources]


def read_sources(
    config: Config,
    registry: Registry,
    metrics: Metrics,
    now: Callable[[], datetime],
    stop: threading.Event | None = None,
) -> None:
    """Read all sources before a sweep, one janitor at a time; a failure is remembered, not raised.

    Whoever waited for another janitor goes by what that one found.

    Raises:
        StoppedError: `stop` was set.
        StoreError: The registry failed.
    """
    from janitor.sources import INBOX, Memory, forget_others, memories

    before, stopped = memories(registry), stop or threading.Event()
    configured = [*config.sources, *_lists(config)]
    if not config.sources and before.keys() <= {*configured, INBOX}:
        return
    with _turn(registry, stopped):
        forget_others(registry, configured)
        known = memories(registry)
        context = _context(config, now, is_stopped=stopped.is_set)
        for name, source in config.sources.items():
            readings = [one.get(name, Memory()).readings for one in (before, known)]
            if readings[0] == readings[1]:
                _tell(_attempt(registry, source, context, metrics))


def _lists(config: Config) -> Iterator[str]:
    """The lists that are walked before sweeps, as they are remembered."""
    from janitor.sources.discovery import round_of

    for name, project in config.projects.items():
        if project.discover:
            yield from (round_of(name, kind) for kind in project.kinds)


@contextmanager
def _turn(registry: Registry, stopped: threading.Event) -> Iterator[None]:
    """Hold the lock of reading sources, however long another janitor reads."""
    while True:
        lock = registry.syncing(PATIENCE)
        try:
            lock.__enter__()
            break
        except LockedError:
            if stopped.is_set():
                raise StoppedError("asked to stop while another janitor read sources") from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _context(config: Config, now: Callable[[], datetime], **others: Any) -> Context:  # noqa: ANN401 - its fields
    from janitor.sources import Context

    limit = config.policies.limits.max_missing_percent
    return Context(tuple(config.projects), now, limit, **others)


def _attempt(registry: Registry, source: Source, context: Context, metrics: Metrics) -> Ended:
    from janitor.sources import sync

    try:
        done = sync(registry, source, context)
    except (AccessError, ConfigError, LimitError, FaultError) as error:
        if isinstance(error, FaultError):
            log.exception("source %s is down", source.name, extra={"source": source.name})
        return Ended(source.name, error=error)
    counts = {**asdict(done.done), "refused": done.refused, "vanished": done.vanished}
    del counts["due_earlier"]  # of the updated ones
    for result, number in counts.items():
        metrics.source_rows.labels(source.name, result).inc(number)
    return Ended(source.name, done)


def _tell(ended: Ended) -> None:
    """Log how a source was read; that it failed is told with the run that keeps its threads."""
    if (done := ended.done) is None:
        return
    log.info(
        "source %s: %d rows read, %d added, %d updated",
        *(ended.source, done.read, done.done.added, done.done.updated),
        extra={"source": ended.source},
    )
    if done.refused:
        said = f"{done.refused} rows were refused, such as {done.refusals[0]}"
        log.warning("source %s: %s", ended.source, said, extra={"source": ended.source})
    if done.odd_times:
        said = (
            f"{done.odd_times} rows name a time not taken as it was said, such as {done.remarks[0]}"
        )
        log.warning("source %s: %s", ended.source, said, extra={"source": ended.source})
    if done.drift is not None:
        log.warning("source %s: %s", ended.source, done.drift, extra={"source": ended.source})
    if done.done.due_earlier:
        said = f"{done.done.due_earlier} threads fall due earlier than their first sight had it"
        log.warning("source %s: %s", ended.source, said, extra={"source": ended.source})


def _show(settings: Settings, ended: Sequence[Ended], *, dry_run: bool) -> None:
    from janitor.cli.importing import show_earlier

    if settings.wants_table:
        rows = [one.row() for one in ended]
        title = "What a sync would do (nothing was written)" if dry_run else "Sources"
        table(title, FIELDS, [[_cell(row.get(name)) for name in FIELDS] for row in rows])
    else:
        emit(settings, {"dry_run": dry_run, "sources": [one.row() for one in ended]}, "sources")
    for one in ended:
        if one.error is not None:
            click.echo(f"janitor: {plain(one.error)}", err=True)
        elif one.done is not None:
            _complain(one.done)
            if settings.wants_table:
                show_earlier(one.done.done.due_earlier)


def _complain(done: Synced) -> None:
    for line in done.refusals[:SHOWN]:
        click.echo(f"janitor: source {done.source}: {plain(line)}", err=True)
    if done.refused > SHOWN:
        click.echo(f"janitor: … {done.refused} rows were refused in all", err=True)
    for line in done.remarks:
        click.echo(f"janitor: source {done.source}: {plain(line)}", err=True)
    if done.odd_times:
        said = f"{done.odd_times} rows name a time that is not taken as it was said"
        click.echo(f"janitor: source {done.source}: {said}", err=True)
    if done.drift is not None:
        click.echo(f"janitor: source {done.source}: {done.drift}", err=True)


def _cell(value: object) -> str:
    from janitor.cli.showing import moment

    return "-" if value is None else moment(value)


def _code(ended: Sequence[Ended]) -> int:
    """What the failures of all sources have in common; 1 where only some failed, or some rows."""
    errors = [one.error for one in ended if one.error is not None]
    codes = {error.exit_code for error in errors}
    if len(errors) == len(ended) and len(codes) == 1:
        return codes.pop()
    refused = any(one.done is not None and one.done.refused for one in ended)
    return 1 if errors or refused else 0


@contextmanager
def _bar() -> Iterator[Callable[[int], None]]:
    """A bar of rows on stderr, if a person sits at a terminal."""
    if not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("rows", total=None)
        yield lambda rows: progress.advance(task, rows)
