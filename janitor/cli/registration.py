"""`import`: filling the registry."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit, plain

if TYPE_CHECKING:
    from janitor.registry import Registered, Registration
    from janitor.sources import Order

OUT_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "jsonl", "csv"]),
    default="auto",
    help="auto: CSV where the name ends so or the first byte is not `{`.",
)
@click.option("--rejects", type=OUT_FILE, help="Name every refused line in this file, as JSONL.")
@click.option("--dry-run", is_flag=True, help="Read and judge every line; register nothing.")
@click.option("--restart", is_flag=True, help="Begin anew where an import was cut short.")
@click.option("--id", "id", help="Register one thread of this id.")
@click.option("--kind", help="Its kind; guessed from the id's prefix where that is certain.")
@click.option("--project", help="Its project. Default: the only one, or `main`.")
@click.option("--created-at", help="When it was made: ISO 8601 or epoch seconds.")
@click.option("--last-active-at", help="When it was last used.")
@click.option("--metadata", multiple=True, metavar="K=V", help="What the application knows of it.")
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
    """Fill the registry from JSONL or CSV, or with one thread. Idempotent; streams.

    A line that is refused is named, and the others are taken (exit 1). Cut short, the same command
    goes on where it stopped.

    \b
    Fields: id kind project created_at last_active_at user keep_until metadata.KEY
    Examples:
      janitor import threads.csv --rejects rejects.jsonl
      psql "$APP_DB" --csv -c "SELECT id, created_at FROM chats" | janitor import -
      janitor import --id conv_123 --created-at 2026-01-31T12:00:00Z --metadata plan=trial
    """
    from janitor.cli.compose import open_registry
    from janitor.cli.importing import import_file
    from janitor.cli.inbox import complain, take_in
    from janitor.cli.showing import now
    from janitor.config import load

    said = {name: value for name, value in one.items() if value is not None} | _pairs(metadata)
    _require_one(file, said, of_files=dry_run or restart or rejects is not None)
    config = load(settings.config_path(), environment=False)
    projects = tuple(config.projects)
    single = None if file is not None else _single(said, projects)
    with nullcontext() if dry_run else open_registry(config, create=True) as registry:
        if registry is not None:
            take_in(registry, now(), complain)
        if file is not None:
            order = _order(file, form, projects, rejects, restart=restart)
            import_file(settings, registry, order)
        elif registry is not None and single is not None:
            _show(settings, registry.register([single], now()), single.remarks)


def _order(
    file: Path, form: str, projects: tuple[str, ...], rejects: Path | None, *, restart: bool
) -> Order:
    from janitor.sources import Order

    if str(file) == "-":
        return Order(None, "standard input", form, projects, rejects, restart)
    return Order(file, plain(file), form, projects, rejects, restart)


def _require_one(file: Path | None, said: dict[str, str], *, of_files: bool) -> None:
    if file is None and "id" not in said:
        raise click.UsageError("name a file, `-` for standard input, or --id")
    if file is None and of_files:
        raise click.UsageError("--rejects, --dry-run and --restart are for files")
    if file is not None and said:
        raise click.UsageError("--id and what goes with it register one thread, without a file")


def _single(said: dict[str, str], projects: tuple[str, ...]) -> Registration:
    from janitor.sources import registration

    try:
        return registration(said, projects, strict=True)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _pairs(metadata: tuple[str, ...]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in metadata]
    if any(not key or not equals for key, equals, _ in pairs):
        raise click.UsageError("write --metadata KEY=VALUE")
    return {f"metadata.{key}": value for key, _, value in pairs}


def _show(settings: Settings, done: Registered, remarks: tuple[str, ...]) -> None:
    from janitor.cli.importing import show_earlier
    from janitor.cli.inbox import complain

    if settings.wants_table:
        click.echo(f"{done.added} added, {done.updated} updated, {done.unchanged} unchanged.")
        show_earlier(done.due_earlier)
        for remark in remarks:
            complain(remark)
    else:
        emit(settings, {**asdict(done), "remarks": list(remarks), "rejected": []})
