"""`sync`: reads the application's tables now, or with `--discover` the API's lists."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from janitor.app.event_loop import run_loop
from janitor.cli.options import DURATION, quit_with
from janitor.cli.output import Settings, complain, emit, emit_lines, now, table
from janitor.errors import (
    ConfigError,
    StoppedError,
)
from janitor.texts import counted, plain

if TYPE_CHECKING:
    from janitor.app.event_loop import StopSignals
    from janitor.app.lists import ListWalks
    from janitor.app.source_readings import SourceReading
    from janitor.config import Config, Source
    from janitor.model import Key
    from janitor.registry import Registry
    from janitor.sources.discovery import ListResult
    from janitor.sources.sync import Synced


SHOWN = 20
LIST_FIELDS = ("project", "kind", "listed", "added", "known", "absent", "ended")


def discover_now(settings: Settings, *, dry_run: bool) -> int:
    """Walk the lists of all projects, show what was found, and return the exit code."""
    from janitor.app.event_loop import StopSignals
    from janitor.app.lists import ListWalks
    from janitor.app.open_registry import open_registry, trial_registry
    from janitor.config import load

    config, signals = load(settings.config_path()), StopSignals()
    lists = ListWalks(
        lambda key: emit_lines([_lacking(key)]) if settings.output == "jsonl" else None
    )
    with trial_registry(config) if dry_run else open_registry(config, create=True) as registry:
        run_loop(lambda: _walk_all(config, registry, lists, signals, dry_run=dry_run))
    _show_lists(settings, lists, dry_run=dry_run)
    return signals.exit_code(lists.exit_code)


async def _walk_all(
    config: Config, registry: Registry, lists: ListWalks, signals: StopSignals, *, dry_run: bool
) -> None:
    """Walk every list of every project, until a signal asks to stop."""
    from janitor.app.compose import compose
    from janitor.app.lists import places
    from janitor.cli.progress import shown
    from janitor.engine.progress import Progress
    from janitor.sources.discovery import discover, preview

    signals.install()
    stop, progress = signals.event, Progress()
    progress.begin("walking the servers' lists", noun="lists")
    opened = compose(config, registry, changing=False, stop=stop, progress=progress)
    with shown(progress):
        async with opened as context:
            try:
                async for place in places(context, lists):
                    if dry_run:
                        lists.found.append(await preview(registry, place, stop=signals.event))
                    else:
                        walk = discover(
                            registry, place, context.clock, stop=signals.event, tell=lists.absent
                        )
                        lists.found.append(await walk)
                    progress.advance()
            except StoppedError as error:
                complain(error)


def row_of(found: ListResult) -> dict[str, Any]:
    """How a walk went, as one row."""
    return {
        "project": found.place.project,
        "kind": found.place.kind,
        "listed": found.listed,
        "added": found.registered.added,
        "known": found.registered.updated + found.registered.unchanged,
        "unfit": found.unfit,
        "absent": found.absent if found.is_whole else None,
        "resumed": found.is_resumed,
        "ended": _ended(found),
        "error": None if found.failure is None else str(found.failure),
    }


def _ended(found: ListResult) -> str:
    if found.failure is not None:
        return "failed"
    return "whole" if found.is_listed else "not listed by this server"


def _lacking(key: Key) -> dict[str, Any]:
    return {"absent": {"project": key.project, "kind": key.kind, "id": key.id}}


def _show_lists(settings: Settings, lists: ListWalks, *, dry_run: bool) -> None:
    rows = [row_of(one) for one in lists.found]
    first = [_lacking(key)["absent"] for key in lists.first]
    if settings.output == "jsonl":
        emit_lines(rows)
    elif settings.output == "json":
        emit(settings, {"dry_run": dry_run, "lists": rows, "absent": first})
    else:
        title = "What discovery would do (nothing was written)" if dry_run else "Discovery"
        table(title, LIST_FIELDS, [_cells(row) for row in rows])
        _show_absent(lists)
    from janitor.app.lists import unfit_ids

    for one in lists.found:
        if (unfit := unfit_ids(one)) is not None:
            complain(unfit)
        if one.failure is not None:
            complain(one.failure)


def _cells(row: dict[str, Any]) -> Sequence[object]:
    return ["-" if row[name] is None else row[name] for name in LIST_FIELDS]


def _show_absent(lists: ListWalks) -> None:
    number = sum(one.absent for one in lists.found if one.is_whole)
    if not number:
        return
    threads = counted(number, "thread is", "threads are")
    click.echo(f"\n{threads} registered but not listed; none was removed or marked:")
    for key in lists.first:
        click.echo(f"  {plain(key.project)} {key.kind} {plain(key.id)}")
    if number > len(lists.first):
        click.echo("  …; --output jsonl names all, a dry run only counts them")


FIELDS = (
    *("source", "read", "added", "updated", "unchanged"),
    *("refused", "vanished", "watermark", "seconds"),
)


@click.command("sync")
@click.option("--source", "names", multiple=True, metavar="NAME", help="Only this source.")
@click.option(
    "--discover", is_flag=True, help="Walk the servers' lists instead of reading sources."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be registered.")
@click.option(
    "--accept-vanished",
    is_flag=True,
    help="Believe that all threads no longer in the table are gone, however many; needs --source.",
)
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
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

    Exit code 1: a row was refused, or one of several sources failed. The threads of a failed
    source are kept until it has been read to its end.

    \b
    Examples:
      janitor sync
      janitor sync --source chats --dry-run
      janitor --output json sync
      janitor sync --discover --dry-run
    """
    if discover and (names or accept_vanished):
        raise click.UsageError("--discover walks lists, not sources: use it without --source")
    if discover:
        quit_with(discover_now(settings, dry_run=dry_run))
    if accept_vanished and (dry_run or not names):
        raise click.UsageError("--accept-vanished needs --source, and cannot be a dry run")
    ended = _read(settings, names, None if dry_run else wait, believes=accept_vanished)
    _show(settings, ended, dry_run=dry_run)
    quit_with(_code(ended))


def _read(
    settings: Settings, names: Sequence[str], wait: timedelta | None, *, believes: bool
) -> list[SourceReading]:
    """Read the named sources, or all; without `wait`, into a copy of the registry."""
    from janitor.app.inbox import take_in
    from janitor.app.open_registry import trial_registry
    from janitor.app.run_metrics import KeptCounters
    from janitor.app.source_readings import read_source, reading_context
    from janitor.cli.progress import open_shown, shown
    from janitor.config import load
    from janitor.engine.progress import Progress
    from janitor.metrics import Metrics

    config = load(settings.config_path(), environment=False)
    sources, metrics, progress = _chosen(config, names), Metrics(), Progress()
    is_dry = wait is None
    opened = trial_registry(config) if is_dry else open_shown(config, progress, create=True)
    with opened as registry, shown(progress):
        tell = progress.waits(wait or timedelta(), "reads the sources")
        with nullcontext() if wait is None else registry.syncing(wait, tell):
            progress.begin("reading sources", noun="rows")
            if not is_dry:
                take_in(registry, now(), complain)
            changing, advance = not is_dry, progress.advance
            context = reading_context(
                config, now, changing=changing, believes=believes, advance=advance
            )
            ended = [read_source(registry, source, context, metrics) for source in sources]
        if not is_dry:
            KeptCounters(metrics, registry).keep()
    return ended


def _chosen(config: Config, names: Sequence[str]) -> list[Source]:
    """The named sources, or all.

    Raises:
        ConfigError: There are no sources, or none of that name.
    """
    if not config.sources:
        raise ConfigError(
            "no sources are configured. `janitor init --source env:APP_DATABASE_URL --table TABLE` "
            "proposes one to put under `sources:`; `janitor sync --discover` reads the API's lists"
        )
    for name in names:
        if name not in config.sources:
            known = ", ".join(config.sources)
            raise ConfigError(f"--source {name}: no such source; known: {known}")
    return [config.sources[name] for name in names or config.sources]


def _show(settings: Settings, ended: Sequence[SourceReading], *, dry_run: bool) -> None:
    from janitor.cli.registry import show_earlier

    if settings.wants_table:
        rows = [one.row() for one in ended]
        title = "What a sync would do (nothing was written)" if dry_run else "Sources"
        table(title, FIELDS, [[_cell(row.get(name)) for name in FIELDS] for row in rows])
    else:
        emit(settings, {"dry_run": dry_run, "sources": [one.row() for one in ended]}, "sources")
    for one in ended:
        if one.error is not None:
            complain(one.error)
        elif one.done is not None:
            _complain(one.done)
            if settings.wants_table:
                show_earlier(one.done.done.due_earlier)


def _complain(done: Synced) -> None:
    for line in done.refusals[:SHOWN]:
        complain(f"source {done.source}: {line}")
    if done.refused > SHOWN:
        complain(f"… {counted(done.refused, 'row was', 'rows were')} refused in all")
    for line in done.remarks:
        complain(f"source {done.source}: {line}")
    if done.odd_times:
        rows = counted(done.odd_times, "row names", "rows name")
        message = f"{rows} a time that is not taken as written"
        complain(f"source {done.source}: {message}")
    if done.drift is not None:
        complain(f"source {done.source}: {done.drift}")


def _cell(value: object) -> str:
    from janitor.cli.render import moment

    return "-" if value is None else moment(value)


def _code(ended: Sequence[SourceReading]) -> int:
    """The exit code that the failures of all sources share; 1 if only some, or rows, failed."""
    errors = [one.error for one in ended if one.error is not None]
    codes = {error.exit_code for error in errors}
    if len(errors) == len(ended) and len(codes) == 1:
        return codes.pop()
    refused = any(one.done is not None and one.done.refused for one in ended)
    return 1 if errors or refused else 0
