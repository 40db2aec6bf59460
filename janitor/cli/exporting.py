"""`export`: writing what is held back out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from janitor.cli.context import Settings
from janitor.cli.missing import KIND, PROJECT
from janitor.cli.outfile import write_private

STATES = ("active", "archived", "soft_deleted", "deleting", "missing")


@click.command("export")
@click.option("--registry", "whole", is_flag=True, help="Everything that was registered.")
@click.option(
    "-o",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write this file, for its owner alone. Default: standard output.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "jsonl", "csv"]),
    default="auto",
    help="auto: CSV where the name ends so.",
)
@PROJECT
@KIND
@click.option("--state", type=click.Choice(STATES), help="Only threads in this state.")
@click.pass_obj
def export_command(
    settings: Settings,
    *,
    whole: bool,
    file: Path | None,
    form: str,
    project: str | None,
    kind: str | None,
    state: str | None,
) -> None:
    """Write what was registered as an import reads it. Streams; changes nothing.

    What was reported of each thread that is not deleted, by key: no states, no copies, no holds.

    \b
    Examples:
      janitor export --registry -o threads.jsonl
      janitor export --registry --format csv --kind thread | gzip > threads.csv.gz
    """
    from janitor.cli.looking import opened
    from janitor.model import Kind, State
    from janitor.sources import written

    if not whole:
        raise click.UsageError("write --registry; one person's data cannot be exported yet")
    if form == "auto":
        form = "csv" if file is not None and file.suffix.lower() == ".csv" else "jsonl"
    _, registry = opened(settings)
    with registry:
        said = registry.registrations(
            project=project,
            kind=Kind(kind) if kind else None,
            state=State(state) if state else None,
        )
        lines = written(said, form)
        if file is not None:
            write_private(file, lines, "the export")
        elif sys.stdout is not None:  # which may have been closed
            sys.stdout.writelines(lines)
            sys.stdout.flush()
        waiting = registry.undrained()
    if waiting:
        told = f"{waiting} registrations wait in the inbox and are not in it; a sweep takes them in"
        click.echo(f"janitor: {told}", err=True)
