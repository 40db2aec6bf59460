"""`export`: writing what is held back out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click

from janitor.cli.context import Settings
from janitor.cli.missing import KIND, PROJECT
from janitor.errors import ConfigError

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
        _write(file, written(said, form))
        waiting = registry.undrained()
    if waiting:
        told = f"{waiting} registrations wait in the inbox and are not in it; a sweep takes them in"
        click.echo(f"janitor: {told}", err=True)


def _write(file: Path | None, lines: Iterable[str]) -> None:
    """Write a file for its owner alone, as a whole or not at all; or standard output, as it comes.

    Raises:
        ConfigError: It cannot be written.
    """
    if file is None:
        sys.stdout.writelines(lines)
        sys.stdout.flush()
        return
    try:
        if file.exists() and not file.is_file():
            with file.open("w", encoding="utf-8", newline="") as special:
                special.writelines(lines)
        else:
            _replace(file.resolve(), lines)
    except OSError as error:
        message = f"{file}: the export cannot be written: {error.strerror}; choose another place"
        raise ConfigError(message) from error


def _replace(place: Path, lines: Iterable[str]) -> None:
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with open(draft, "x", encoding="utf-8", newline="", opener=_for_its_owner) as written:
            written.writelines(lines)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(place)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
