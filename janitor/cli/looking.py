"""`list`, `explain` and `runs`: looking at the registry without changing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit, emit_lines, plain, table
from janitor.cli.options import quit_with
from janitor.cli.showing import moment, now
from janitor.errors import ConfigError

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.model import Decision
    from janitor.registry import Entry, Registry, RunRecord

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
    r"""List the registry; tombstones too.

    \b
    Examples:
      janitor list --state soft_deleted
      janitor list --failed
      janitor --output jsonl list --metadata user_id=u1
    """
    from janitor.model import State

    _, registry = _opened(settings)
    pairs = dict(_pair(text) for text in metadata)
    with registry:
        entries = registry.select(
            state=State(state) if state else None,
            due_at_or_before=now() if due else None,
            failed=failed,
            metadata=pairs or None,
        )
        rows = (_row(entry) for entry in entries)
        if settings.output == "jsonl":
            emit_lines(rows)
        elif settings.output == "json":
            emit(settings, {"threads": list(rows)})
        else:
            _list_table(rows, failed=failed)


def _list_table(rows: Iterator[dict[str, Any]], *, failed: bool) -> None:
    last = ("attempts", "last_error") if failed else ("metadata",)
    fields = ("project", "kind", "id", "state", "policy", "last_active_at", "review_at", *last)
    shown = [[_cell(row[name]) for name in fields] for row in islice(rows, SHOWN)]
    table("Registry", fields, shown)
    if next(rows, None) is not None:
        click.echo("… and more; --output jsonl lists all")


@click.command("explain")
@click.argument("id")
@click.pass_obj
def explain_command(settings: Settings, *, id: str) -> None:
    r"""Tell what is known of one thread, what is decided about it, and what happened to it.

    \b
    Example:
      janitor explain conv_123
    """
    from janitor.cli.reasons import decide_on_facts

    config, registry = _opened(settings)
    with registry:
        found = registry.find(id)
        if not found:
            message = f"{plain(id)!r} is not registered; register it with `janitor import --id`"
            raise ConfigError(message)
        documents = [
            _explained(registry, entry, decide_on_facts(config, registry, entry, now()))
            for entry in found
        ]
    if not settings.wants_table:
        emit(settings, {"threads": documents}, "threads")
        return
    for document in documents:
        _explain_table(document)


def _explained(registry: Registry, entry: Entry, decision: Decision) -> dict[str, Any]:
    history = [asdict(event) for event in registry.history(entry.thread.key)]
    said = {
        "stage": decision.stage or "none",
        "stages": decision.stages,
        "policy": decision.policy,
        "reason": decision.reason,
        "due_at": decision.due_at,
        "age_base": decision.age_base,
        "review_at": decision.review_at,
    }
    return {**_row(entry), "decision": said, "history": history}


def _explain_table(document: Mapping[str, Any]) -> None:
    facts = {n: v for n, v in document.items() if n not in ("decision", "history")}
    table("What is known", ("fact", "value"), [(n, _cell(v)) for n, v in facts.items()])
    decision = document["decision"].items()
    click.echo()
    table("What is decided now", ("", ""), [(n, _cell(v)) for n, v in decision])
    click.echo()
    fields = ("at", "name", "stage", "outcome", "policy", "reason", "run")
    rows = [[_cell(event[name]) for name in fields] for event in document["history"]]
    table("What happened", fields, rows)


@click.command("runs")
@click.argument("id", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, help="How many to list.")
@click.pass_obj
def runs_command(settings: Settings, *, id: str | None, limit: int) -> None:
    r"""List past runs, zero-count ones too; or show one with its events and verify the chain.

    \b
    Examples:
      janitor runs
      janitor runs 6f1c0d
    """
    _, registry = _opened(settings)
    with registry:
        if id is None:
            _list_runs(settings, registry.runs(limit))
        else:
            _show_run(settings, registry, id)


def _list_runs(settings: Settings, runs: list[RunRecord]) -> None:
    if not settings.wants_table:
        emit(settings, {"runs": [asdict(run) for run in runs]}, "runs")
        return
    fields = ("id", "command", "started_at", "closed_at", "result", "mode", "counts")
    rows = [[_cell(getattr(run, name)) for name in fields] for run in runs]
    table("Runs, newest first", fields, rows)


def _show_run(settings: Settings, registry: Registry, wanted: str) -> None:
    run = next((run for run in registry.runs(1_000_000) if run.id.startswith(wanted)), None)
    if run is None:
        raise ConfigError(f"there is no run {plain(wanted)}; list them with `janitor runs`")
    broken = registry.first_broken_run()
    events = (asdict(event) for event in registry.events(run.id))
    if settings.wants_table:
        _list_runs(settings, [run])
        fields = ("at", "name", "key", "stage", "outcome", "policy", "reason")
        table("Events", fields, ([_cell(event[name]) for name in fields] for event in events))
        click.echo(f"Digest {run.digest}: the chain of runs is {_state(broken)}.")
    else:
        emit(settings, {**asdict(run), "intact": broken is None, "events": list(events)}, "events")
    quit_with(0 if broken is None else 1)


def _state(broken: str | None) -> str:
    return "intact" if broken is None else f"BROKEN at run {broken}: a record was changed"


def _row(entry: Entry) -> dict[str, Any]:
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
    }


def _cell(value: object) -> str:
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


def _opened(settings: Settings) -> tuple[Config, Registry]:
    from janitor.cli.compose import open_registry
    from janitor.config import load

    config = load(settings.config_path(), environment=False)
    return config, open_registry(config, read_only=True)
