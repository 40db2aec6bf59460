"""`list`, `explain` and `runs`: look at the registry without changing it.

`explain`: one thread's facts, reasons and history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.options import DURATION, Count, OneOf, quit_with
from janitor.cli.output import Settings, complain, emit, emit_lines, emit_long, facts, now, table
from janitor.cli.render import moment, pause_document, paused
from janitor.errors import ConfigError
from janitor.kinds import Kind
from janitor.model import SORTABLE
from janitor.texts import plain, span

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.engine.progress import ExpectedEnd
    from janitor.model import Decision
    from janitor.policy import Evaluation
    from janitor.policy.schedule import Times
    from janitor.registry import Entry, Handover, Pause, PendingApproval, Registry, RunRecord


STATES = ("active", "archived", "soft_deleted", "deleting", "deleted", "missing")
KINDS = [kind.value for kind in Kind]
SHOWN = 200


@click.command("list")
@click.option("--state", type=OneOf(STATES), help="Only threads in this state.")
@click.option("--due", is_flag=True, help="Only threads with a stage that is due.")
@click.option(
    "--failed",
    is_flag=True,
    help="Only threads whose last attempt failed, or found them in use; and why.",
)
@click.option("--project", help="Only threads of this project.")
@click.option("--kind", type=OneOf(KINDS), help="Only threads of this kind.")
@click.option(
    "--metadata",
    multiple=True,
    metavar="K=V",
    help="Only threads with this metadata; repeat it for threads with all of it.",
)
@click.option(
    "--older-than",
    type=DURATION,
    help="Only threads whose last known activity is longer ago; not those of unknown activity.",
)
@click.option(
    "--larger-than",
    type=Count(0),
    help="Only threads that had more items when they were last copied.",
)
@click.option(
    "--sort", type=OneOf(SORTABLE), help="The order, unknown last. Default: project, kind, id."
)
@click.option("--reverse", is_flag=True, help="With --sort: the latest or largest first.")
@click.option(
    "--limit",
    type=Count(1),
    help=f"How many to list. Default: {SHOWN} rows in a table, all as JSON.",
)
@click.pass_obj
def list_command(
    settings: Settings,
    *,
    state: str | None,
    due: bool,
    failed: bool,
    project: str | None,
    kind: str | None,
    metadata: tuple[str, ...],
    older_than: timedelta | None,
    larger_than: int | None,
    sort: str | None,
    reverse: bool,
    limit: int | None,
) -> None:
    """List registered threads, including tombstones.

    \b
    Examples:
      janitor list --state soft_deleted
      janitor list --failed
      janitor list --kind thread --older-than 90d --sort last_active_at --limit 20
      janitor list --larger-than 500 --sort items --reverse
      janitor --output jsonl list --metadata user_id=u1 --metadata plan=trial
    """
    from janitor.app.inbox import catch_up
    from janitor.model import State
    from janitor.registry import ThreadOrder

    if reverse and sort is None:
        raise click.UsageError("--reverse needs --sort: add --sort FIELD")
    pairs = _pairs(metadata)
    config, registry = opened(settings)
    with registry:
        catch_up(config, registry, now(), complain)
        entries = registry.threads.select(
            state=State(state) if state else None,
            due_at_or_before=now() if due else None,
            failed=failed,
            project=project,
            kind=Kind(kind) if kind else None,
            metadata=pairs,
            active_at_or_before=None if older_than is None else now() - older_than,
            items_above=larger_than,
            order=None if sort is None else ThreadOrder(sort, reverse),
        )
        rows = (row_of(entry) for entry in islice(entries, limit))
        told = (sort, "items" if larger_than is not None else None)
        _list(settings, rows, failed=failed, shown=limit or SHOWN, told=told)


def _pairs(metadata: tuple[str, ...]) -> dict[str, str]:
    """The metadata that is asked for; a usage error if a key has two values."""
    pairs = dict(_pair(text) for text in metadata)
    for key, value in map(_pair, metadata):
        if pairs[key] != value:
            raise click.UsageError(f"--metadata {plain(key)} is given two values; write one")
    return pairs


def _list(
    settings: Settings,
    rows: Iterator[dict[str, Any]],
    *,
    failed: bool,
    shown: int,
    told: Sequence[str | None],
) -> None:
    """Show the rows; a table also has the columns that were asked for (`told`)."""
    if settings.output == "jsonl":
        emit_lines(rows)
        return
    if settings.output == "json":
        emit_long({}, "threads", rows)
        return
    last = ("review_at", "attempts", "last_error") if failed else ("due_at", "metadata")
    fields = ["project", "kind", "id", "state", "policy", "last_active_at", *last]
    fields[-1:-1] = [name for name in dict.fromkeys(told) if name and name not in fields]
    listed = [[cell(row[name]) for name in fields] for row in islice(rows, shown)]
    if not listed:
        click.echo("No thread matches.")
        return
    table("Registry", fields, listed)
    if next(rows, None) is not None:
        click.echo("… and more; --output jsonl lists all, --limit N lists up to N")
    if failed:
        click.echo(
            "Each is retried by the first sweep after its review_at; `deleting` threads are "
            "checked by every sweep. Next: fix the cause, then janitor sweep. One thread's "
            "history: janitor explain ID"
        )


@click.command("runs")
@click.argument("id", required=False)
@click.option("--limit", type=Count(1), default=20, help="How many to list.")
@click.pass_obj
def runs_command(settings: Settings, *, id: str | None, limit: int) -> None:
    """List past runs; or show one with its events, and verify the chain.

    Runs that did nothing are listed too. ID may be abbreviated. Exit code 1: a run or an event was
    changed after its run was closed.

    \b
    Examples:
      janitor runs
      janitor runs 6f1c0d
    """
    from janitor.engine.progress import expected_end

    _, registry = opened(settings)
    with registry:
        if id is None:
            handed = registry.plans.waiting()
            waiting = registry.policies.unapproved()
            _list_runs(
                settings,
                registry.runs.newest(limit),
                registry.pauses.in_force(now()),
                handed,
                waiting,
                end=expected_end(registry, now()),
            )
        else:
            _show_run(settings, registry, id)


def _list_runs(
    settings: Settings,
    runs: list[RunRecord],
    pauses: Sequence[Pause],
    handed_over: Sequence[Handover],
    waiting: PendingApproval | None,
    *,
    end: ExpectedEnd | None,
) -> None:
    from janitor.engine import redecide

    if not settings.wants_table:
        told = {
            "runs": [asdict(one) for one in runs],
            "pauses": [pause_document(one) for one in pauses],
            "handed_over": [asdict(one) for one in handed_over],
            "approval": waiting and redecide.described(waiting.digest, waiting.threads),
            "expected_end": end and {"run": end.run, "at": end.at},
        }
        emit(settings, told, "runs")
        return
    _runs_table("Runs, newest first", runs)
    if end is not None:
        left = max(0.0, (end.at - now()).total_seconds())
        click.echo(f"Run {end.run} is expected to end at {moment(end.at)}, in {span(left)}.")
    for one in handed_over:
        who, since = plain(one.actor), moment(one.at)
        click.echo(
            f"Plan {one.digest[:12]} is waiting for `janitor serve`, handed over by {who} at "
            f"{since}."
        )
    paused(pauses)
    if waiting is not None:
        click.echo(plain(redecide.message(waiting.digest, waiting.threads)))


def _runs_table(title: str, runs: list[RunRecord]) -> None:
    fields = ("id", "command", "started_at", "closed_at", "result", "mode", "counts")
    table(title, fields, [[cell(getattr(run, name)) for name in fields] for run in runs])


def _show_run(settings: Settings, registry: Registry, wanted: str) -> None:
    run, broken = _the_run(registry, wanted), registry.runs.first_broken()
    events = (asdict(event) for event in registry.runs.events(run.id))
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
        complain(f"run {broken} was changed after it was closed, or an earlier run is gone")
    quit_with(0 if broken is None else 1)


def _the_run(registry: Registry, wanted: str) -> RunRecord:
    found = registry.runs.like(wanted.lower())
    if not found:
        raise ConfigError(f"there is no run {plain(wanted)}; list them with `janitor runs`")
    if len(found) > 1:
        ids = " and ".join(run.id for run in found)
        raise ConfigError(
            f"several runs begin with {plain(wanted)}, such as {ids}; give more characters"
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
            return ", ".join(f"{name}={text}" if text != "" else str(name) for name, text in pairs)
        case _:
            return moment(value)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError("write --metadata KEY=VALUE")
    return key, value


def opened(settings: Settings) -> tuple[Config, Registry]:
    from janitor.app.open_registry import open_registry
    from janitor.config import load

    config = load(settings.config_path(), environment=False)
    return config, open_registry(config, read_only=True)


STAGES = ("archive", "soft_delete", "trim", "delete")
SECTIONS = ("decision", "policies", "kept_by", "pauses", "holds", "history")
HOLD_FIELDS = ("hold", "matches", "since", "until", "released_at", "keeps_until")


@click.command("explain")
@click.argument("id")
@click.pass_obj
def explain_command(settings: Settings, *, id: str) -> None:
    """Show what is known about one thread, what is decided and why, and its history.

    Lists every matching policy with the times of its stages, and everything that keeps the thread.
    Uses the registry only; `janitor plan` asks the server.

    \b
    Example:
      janitor explain conv_123
    """
    from janitor.app.inbox import catch_up

    config, registry = opened(settings)
    with registry:
        catch_up(config, registry, now(), complain)
        found = registry.threads.find(id)
        if not found:
            message = f"{plain(id)!r} is not registered; register it with `janitor import --id`"
            raise ConfigError(message)
        documents = [_explained(config, registry, entry) for entry in found]
    if not settings.wants_table:
        emit(settings, {"threads": documents}, "threads")
        return
    for document in documents:
        _show(document)


def _explained(config: Config, registry: Registry, entry: Entry) -> dict[str, Any]:
    from janitor.app.offline import offline_context
    from janitor.engine.keep_last import Heads, Ranking
    from janitor.engine.pauses import is_covered
    from janitor.engine.review import Reviewer
    from janitor.policy import weigh

    at, holds = now(), registry.holds.recent(now())
    reviewer = Reviewer(offline_context(config, registry), holds, Heads.unheard(at))
    thread = reviewer.with_edit_grace(entry, entry.thread, at)
    ranks = Ranking(registry, config.policies, holds).of(thread, at)
    decision = reviewer.allowed(thread, at)
    case = weigh(thread, config.policies, holds, ranks, at)
    acting = [due.policy for stage, due in case.pending() if stage in decision.stages]
    pauses = [
        p for p in registry.pauses.in_force(at) if is_covered([p], entry, decision.policy, *acting)
    ]
    return {
        **row_of(entry),
        "next": "janitor sweep" if entry.attempts else None,
        "source": thread.source,
        "vanished_at": thread.vanished_at,
        "decision": {
            "stage": decision.stage or "none",
            "stages": decision.stages,
            "policy": decision.policy,
            "reason": _stopped_by(config, entry, decision, pauses) or decision.why,
            "due_at": decision.due_at,
            "due_stage": _due_stage(case, decision),
            "age_base": decision.age_base,
            "review_at": decision.review_at,
        },
        "policies": _policies(case),
        "kept_by": [*_paused_by(pauses), *_waiting_for(decision), *_kept_by(case)],
        "pauses": [pause_document(pause) for pause in pauses],
        "holds": _holds(registry, case, config),
        "history": [asdict(event) for event in registry.runs.history(thread.key)],
    }


def _stopped_by(
    config: Config, entry: Entry, decision: Decision, pauses: Sequence[Pause]
) -> str | None:
    """Why a sweep would leave the thread as it is, whatever the decision."""
    project = config.projects.get(entry.thread.key.project)
    if project is None or entry.thread.key.kind not in project.kinds:
        return "not_served"
    if pauses:
        return "paused"
    audited = config.policies.mode_of(decision.policy or "") == "audit"
    return "audit" if decision.stages and audited else None


def _due_stage(case: Evaluation, decision: Decision) -> str | None:
    """The stage whose date `due_at` is."""
    dates = ((stage, due.at) for stage, due in case.pending())
    return next((stage for stage, at in dates if at == decision.due_at), None)


def _paused_by(pauses: Sequence[Pause]) -> list[dict[str, Any]]:
    return [{"reason": "paused", "by": one.scope, "until": one.until} for one in pauses]


def _waiting_for(decision: Decision) -> list[dict[str, Any]]:
    """What keeps a thread until the others of its `keep_last` group have been probed."""
    from janitor.model import Reason

    if decision.reason is not Reason.NOT_PROBED:
        return []
    return [{"reason": decision.reason, "by": decision.policy, "until": "never"}]


def _kept_by(case: Evaluation) -> list[dict[str, Any]]:
    """Everything that keeps the thread; a grace names what protected it before."""
    grace_by = {"released": case.thread.grace_by}
    return [
        {
            "reason": guard.reason,
            "by": guard.name or grace_by.get(guard.reason),
            "until": _until(guard.ends_at),
        }
        for guard in case.guards
    ]


def _holds(registry: Registry, case: Evaluation, config: Config) -> list[dict[str, Any]]:
    """Every hold, past or present, that matches or may match the thread as it is known now."""
    from janitor.policy.evaluate import hold_ends_at
    from janitor.policy.matching import match_hold, views_of

    views = views_of(case.thread)
    return [
        {
            "hold": record.hold.name,
            "matches": found.name.lower(),
            "since": record.added_at,
            "until": record.hold.until,
            "released_at": record.hold.released_at,
            "keeps_until": _until(hold_ends_at(record.hold, config.policies.release_grace)),
        }
        for record in registry.holds.records()
        if (found := match_hold(record.hold, case.thread, views))
    ]


def _policies(case: Evaluation) -> list[dict[str, Any]]:
    """Every policy that matches, with the time of each stage that it names."""
    each = case.of_each()
    rows = [{"policy": name, **_times(times)} for name, times in each.items()]
    protecting = [rule.name for rule in case.matched.protecting if rule.name not in each]
    return [*rows, *({"policy": name, **dict.fromkeys(STAGES)} for name in protecting)]


def _times(times: Times) -> dict[str, datetime | str | None]:
    named = zip(STAGES, times, strict=True)
    return {stage: None if due is None else _until(due.at) for stage, due in named}


def _until(at: datetime) -> datetime | str:
    from janitor.policy.schedule import NEVER

    return "never" if at == NEVER else at


def _show(document: Mapping[str, Any]) -> None:
    from janitor.model import LIVE

    known = {name: value for name, value in document.items() if name not in SECTIONS}
    facts("What is known", [(name, cell(value)) for name, value in known.items()])
    if document["attempts"]:
        _failure(document)
    if document["state"] in LIVE:
        _decided(document)
    for pause in document["pauses"]:
        click.echo(plain(pause["message"]))
    _rows("\nHolds", HOLD_FIELDS, [_open_end(hold, "keeps_until") for hold in _concerned(document)])
    fields = ("at", "name", "stage", "outcome", "policy", "reason", "run")
    _rows("\nHistory", fields, document["history"])


def _decided(document: Mapping[str, Any]) -> None:
    """Show what will happen to a thread that still exists, and why."""
    from janitor.model import State

    decision = dict(document["decision"])
    if document["state"] == State.DELETING:
        decision["reason"] = "being deleted: the next run finishes or withdraws it"
    facts("\nCurrent decision", [(name, cell(value)) for name, value in decision.items()])
    policies = document["policies"]
    trims = any(row["trim"] is not None for row in policies)
    stages = [stage for stage in STAGES if stage != "trim" or trims]
    _rows("\nMatching policies", ("policy", *stages), policies)
    kept_by = [_open_end(guard, "until") for guard in document["kept_by"]]
    _rows("\nWhat keeps it", ("reason", "by", "until"), kept_by)


def _concerned(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The holds to show; for a thread that is gone, only those that surely name it or its copy."""
    from janitor.model import LIVE

    is_there = document["state"] in LIVE
    return [hold for hold in document["holds"] if is_there or hold["matches"] == "yes"]


def _open_end(row: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    return {**row, field: "no end"} if row[field] == "never" else row


def _failure(document: Mapping[str, Any]) -> None:
    """Show how the last attempt ended, and when the next one may be made."""
    how = "found it in use" if document["last_outcome"] == "busy" else "failed"
    number, rest = document["attempts"], document["review_at"]
    times = "" if number == 1 else f" ({number} in a row)"
    again = "" if rest is None else f" Next attempt: {moment(rest)} UTC or later."
    click.echo(plain(f"Its last attempt {how}{times}: {document['last_error']}.{again}"))


def _rows(title: str, fields: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        table(title, fields, ([cell(row[name]) for name in fields] for row in rows))
