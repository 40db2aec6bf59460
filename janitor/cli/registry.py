"""`import`, `export`, `db` and `missing`: what goes into the registry and out of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.inspect import cell, opened
from janitor.cli.options import DURATION, OneOf, person, quit_with
from janitor.cli.output import (
    Settings,
    complain,
    emit,
    emit_lines,
    emit_long,
    now,
    table,
)
from janitor.cli.private_file import require_private, write_private
from janitor.errors import JanitorError
from janitor.kinds import Kind
from janitor.texts import counted, plain

if TYPE_CHECKING:
    import threading

    from janitor.engine.context import RunContext
    from janitor.engine.report import Report
    from janitor.registry import Entry, Registered, Registration, Registry, Upgrade
    from janitor.sources.importer import Import, Order


LINES_SHOWN = 20


def import_file(settings: Settings, registry: Registry | None, order: Order) -> None:
    """Import a file, show the result, and exit; without a registry it is a dry run.

    Raises:
        ConfigError: It cannot be read, is empty, or is a CSV without the right columns.
        StoreError: The registry or the file of rejects failed; what was read before is kept.
    """
    from janitor.sources.importer import opened

    began = time.monotonic()
    with opened(order, registry) as begun:
        _tell_where(begun, order)
        _carry_out(begun, order)
        _show_import(settings, begun, order, time.monotonic() - began, is_dry=registry is None)
        refused = begun.tally.refused
    quit_with(1 if refused else 0)


def _tell_where(begun: Import, order: Order) -> None:
    if begun.resumed is not None:
        mark = begun.resumed
        message = f"continues after line {mark.line}, where it stopped at {mark.at}"
        complain(f"{order.name}: {message}; --restart starts over")
    if begun.anew is not None:
        complain(f"{order.name}: starts over: {begun.anew}")


def _carry_out(begun: Import, order: Order) -> None:
    from janitor.cli.progress import shown
    from janitor.engine.progress import Progress

    progress = Progress()
    progress.begin(f"importing {order.name}", begun.size, noun="bytes")
    try:
        with shown(progress):
            for offset in begun.pages(order.projects, now()):
                progress.reach(offset)
    except (JanitorError, KeyboardInterrupt, SystemExit):
        if begun.line:
            again = "the same command continues there" if begun.is_resumable else "run it again"
            complain(f"{order.name}: stopped after line {begun.line}; {again}")
        raise


def _show_import(
    settings: Settings, begun: Import, order: Order, seconds: float, *, is_dry: bool
) -> None:
    tally = begun.tally
    if not settings.wants_table:
        emit_long(
            _document(begun, seconds, is_dry=is_dry),
            *("rejected", begun.rejects),
            one_line=settings.output == "jsonl",
        )
    elif is_dry:
        good = tally.read - tally.refused
        click.echo(f"{good} of {tally.read} would be imported; nothing was registered.")
    else:
        click.echo(f"{tally.added} added, {tally.updated} updated, {tally.unchanged} unchanged.")
        rate = f"{tally.read} read, {tally.refused} refused in {seconds:.1f} s"
        click.echo(f"{rate}.")
        show_earlier(tally.due_earlier)
    _name_odd(begun, order)
    _name_rejects(begun, order)


def _document(begun: Import, seconds: float, *, is_dry: bool) -> dict[str, Any]:
    tally = asdict(begun.tally)
    if is_dry:
        tally |= dict.fromkeys(("added", "updated", "unchanged", "due_earlier"))
    resumed = None if begun.resumed is None else begun.resumed.line
    told = {"seconds": round(seconds, 3), "dry_run": is_dry, "resumed_behind": resumed}
    return {**tally, **told, "remarks": [asdict(one) for one in begun.remarks]}


def show_earlier(number: int) -> None:
    """Say how many threads fall due earlier because of what was just reported."""
    if number:
        click.echo(
            f"{counted(number, 'thread falls', 'threads fall')} due earlier: until now only the "
            "time at which janitor first saw them was known. See `janitor plan`."
        )


def _name_odd(begun: Import, order: Order) -> None:
    for one in begun.remarks:
        complain(f"{order.name}:{one.line}: {one.reason}")
    if begun.tally.odd_times:
        complain(f"lines with a time that was not taken as written: {begun.tally.odd_times}")


def _name_rejects(begun: Import, order: Order) -> None:
    for reject in islice(begun.rejects, LINES_SHOWN):
        complain(f"{order.name}:{reject['line']}: {reject['reason']}")
    refused = begun.tally.refused
    path = begun.rejects.path
    if refused > LINES_SHOWN or (refused and path is not None):
        where = "--rejects FILE writes them to a file" if path is None else f"see {path}"
        complain(f"{counted(refused, 'line was', 'lines were')} refused; {where}")


OUT_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option(
    "--format",
    "form",
    type=OneOf(["auto", "jsonl", "csv"]),
    default="auto",
    help="auto: CSV if the name ends in .csv or the first byte is not `{`.",
)
@click.option("--rejects", type=OUT_FILE, help="Write every refused line to this file, as JSONL.")
@click.option("--dry-run", is_flag=True, help="Check every line; register nothing.")
@click.option(
    "--restart", is_flag=True, help="Start over instead of continuing an interrupted import."
)
@click.option("--id", "id", help="Register one thread with this id.")
@click.option("--kind", help="Its kind; taken from the id's prefix where that is certain.")
@click.option("--project", help="Its project. Default: the only one, or `main`.")
@click.option("--created-at", help="When it was made: ISO 8601 or epoch seconds.")
@click.option("--last-active-at", help="When it was last used.")
@click.option("--metadata", multiple=True, metavar="K=V", help="Its metadata; repeatable.")
@click.pass_obj
def import_command(
    settings: Settings,
    /,
    *,
    file: Path | None,
    form: str,
    rejects: Path | None,
    dry_run: bool,
    restart: bool,
    metadata: tuple[str, ...],
    **one: str | None,
) -> None:
    """Import threads from JSONL or CSV, or register a single one. Idempotent; streams.

    A refused line is named, and the others are imported (exit 1). If interrupted, run the same
    command again to continue where it stopped.

    \b
    Fields: id kind project created_at last_active_at user keep_until metadata.KEY
    Examples:
      janitor import threads.csv --rejects rejects.jsonl
      psql "$APP_DB" --csv -c "SELECT id, created_at FROM chats" | janitor import -
      janitor import --id conv_123 --created-at 2026-01-31T12:00:00Z --metadata plan=trial
    """
    from janitor.app.inbox import take_in
    from janitor.app.open_registry import open_registry
    from janitor.config import load

    document = {name: value for name, value in one.items() if value is not None} | _pairs(metadata)
    _require_one(file, document, of_files=dry_run or restart or rejects is not None)
    config = load(settings.config_path(), environment=False)
    projects = tuple(config.projects)
    single = None if file is not None else _single(document, projects)
    with nullcontext() if dry_run else open_registry(config, create=True) as registry:
        if registry is not None:
            take_in(registry, now(), complain)
        if file is not None:
            order = _order(file, form, projects, rejects, restart=restart)
            import_file(settings, registry, order)
        elif registry is not None and single is not None:
            _show(settings, registry.registrations.add([single], now()), single.remarks)


def _order(
    file: Path, form: str, projects: tuple[str, ...], rejects: Path | None, *, restart: bool
) -> Order:
    from janitor.sources.importer import Order

    if str(file) == "-":
        return Order(None, "standard input", form, projects, rejects, restart)
    return Order(file, plain(file), form, projects, rejects, restart)


def _require_one(file: Path | None, values: dict[str, str], *, of_files: bool) -> None:
    if file is None and "id" not in values:
        raise click.UsageError("name a file, `-` for standard input, or --id")
    if file is None and of_files:
        raise click.UsageError("--rejects, --dry-run and --restart need a file")
    if file is not None and values:
        raise click.UsageError("--id and its options register one thread; leave the file out")


def _single(values: dict[str, str], projects: tuple[str, ...]) -> Registration:
    from janitor.sources.files import registration

    try:
        return registration(values, projects, strict=True)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _pairs(metadata: tuple[str, ...]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in metadata]
    if any(not key or not equals for key, equals, _ in pairs):
        raise click.UsageError("write --metadata KEY=VALUE")
    return {f"metadata.{key}": value for key, _, value in pairs}


def _show(settings: Settings, done: Registered, remarks: tuple[str, ...]) -> None:
    if settings.wants_table:
        click.echo(f"{done.added} added, {done.updated} updated, {done.unchanged} unchanged.")
        show_earlier(done.due_earlier)
        for remark in remarks:
            complain(remark)
    else:
        emit(settings, {**asdict(done), "remarks": list(remarks), "rejected": []})


@click.group("db")
def db_command() -> None:
    """Maintain the registry's database.

    \b
    Example:
      janitor db upgrade
    """


@db_command.command("upgrade")
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
@click.pass_obj
def upgrade_command(settings: Settings, *, wait: timedelta) -> None:
    """Upgrade the registry to this version's schema, while no run is active.

    It also converts the stored metadata if `registry: {keys, hash}` has changed. Commands that
    write the registry do both when they start; use this one where the registry is only read, or to
    watch it happen. Back up the registry first: there is no other way back.

    \b
    Examples:
      janitor db upgrade
      janitor db upgrade --wait 10m
    """
    from janitor.app.open_registry import open_registry
    from janitor.cli.progress import shown
    from janitor.config import load, load_registry
    from janitor.engine.progress import Progress
    from janitor.registry import upgrade

    where, progress = load_registry(settings.config_path()), Progress()
    progress.begin("upgrading the registry")
    with shown(progress):
        done = upgrade(where.url, password=where.password.reveal() or None, wait=wait)
        open_registry(load(settings.config_path(), environment=False)).close()
    if settings.wants_table:
        click.echo(plain(_sentence(done)))
    else:
        emit(settings, {"registry": done.name, "from": done.found, "to": done.now})


def _sentence(done: Upgrade) -> str:
    if done.found == done.now:
        return f"{done.name} is already at schema {done.now}; nothing to do"
    before = "empty" if done.found is None else f"at schema {done.found}"
    return f"{done.name} was {before} and is now at schema {done.now}"


KINDS = [kind.value for kind in Kind]
KIND = click.option("--kind", type=OneOf(KINDS), help="Only threads of this kind.")
PROJECT = click.option("--project", help="Only threads of this project.")
MISSING_SHOWN = 200


@click.group("missing")
def missing_command() -> None:
    """Threads that the server no longer knows, although janitor did not delete them.

    They are never removed automatically: janitor asks for them again after 1, 7 and 30 days, and
    they are active again once the server answers. If you know that they are gone, accept it.

    \b
    Examples:
      janitor missing list
      janitor missing accept --reason "deleted by hand on 3 May"
    """


@missing_command.command("list")
@PROJECT
@KIND
@click.pass_obj
def list_command(settings: Settings, *, project: str | None, kind: str | None) -> None:
    """List missing threads, since when, and when each is asked for next.

    State `missing` is confirmed; any other state is only a note, because nothing proved the key.

    \b
    Examples:
      janitor missing list
      janitor --output jsonl missing list --project main
    """
    _, registry = opened(settings)
    with registry:
        rows = (
            _row(entry)
            for entry in registry.threads.unknown_upstream(project, Kind(kind) if kind else None)
        )
        if settings.output == "jsonl":
            emit_lines(rows)
        elif settings.output == "json":
            emit(settings, {"missing": list(rows)})
        else:
            _table(rows)


def _row(entry: Entry) -> dict[str, Any]:
    thread = entry.thread
    return {
        "id": thread.key.id,
        "kind": thread.key.kind,
        "project": thread.key.project,
        "state": thread.state,
        "missing_since": entry.missing_since,
        "alive_at": entry.sightings.alive_at,
        "asked_again_at": entry.review_at,
        "policy": entry.policy,
        "archive": thread.copy.path if thread.copy else None,
    }


def _table(rows: Iterator[dict[str, Any]]) -> None:
    fields = ("project", "kind", "id", "state", "missing_since", "alive_at", "asked_again_at")
    shown = [[cell(row[name]) for name in fields] for row in islice(rows, MISSING_SHOWN)]
    if not shown:
        click.echo("Nothing is missing.")
        return
    table("Not known to the server", fields, shown)
    if next(rows, None) is not None:
        click.echo("… and more; --output jsonl lists all")
    click.echo('If they are gone for good: janitor missing accept --reason "..."')


@missing_command.command("accept")
@click.option("--reason", required=True, help="Why; kept on record.")
@click.option("--actor", help="Who accepts it. Default: the system user.")
@PROJECT
@KIND
@click.option(
    "--id", "ids", multiple=True, help="Only this thread, missing or deleting; repeatable."
)
@click.option(
    "--without-canary",
    is_flag=True,
    help="Believe the server even if no other thread answers. A wrong key looks exactly like "
    "this: use it only if a whole kind is gone. Needs --id, or --project and --kind, and "
    "asks for all registered threads of them.",
)
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
@click.pass_obj
def accept_command(
    settings: Settings,
    *,
    reason: str,
    actor: str | None,
    project: str | None,
    kind: str | None,
    ids: tuple[str, ...],
    without_canary: bool,
    wait: timedelta,
) -> None:
    """Ask for missing threads once more; those still unknown become tombstones.

    A thread that the server finds is active again. A held thread keeps its row. Another thread of
    the same project and kind has to answer, which proves the key; otherwise nothing is accepted
    (exit 4). With --id you vouch for threads that are `missing`, or stuck in `deleting`: they are
    asked for once more, any 404 will do, and no other thread has to answer. A thread that the
    server still has, or gives no answer about, stays as it is (exit 1, access 3). A tombstone says
    that the thread was missing, never that it was deleted; archive copies are kept as after a
    deletion. Nothing is changed at the server.

    \b
    Examples:
      janitor missing accept --reason "deleted by hand on 3 May"
      janitor missing accept --id conv_123 --reason "the user's own deletion"
      janitor missing accept --project main --kind thread --without-canary --reason "shut down"
    """
    from janitor.cli.plan import run
    from janitor.engine.accept_missing import Acceptance, accept_missing

    if without_canary and not ids and not (project and kind):
        raise click.UsageError("--without-canary needs --id, or both --project and --kind")
    who = actor or person()
    acceptance = Acceptance(
        reason, who, project, Kind(kind) if kind else None, ids, needs_canary=not without_canary
    )

    async def work(context: RunContext, stop: threading.Event) -> Report:
        return await accept_missing(context, acceptance, stop)

    run(settings, wait, None, work)


STATES = ("active", "archived", "soft_deleted", "deleting", "missing")


@click.command("export")
@click.option(
    "--registry", is_flag=True, expose_value=False, help="Export the registrations; the default."
)
@click.option(
    "-o",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file, readable by its owner only. Default: standard output.",
)
@click.option(
    "--format",
    "form",
    type=OneOf(["auto", "jsonl", "csv"]),
    default="auto",
    help="auto: CSV if the name ends in .csv.",
)
@PROJECT
@KIND
@click.option("--state", type=OneOf(STATES), help="Only threads in this state.")
@click.pass_obj
def export_command(
    settings: Settings,
    *,
    file: Path | None,
    form: str,
    project: str | None,
    kind: str | None,
    state: str | None,
) -> None:
    """Export the registry in the form that `import` reads. Streams; changes nothing.

    Contains what was reported of each thread that is not deleted, ordered by key: no states,
    copies or holds.

    \b
    Examples:
      janitor export -o threads.jsonl
      janitor export --format csv --kind thread | gzip > threads.csv.gz
    """
    from janitor.cli.inspect import opened
    from janitor.model import State
    from janitor.sources.exporter import written

    if form == "auto":
        form = "csv" if file is not None and file.suffix.lower() == ".csv" else "jsonl"
    if file is not None:
        require_private(file, "the export")
    _, registry = opened(settings)
    with registry:
        registrations = registry.registrations.stream(
            project=project,
            kind=Kind(kind) if kind else None,
            state=State(state) if state else None,
        )
        _write_export(file, written(registrations, form))
        waiting = registry.inbox.undrained()
    if waiting:
        told = counted(
            waiting,
            "registration is waiting in the inbox",
            "registrations are waiting in the inbox",
        )
        complain(f"{told}, not in this file; the next sweep imports the inbox")


def _write_export(file: Path | None, lines: Iterator[str]) -> None:
    if file is not None:
        write_private(file, lines, "the export")
    elif sys.stdout is not None:  # which may have been closed
        sys.stdout.writelines(lines)
        sys.stdout.flush()
