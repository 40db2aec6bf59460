"""How plans and reports look: tables for people, documents for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, as_json, emit, plain, table
from janitor.cli.outfile import write_private

if TYPE_CHECKING:
    from janitor.registry import Pause
    from janitor.sweep import Plan, Planned, Report
    from janitor.sweep.pruned import Pruned
    from janitor.sweep.unfinished import Unfinished

SHOWN = 30
APPLY = "Next: janitor plan -o plan.json; read it; janitor apply plan.json"


def now() -> datetime:
    """This moment, aware."""
    return datetime.now(UTC)


def plan(settings: Settings, made: Plan, file: Path | None, pauses: Sequence[Pause] = ()) -> None:
    """Show a plan and what is paused, and write it for `apply` where a file was named.

    Raises:
        ConfigError: The file cannot be written.
    """
    document = {
        "schema": 1,
        **made.document(),
        "pauses": [pause_document(pause) for pause in pauses],
    }
    if file is not None:
        text = json.dumps(document, indent=1, default=as_json)
        write_private(file, [text], "the plan")
    if not settings.wants_table:
        emit(settings, document, "decisions")
        return
    _unfinished(made)
    rows = [_row(decision) for decision in made.decisions]
    columns = ("kind", "id", "stages", "policy", "last active", "due since", "reason")
    table(f"What a sweep would do at {_time(made.now)}", columns, rows[:SHOWN])
    if len(rows) > SHOWN:
        click.echo(f"… and {len(rows) - SHOWN} more; --output json shows all")
    _failing(document["failing"])
    _kept(made.kept)
    _limits(made)
    _waiting(made)
    if silent := made.backlog.silent_rules:
        click.echo(f"\nRules that match no thread (a typo?): {', '.join(silent)}.")
    spent = document["cost"]
    click.echo(
        f"\nCost: {spent['deletes']} deletes and {spent['reads']} reads at least; about "
        f"{spent['seconds']:g} s at 300 deletes and 1000 reads a minute."
    )
    _asides(made)
    paused(pauses)
    click.echo(f"Nothing was changed. {_next(made, file, pauses)}")


def _asides(made: Plan) -> None:
    """What else bears on the plan: what was not asked, not read, or does not answer."""
    if made.not_probed:
        click.echo(f"{made.not_probed} were not asked about at the server; raise --probe.")
    if made.due_earlier:
        click.echo(
            f"{made.due_earlier} threads fall due earlier than by their first sight, after what an "
            "import or a source reported since the last sweep."
        )
    if made.undrained:
        click.echo(f"{made.undrained} registrations wait in the inbox; a sweep takes them in.")
    for said in made.sources_down.values():
        click.echo(plain(said))
    pruned(made.pruned, "would be removed")
    for said in made.pruned.messages():
        click.echo(plain(said))
    if made.archive_trouble is not None:
        click.echo(plain(f"{made.archive_trouble}. Nothing that is archived is removed meanwhile."))


def pruned(found: Pruned, were: str) -> None:
    """Tell what becomes of the archive's copies that are past their date, where there are any."""
    number = found.foreseen if found.removed == 0 else found.removed
    said = [f"{number} {were}"] if number else []
    said += [f"{found.gone} had been removed by somebody else"] if found.gone else []
    kept = found.kept.total() + found.failed
    said += [f"{kept} stay ({_reasons(found)})"] if kept else []
    if said and not found.waiting:
        click.echo(f"Archive copies past their keep_for: {', '.join(said)}.")


def _reasons(found: Pruned) -> str:
    reasons = {**found.kept, **({"damaged": found.failed} if found.failed else {})}
    return ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))


def paused(pauses: Sequence[Pause]) -> None:
    """Tell everybody who looks what is left alone for now, and how that ends."""
    from janitor.sweep.paused import message

    for pause in pauses:
        click.echo(plain(message(pause)))


def pause_document(pause: Pause) -> dict[str, Any]:
    """A pause, what people are told of it, and the command that ends it, for a JSON document."""
    from janitor.sweep.paused import message, resume_command

    return {**asdict(pause), "message": message(pause), "command": resume_command(pause)}


def _unfinished(made: Plan) -> None:
    """Show the removals that were begun, and what is left to do of each."""
    if not made.unfinished:
        return
    title = "Deletions that were begun; any sweep or apply goes on with them first"
    rows = [
        (*_begun(one), _left(one), _reason(one), one.last_error or "") for one in made.unfinished
    ]
    columns = ("kind", "id", "policy", "begun", "left to delete", "reason", "last error")
    table(title, columns, rows[:SHOWN])
    if len(rows) > SHOWN:
        click.echo(f"… and {len(rows) - SHOWN} more; --output json shows all")


def _begun(one: Unfinished) -> tuple[object, ...]:
    return (one.key.kind, one.key.id, one.policy, _time(one.since))


def _reason(one: Unfinished) -> str:
    if one.retried_at is not None and one.kept == "backoff":
        return f"backoff until {_time(one.retried_at)}"
    return one.kept or "due"


def _left(one: Unfinished) -> str:
    if one.container is None:
        return "not asked"
    if not one.container:
        return "nothing; to be confirmed"
    items = f"{one.items} items, then " if one.items else ""
    return f"{items}the {one.key.kind}"


def _row(decision: Planned) -> tuple[object, ...]:
    key = decision.key
    stages = " → ".join(decision.stages) or "keep"
    active, due = _time(decision.last_active_at), _time(decision.due_at)
    reason = decision.reason or "due"
    if decision.stages and not decision.swept:
        reason = f"kept: {reason}"
    return (key.kind, key.id, stages, decision.policy, active, due, reason)


def _failing(rows: Sequence[dict[str, Any]]) -> None:
    """What is due as well, but rests after an attempt that failed or found it in use."""
    if not rows:
        return
    columns = ("kind", "id", "stage", "policy", "attempts", "retried", "last error")
    fields = ("kind", "id", "stage", "policy", "attempts", "retried_at", "last_error")
    shown = [[moment(row[name]) for name in fields] for row in rows[:SHOWN]]
    click.echo()
    title = "Due, but backing off after an attempt that failed or found it in use"
    table(title, columns, shown)
    if len(rows) > SHOWN:
        click.echo(f"… and {len(rows) - SHOWN} more; `janitor list --failed` shows all")


def _kept(kept: dict[str, int]) -> None:
    if kept:
        said = ", ".join(f"{reason} {number}" for reason, number in sorted(kept.items()))
        click.echo(f"\nKept: {said}.")


def _limits(made: Plan) -> None:
    from janitor.sweep.backlog import message

    for tripped in made.backlog.tripped.values():
        click.echo(f"\nLimit: {message(tripped)}")
    if made.clock_trouble is not None:
        click.echo(f"\nLimit: {made.clock_trouble}.")


def _waiting(made: Plan) -> None:
    from janitor.sweep.approval import message

    if made.pending:
        due = made.kept["unapproved"]
        click.echo(f"\n{plain(message(made.policies_digest, made.unapproved, due))}")
        click.echo("Applying this plan approves them, too; a sweep leaves what is `unapproved`.")


def _next(made: Plan, file: Path | None, pauses: Sequence[Pause]) -> str:
    """What to do now, as the last sentence of a plan."""
    if made.mode == "audit":
        return "Mode is audit: set `mode: enforce` in the configuration to act."
    begun = any(one.kept is None for one in made.unfinished)
    if not begun and not any(decision.stages for decision in made.decisions):
        waiting = made.failing or made.unfinished
        return "Nothing else is due." if waiting else "Nothing is due."
    if made.hypothetical:
        return "A plan with --at only shows."
    if not begun and not any(row.swept for row in made.decisions):
        return _next_of_kept(made, file, pauses)
    if file is not None:
        return f"Next: janitor apply {file}"
    return "Next: janitor sweep" if not made.backlog.tripped else APPLY


def _next_of_kept(made: Plan, file: Path | None, pauses: Sequence[Pause]) -> str:
    """The same where a sweep would do nothing of what is due."""
    from janitor.sweep.paused import resume_command

    reasons = {row.reason for row in made.decisions if row.stages}
    if reasons == {"paused"}:
        return f"Next: {', '.join(dict.fromkeys(map(resume_command, pauses)))}"
    if reasons == {"audit"}:
        return "All of it is due under policies in audit: set `mode: enforce` there to act."
    if reasons == {"archive_down"}:
        return "Next: janitor doctor"
    return APPLY if file is None else f"Next: janitor apply {file}"


def report(settings: Settings, done: Report) -> None:
    """Show what a run did, what stopped it, and the next command."""
    if settings.wants_table:
        _report_table(done)
    else:
        emit(settings, report_document(done))
    from janitor.sweep import approval, backlog, twins

    for stop in done.stops:
        click.echo(f"janitor: {plain(stop.message)}", err=True)
    for said in (*done.silences, *done.lists, *done.pruned.messages()):
        click.echo(f"janitor: {plain(said)}", err=True)
    for names in done.sharing:
        click.echo(f"janitor: {plain(twins.warning(names))}", err=True)
    for said in done.sources.values():
        click.echo(f"janitor: {plain(said)}", err=True)
    for said in (*done.undone, *(left.message for left in done.in_use)):
        click.echo(f"janitor: {plain(said)}", err=True)
    for tripped in done.backlog.tripped.values():
        click.echo(f"janitor: {backlog.message(tripped)}", err=True)
    for said in paused_messages(done):
        click.echo(f"janitor: {plain(said)}", err=True)
    if (waiting := done.unapproved) is not None:
        due = done.kept.get("unapproved", 0)
        message = approval.message(waiting.digest, waiting.threads, due)
        click.echo(f"janitor: {plain(message)}", err=True)


def paused_messages(done: Report) -> list[str]:
    """What was paused, one sentence for each pause that stands or kept something."""
    from janitor.sweep.paused import message

    standing = [message(pause) for pause in done.pauses]
    return standing + [message(pause, is_over=True) for pause in done.past_pauses]


def report_document(done: Report) -> dict[str, Any]:
    """What a run did as one JSON document."""
    from janitor.sweep.approval import described

    return {
        "run": done.run.id,
        "command": done.run.command,
        "result": done.run.result,
        "mode": done.run.mode,
        "started_at": done.run.started_at,
        "closed_at": done.run.closed_at,
        "digest": done.run.digest,
        "outcomes": [
            {"policy": policy, "stage": stage, "outcome": outcome, "threads": number}
            for (policy, stage, outcome), number in sorted(done.outcomes.items())
        ],
        "kept": dict(done.kept),
        "limits": sorted(done.backlog.tripped),
        "stopped": [stop.limit for stop in done.stops],
        "stops": [stop.note() for stop in done.stops],
        "answers": [
            {**asdict(answer.key), "said": answer.said, "failed": answer.failed}
            for answer in done.answers
        ],
        "cut_short": done.cut_short,
        "failures": [
            {**asdict(failed), "next": "janitor list --failed"} for failed in done.failures
        ],
        "in_use": [{**asdict(left), "next": "janitor list --failed"} for left in done.in_use],
        "sources_down": sorted(done.sources),
        "pauses": [pause_document(pause) for pause in done.pauses],
        "pruned": done.pruned.removed,
        "archive_copies": done.pruned.document(),
        "same_containers": [list(names) for names in done.sharing],
        "approval": described(
            done.run.policies_digest, done.unapproved.threads if done.unapproved else None
        ),
    }


def _answers(done: Report) -> None:
    """What became of each thread that a person spoke of; where all was accepted, of a few."""
    from janitor.sweep.accept import ACCEPTED, COMMAND

    if done.run.command != COMMAND:
        return
    told = sorted(done.answers, key=lambda answer: (answer.said == ACCEPTED, answer.key))
    for answer in told[:SHOWN]:
        click.echo(plain(f"{answer.key.project} {answer.key.kind} {answer.key.id}: {answer.said}"))
    if len(told) > SHOWN:
        click.echo(f"… and {len(told) - SHOWN} more; --output json shows all")
    if not told:
        click.echo("No thread is missing there, or noted so: `janitor missing list`")


def _report_table(done: Report) -> None:
    title = f"Run {done.run.id}: {done.run.result} ({done.run.mode})"
    rows = [(*names, number) for names, number in sorted(done.outcomes.items())]
    if rows:
        table(title, ("policy", "stage", "outcome", "threads"), rows)
    else:
        did = "no thread was touched" if done.pruned.removed else "nothing was done"
        click.echo(f"{title}; {did}.")
    _answers(done)
    _kept(dict(done.kept))
    pruned(replace(done.pruned, due=0), "were removed")


def moment(value: object) -> str:
    """A time to the second in UTC; anything else as text, nothing as nothing."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "unknown"
