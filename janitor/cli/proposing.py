"""What `init` proposes of a table of the application's own, for a person to read and correct."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit, plain, table
from janitor.cli.looking import cell
from janitor.errors import ConfigError, FaultError, JanitorError

if TYPE_CHECKING:
    from janitor.registry import Registration
    from janitor.sources import Looked

log = logging.getLogger("janitor")

FIELDS = ("id", "kind", "created_at", "last_active_at", "metadata")


def looked_at(source: str | None, name: str | None) -> Looked | None:
    """What is proposed of a table; `None` where none was named.

    Raises:
        ConfigError, AccessError: Nothing can be proposed; says why.
    """
    if source is None and name is None:
        return None
    if source is None or name is None:
        raise click.UsageError("--source and --table belong together: a database and its table")
    from janitor.sources import look, settings_of

    sql = settings_of(source, Path.cwd())
    try:
        looked = look(sql, name)
    except JanitorError:
        raise
    except Exception as error:
        log.exception("--source %s: what was looked at", plain(name))
        raise FaultError("--source", error) from error
    _require_accepted(looked)
    return looked


def _require_accepted(looked: Looked) -> None:
    """Refuse, before anything is written, a proposal that the configuration would not take."""
    from janitor.config import parse
    from janitor.config.document import parse_document
    from janitor.config.starter import with_sources

    try:
        text = with_sources(looked.stanza)
        parse(parse_document(text.encode(), "the proposal").value)
    except ConfigError as error:
        raise ConfigError(
            f"--table {looked.table}: no source can be proposed that a configuration accepts; "
            "write it by hand",
            refusals=error.refusals,
        ) from error


def show(settings: Settings, looked: Looked | None, path: Path, *, written: bool) -> None:
    """Tell what was written or is to be pasted, the rows that it would register, and what next."""
    if not settings.wants_table:
        emit(
            settings,
            {"path": str(path), **({} if looked is None else _document(looked, written=written))},
        )
        return
    if looked is not None:
        _show(looked, path, written=written)
    if written:
        click.echo(f"wrote {path}")
        click.echo(f"next: set OPENAI_API_KEY, then `janitor validate {path}`")


def _document(looked: Looked, *, written: bool) -> dict[str, Any]:
    return {
        "written": written,
        "source": looked.source,
        "table": looked.table,
        "stanza": looked.stanza,
        "columns": {to: name for name, to in looked.proposal.columns},
        "watermark": looked.proposal.watermark and looked.proposal.watermark.name,
        "notes": looked.proposal.notes,
        "tried": looked.tried,
        "doubts": looked.doubts,
        "rows": [_row(row) for row in looked.rows],
    }


def _row(row: Registration | str) -> dict[str, Any]:
    if isinstance(row, str):
        return {"refused": row}
    return {
        "id": row.key.id,
        "kind": row.key.kind,
        "created_at": row.created_at,
        "last_active_at": row.last_active_at,
        "metadata": row.metadata,
    }


def _show(looked: Looked, path: Path, *, written: bool) -> None:
    for note in (*looked.proposal.notes, *looked.doubts):
        click.echo(plain(note))
    if not written:
        click.echo(f"\n{path} exists already; put this into it, and run `janitor validate {path}`:")
    click.echo(f"\n{looked.stanza}")
    rows = [_row(row) for row in looked.rows]
    taken = [[cell(row[name]) for name in FIELDS] for row in rows if "id" in row]
    if taken:
        table(f"The first rows of {looked.table}, as they would be registered", FIELDS, taken)
    for row in rows:
        if "refused" in row:
            click.echo(plain(row["refused"]))
    if not rows:
        click.echo(f"{looked.table} has no row that this reads yet")
    click.echo("")
