"""`list`, `explain` and `runs`: looking at the registry without changing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit, emit_lines, emit_long, plain, table
from janitor.cli.options import quit_with
from janitor.cli.showing import moment, now, pause_document, paused
from janitor.errors import ConfigError

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.registry import Entry, Handover, Pause, Proposal, Registry, RunRecord

STATES = ("active", "archived", "soft_deleted", "deleting", "deleted", "missing")
SHOWN = 200


@click.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only threads in this state.")
@click.option("--due", is_flag=True, help="Only threads of which a stage is due.")
@click.option("--failed", is_flag=True, help="Only threads whose last attempt failed; says why.")
@click.option("--metadata", multiple=True, metavar="K=V", help="Only threads that carry this.")
@click.pass_obj
def list_command(
    settings: Settings, *, state: str | None, due: bool, failed: bool, metadata: tuple[str, ...]
) -> None:
    """List the registry; tombstones too.

    \b
    Examples:
      janitor list --state soft_deleted
      janitor list --failed
      janitor --output jsonl list --metadata user_id=u1
    """
    from janitor.cli.inbox import catch_up
    from janitor.model import State

    config, registry = opened(settings)
    pairs = dict(_pair(text) for text in metadata)
    with registry:
        catch_up(config, registry)
        entries = registry.select(
            state=State(state) if state else None,
            due_at_or_before=now() if due else None,
            failed=failed,
            metadata=pairs or None,
        )
        rows = (row_of(entry) for entry in entries)
        if settings.output == "jsonl":
            emit_lines(rows)
        elif settings.output == "json":
            emit(settings, {"threads": list(rows)})
        else:
            _list_table(rows, failed=failed)


def _list_table(rows: Iterator[dict[str, Any]], *, failed: bool) -> None:
    last = ("attempts", "last_error") if failed else ("metadata",)
    fields = ("project", "kind", "id", "state", "policy", "last_active_at", "review_at", *last)
    shown = [[cell(row[name]) for name in fields] for row in islice(rows, SHOWN)]
    table("Registry", fields, shown)
    if next(rows, None) is not None:
        click.echo("… and more; --output jsonl lists all")
    if failed and shown:
        click.echo(
            "Each is retried by the first sweep after its review_at; what is `deleting` is asked "
            "about by every sweep. Next: mend the cause, then janitor sweep. One thread's history: "
            "janitor explain ID"
        )


@click.command("runs")
@click.argument("id", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, help="How many to list.")
@click.pass_obj
def runs_command(settings: Settings, *, id: str | None, limit: int) -> None:
    """List past runs, zero-count ones too; or show one with its events and verify the chain.

    ID may be cut short. Exit code 1: a run or an event was changed after its run was closed.

    \b
    Examples:
      janitor runs
      janitor runs 6f1c0d
    """
    _, registry = opened(settings)
    with registry:
        if id is None:
            handed = registry.handed_over()
            waiting = registry.unapproved()
            _list_runs(settings, registry.runs(limit), registry.pauses(now()), handed, waiting)
        else:
            _show_run(settings, registry, id)


def _list_runs(
    settings: Settings,
    runs: list[RunRecord],
    pauses: Sequence[Pause],
    handed_over: Sequence[Handover],
    waiting: Proposal | None,
) -> None:
    from janitor.sweep import approval

    if not settings.wants_table:
        told = {
            "runs": [asdict(one) for one in runs],
            "pauses": [pause_document(one) for one in pauses],
            "handed_over": [asdict(one) for one in handed_over],
            "approval": waiting and approval.described(waiting.digest, waiting.threads),
        }
        emit(settings, told, "runs")
        return
    _runs_table("Runs, newest first", runs)
    for one in handed_over:
        who, since = plain(one.actor), moment(one.at)
        click.echo(f"Plan {one.digest[:12]} waits for `janitor serve`, by {who} since {since}.")
    paused(pauses)
    if waiting is not None:
        click.echo(plain(approval.message(waiting.digest, waiting.threads)))


def _runs_table(title: str, runs: list[RunRecord]) -> None:
    fields = ("id", "command", "started_at", "closed_at", "result", "mode", "counts")
    table(title, fields, [[cell(getattr(run, name)) for name in fields] for run in runs])


def _show_run(settings: Settings, registry: Registry, wanted: str) -> None:
    run, broken = _the_run(registry, wanted), registry.first_broken_run()
    events = (asdict(event) for event in registry.events(run.id))
    if settings.wants_table:
        _runs_table("Run", [run])
        _show_events(events)
        for stop in run.stops:
            verb = "Kept" if stop["limit"] == "paused" else "Stopped"
            click.echo(f"{verb}: {plain(stop['message'])}")
        state = f"BROKEN at run {broken}: a record was changed" if broken else "intact"
        click.echo(f"Digest {run.digest}: the chain of runs is {state}.")
    elif settings.output == "jsonl":
        emit_lines(events)
    else:
        emit_long({**asdict(run), "intact": broken is None, "broken_run": broken}, "events", events)
    if broken is not None:
        click.echo(
            f"janitor: run {broken} is not as it was closed, or one before it is gone", err=True
        )
    quit_with(0 if broken is None else 1)


def _the_run(registry: Registry, wanted: str) -> RunRecord:
    found = registry.runs_like(wanted.lower())
    if not found:
        raise ConfigError(f"there is no run {plain(wanted)}; list them with `janitor runs`")
    if len(found) > 1:
        ids = " and ".join(run.id for run in found)
        raise ConfigError(
            f"several runs begin with {plain(wanted)}, such as {ids}; write more of it"
        )
    return found[0]


def _show_events(events: Iterator[dict[str, Any]]) -> None:
    fields = ("at", "name", "key", "stage", "outcome", "policy", "reason", "response_id")
    shown = [[cell(event[name]) for name in fields] for event in islice(events, SHOWN)]
    table("Events", fields, shown)
    if next(events, None) is not None:
        click.echo("… and more; --output jsonl lists all")


def row_of(entry: Entry) -> dict[str, Any]:
    thread = entry.thread
    return {
        "id": thread.key.id,
        "kind": thread.key.kind,
        "project": thread.key.project,
        "state": thread.state,
        "created_at": thread.created_at,
        "last_active_at": thread.last_active_at,
        "review_at": entry.review_at,
        "due_at": entry.due_at,
        "policy": entry.policy,
        "metadata": {**(thread.reported or {}), **(thread.upstream or {})},
        "items": thread.items,
        "keep_until": thread.keep_until,
        "soft_deleted_at": thread.soft_deleted_at,
        "deleted_at": entry.deleted_at,
        "run": entry.deleted_run,
        "archive": thread.copy.path if thread.copy else None,
        "attempts": entry.attempts,
        "last_error": entry.last_error,
        "last_outcome": entry.last_outcome,
        "next": f"janitor explain {thread.key.id}" if entry.attempts else None,
    }


def cell(value: object) -> str:
    match value:
        case {"id": name, "kind": kind}:
            return f"{kind}/{name}"
        case dict() | list() | tuple():
            pairs = value.items() if isinstance(value, dict) else ((item, "") for item in value)
            return ", ".join(f"{name}={said}" if said != "" else str(name) for name, said in pairs)
        case _:
            return moment(value)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError("write --metadata KEY=VALUE")
    return key, value


def opened(settings: Settings) -> tuple[Config, Registry]:
    from janitor.cli.compose import open_registry
    from janitor.config import load

    config = load(settings.config_path(), environment=False)
    return config, open_registry(config, read_only=True)
