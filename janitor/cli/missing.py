"""`missing`: what the server no longer knows, and a person's word that it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit, emit_lines, table
from janitor.cli.looking import cell, opened
from janitor.cli.options import DURATION, person

if TYPE_CHECKING:
    import threading

    from janitor.model import Kind
    from janitor.registry import Entry
    from janitor.sweep import Parts, Report

KINDS = ("conversation", "chatkit_thread", "agent_session", "thread")
KIND = click.option("--kind", type=click.Choice(KINDS), help="Only threads of this kind.")
PROJECT = click.option("--project", help="Only threads of this project.")
SHOWN = 200


@click.group("missing")
def missing_command() -> None:
    """Threads that the server no longer knows, though janitor did not delete them.

    They are never removed by themselves: they are asked for again after 1, 7 and 30 days, and are
    active again once they answer. Whoever knows that they are gone accepts it.

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
    """List what is missing, since when, and when it is asked for again.

    State `missing` is believed; any other state was noted only, since nothing proved the key.

    \b
    Examples:
      janitor missing list
      janitor --output jsonl missing list --project main
    """
    _, registry = opened(settings)
    with registry:
        rows = (_row(entry) for entry in registry.unknown_upstream(project, _kind(kind)))
        if settings.output == "jsonl":
            emit_lines(rows)
        elif settings.output == "json":
            emit(settings, {"missing": list(rows)})
        else:
            _table(rows)


def _kind(name: str | None) -> Kind | None:
    from janitor.model import Kind

    return Kind(name) if name else None


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
    shown = [[cell(row[name]) for name in fields] for row in islice(rows, SHOWN)]
    if not shown:
        click.echo("Nothing is missing.")
        return
    table("Not known to the server", fields, shown)
    if next(rows, None) is not None:
        click.echo("… and more; --output jsonl lists all")
    click.echo('If they are gone for good: janitor missing accept --reason "..."')


@missing_command.command("accept")
@click.option("--reason", required=True, help="Why; it stays on record.")
@click.option("--actor", help="Who accepts it. Default: the user of the system.")
@PROJECT
@KIND
@click.option(
    "--id", "ids", multiple=True, help="Only this thread, missing or deleting; may be given again."
)
@click.option(
    "--without-canary",
    is_flag=True,
    help="Believe the server though no other thread answers. A wrong key looks exactly like this: "
    "only for a kind that is gone as a whole. Needs --id, or --project and --kind, and asks for "
    "all that is registered of them.",
)
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
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
    """Ask once more for what is missing; what is still unknown becomes a tombstone.

    What answers again is active again. What a hold names keeps its row. Another thread of the
    same project and kind has to answer, which proves the key; else nothing is accepted (exit 4).
    With --id you vouch for threads that are `missing`, or `deleting` where no answer ever ends
    that: they are asked for once more, any 404 will do, and no other thread has to answer. One
    that the server still has, or gives no answer about, stays as it is (exit 1, access 3).
    A tombstone says that it was missing, never that it was deleted; archive copies are kept as
    after a deletion. Nothing is changed at the server.

    \b
    Examples:
      janitor missing accept --reason "deleted by hand on 3 May"
      janitor missing accept --id conv_123 --reason "the user's own deletion"
      janitor missing accept --project main --kind thread --without-canary --reason "shut down"
    """
    from janitor.cli.sweeping import run
    from janitor.sweep import Acceptance, accept_missing

    if without_canary and not ids and not (project and kind):
        raise click.UsageError("--without-canary needs --id, or both --project and --kind")
    who = actor or person()
    said = Acceptance(reason, who, project, _kind(kind), ids, needs_canary=not without_canary)

    async def work(parts: Parts, stop: threading.Event) -> Report:
        return await accept_missing(parts, said, stop)

    run(settings, wait, None, work)
