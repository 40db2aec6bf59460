"""`import`: filling the registry."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit, plain
from janitor.cli.options import quit_with
from janitor.errors import ConfigError

if TYPE_CHECKING:
    from janitor.registry import Registration, Registry
    from janitor.sources import Rejected

SHOWN = 20
BLANK = codecs.BOM_UTF8 + b" \t\r\n"


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "jsonl", "csv"]),
    default="auto",
    help="auto: CSV where the name ends so or the first byte is not `{`.",
)
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
    metadata: tuple[str, ...],
    **one: str | None,
) -> None:
    """Fill the registry from JSONL or CSV, or with one thread. Idempotent; streams.

    \b
    Fields: id kind project created_at last_active_at user keep_until metadata.KEY
    Examples:
      janitor import threads.csv
      psql "$APP_DB" --csv -c "SELECT id, created_at FROM chats" | janitor import -
      janitor import --id conv_123 --created-at 2026-01-31T12:00:00Z --metadata plan=trial
    """
    from janitor.cli.compose import open_registry
    from janitor.config import load

    config = load(settings.config_path(), environment=False)
    projects = tuple(config.projects)
    if one["id"] is not None:
        said = {name: value for name, value in one.items() if value is not None}
        lines = _single({**said, **_pairs(metadata)}, projects)
    elif file is None:
        raise click.UsageError("name a file, `-` for standard input, or --id")
    else:
        lines = _lines(file, form, projects)
    with open_registry(config) as registry:
        _register(settings, registry, lines, "" if file is None else _name(file))


def _single(row: dict[str, Any], projects: tuple[str, ...]) -> Iterator[Registration | Rejected]:
    from janitor.sources import registration

    try:
        yield registration(row, projects)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _lines(file: Path, form: str, projects: tuple[str, ...]) -> Iterator[Registration | Rejected]:
    from janitor.sources import read

    standard = str(file) == "-"
    try:
        with open(0 if standard else file, "rb", closefd=not standard) as binary:
            chosen = _form(binary, file) if form == "auto" else form
            text = io.TextIOWrapper(binary, "utf-8-sig", errors="surrogateescape", newline="")
            yield from read(text, chosen, projects, _name(file))
    except OSError as error:
        message = f"{_name(file)}: cannot be read: {error.strerror}; name another"
        raise ConfigError(message) from error


def _form(binary: io.BufferedReader, file: Path) -> str:
    """Judge by the name, else by the first character after a byte order mark and blanks."""
    first = binary.peek(1).lstrip(BLANK)[:1]
    if not first and not binary.peek(1):
        raise ConfigError(f"{_name(file)}: is empty; nothing was imported")
    return "jsonl" if first == b"{" and file.suffix.lower() != ".csv" else "csv"


def _name(file: Path) -> str:
    return "standard input" if str(file) == "-" else plain(file)


def _pairs(metadata: tuple[str, ...]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in metadata]
    if any(not key or not equals for key, equals, _ in pairs):
        raise click.UsageError("write --metadata KEY=VALUE")
    return {f"metadata.{key}": value for key, _, value in pairs}


def _register(
    settings: Settings, registry: Registry, lines: Iterator[Registration | Rejected], name: str
) -> None:
    """Register what is good, name what is not, and exit 1 where something was refused."""
    from janitor.cli.showing import now

    rejects: list[Rejected] = []
    counts = registry.register(_good(lines, rejects), now())
    if settings.wants_table:
        click.echo(f"{counts.added} added, {counts.updated} updated, {counts.unchanged} unchanged.")
    else:
        emit(settings, {**asdict(counts), "rejected": [asdict(reject) for reject in rejects]})
    for reject in rejects[:SHOWN]:
        click.echo(f"janitor: {name}:{reject.line}: {plain(reject.reason)}", err=True)
    if len(rejects) > SHOWN:
        click.echo(f"janitor: … {len(rejects)} lines were refused in all", err=True)
    quit_with(1 if rejects else 0)


def _good(
    lines: Iterator[Registration | Rejected], rejects: list[Rejected]
) -> Iterator[Registration]:
    from janitor.sources import Rejected

    for line in lines:
        if isinstance(line, Rejected):
            rejects.append(line)
        else:
            yield line
