"""How plans and reports look: tables for people, documents for machines."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.output import (
    Settings,
    complain,
    emit,
    is_terminal,
    json_pieces,
    long_table,
    table,
)
from janitor.cli.private_file import write_private
from janitor.texts import counted, plain, span

if TYPE_CHECKING:
    from janitor.engine.decisions import Planned
    from janitor.engine.plan import Plan
    from janitor.engine.recovery import Unfinished
    from janitor.engine.report import Pruned, Report
    from janitor.registry import Pause


SHOWN = 30
APPLY = "Next: janitor plan -o plan.json; review it; janitor apply plan.json"


def plan(settings: Settings, made: Plan, file: Path | None, pauses: Sequence[Pause] = ()) -> None:
    """Show a plan and what is paused, and write it for `apply` if a file was named.

    Raises:
        ConfigError: The file cannot be written.
    """
    if file is not None:
        write_private(file, json_pieces(_document(made, pauses), 1), "the plan")
    if not settings.wants_table:
        emit(settings, _document(made, pauses), "decisions")
        _troubles(made)
        return
    _unfinished(made)
    _decisions(made)
    _failing([*islice(made.failing, SHOWN)], len(made.failing))
    _unanswered([thread.row() for thread in islice(made.unanswered, SHOWN)], len(made.unanswered))
    _kept(made.kept)
    _limits(made, file)
    _waiting(made)
    _unmatched(made.backlog.silent_rules)
    is_kept = made.mode == "audit" or bool(made.backlog.tripped)
    of = " of all of it, once nothing keeps it" if is_kept else ""
    click.echo(f"\nCost{of}: {_cost(made)}.")
    _asides(made)
    paused(pauses)
    click.echo(f"Nothing was changed. {_next(made, file, pauses)}")
    _troubles(made)


def _document(made: Plan, pauses: Sequence[Pause]) -> dict[str, Any]:
    """The plan as one JSON document, whose decisions are read as they are written."""
    shown = [pause_document(pause) for pause in pauses]
    return {"schema": 1, **made.document(iter), "pauses": shown}


def _decisions(made: Plan) -> None:
    columns = ("kind", "id", "stages", "policy", "last active", "first due", "reason")
    number = len(made.decisions)
    shown = SHOWN if is_terminal(sys.stdout) else number  # a piped plan is for review
    title = f"What a sweep would do at {_time(made.now)}"
    long_table(title, columns, lambda: map(_row, islice(made.decisions, shown)))
    if number > shown:
        click.echo(f"… and {number - shown} more; pipe the output, as in `janitor plan | less`")


def _unmatched(rules: Sequence[str]) -> None:
    from janitor.engine.unmatched_rules import message

    if rules:
        click.echo("")
    for rule in rules:
        click.echo(plain(message(rule)))


def _cost(made: Plan) -> str:
    from janitor.engine.cost import message

    text = message(made.cost)
    if text == "nothing" and made.unanswered:
        return "unknown, because no answer came"
    if not made.not_probed:
        return text
    return f"{text}; by the registry's facts where the server was not asked"


def _asides(made: Plan) -> None:
    """Show what else affects the plan: what was not asked, was not read, or does not answer."""
    if made.not_probed:
        so = "" if made.offline else f"; raise --probe: that takes {span(made.probe_seconds)} more"
        threads = counted(made.not_probed, "thread")
        click.echo(f"The server was not asked about {threads}{so}.")
    if made.due_earlier:
        click.echo(
            f"{counted(made.due_earlier, 'thread falls', 'threads fall')} due earlier, "
            "because of what an import or a source reported since the last sweep."
        )
    if made.undrained:
        waiting = counted(made.undrained, "registration waits", "registrations wait")
        click.echo(f"{waiting} in the inbox for the next sweep.")
    for text in made.sources_down.values():
        click.echo(plain(text))
    pruned(made.pruned, "would be removed")
    for text in made.pruned.messages():
        click.echo(plain(text))
    if made.archive_trouble is not None:
        click.echo(
            plain(
                f"{made.archive_trouble}. Until that is fixed, policies that archive remove "
                "nothing."
            )
        )


def pruned(found: Pruned, were: str) -> None:
    """Show what happens to the archive's copies that are past their date, if there are any."""
    number = found.foreseen if found.removed == 0 else found.removed
    lines = [f"{number} {were}"] if number else []
    lines += [f"{found.gone} had already been removed"] if found.gone else []
    kept = found.kept.total() + found.failed
    lines += [f"{kept} stay ({_reasons(found)})"] if kept else []
    if lines and not found.waiting:
        click.echo(f"Archive copies past their keep_for: {', '.join(lines)}.")


def _reasons(found: Pruned) -> str:
    reasons = {**found.kept, **({"damaged": found.failed} if found.failed else {})}
    return ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))


def paused(pauses: Sequence[Pause]) -> None:
    """Show which pauses are in force, and how they end."""
    from janitor.engine.pauses import message

    for pause in pauses:
        click.echo(plain(message(pause)))


def pause_document(pause: Pause) -> dict[str, Any]:
    """A pause, its message for people, and the command that ends it, for a JSON document."""
    from janitor.engine.pauses import message, resume_command

    return {**asdict(pause), "message": message(pause), "command": resume_command(pause)}


def _unfinished(made: Plan) -> None:
    """Show the unfinished deletions, and what is left to do for each."""
    if not made.unfinished:
        return
    title = "Unfinished deletions; the next sweep or apply continues them first"
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
    items = f"{counted(one.items, 'item')}, then " if one.items else ""
    return f"{items}the {one.key.kind}"


def _row(decision: Planned) -> tuple[object, ...]:
    key = decision.key
    stages = " → ".join(decision.stages) or "keep"
    active, reason = _time(decision.last_active_at), decision.reason or "due"
    if decision.stages and not decision.swept:
        reason = f"kept: {reason}"
    return (key.kind, key.id, stages, decision.policy, active, _due(decision), reason)


def _due(decision: Planned) -> str:
    """Since when the first stage is due; for a thread that is kept, when its next one will be."""
    if decision.due_at is None:
        return "" if not decision.stages else "unknown"
    return _time(decision.due_at) if decision.stages else f"{_time(decision.due_at)} (next stage)"


def _failing(rows: Sequence[Mapping[str, Any]], number: int) -> None:
    """Show what is also due, but waits after an attempt that failed or found it in use."""
    if not rows:
        return
    columns = ("kind", "id", "stage", "policy", "attempts", "retried", "last error")
    fields = ("kind", "id", "stage", "policy", "attempts", "retried_at", "last_error")
    shown = [[moment(row[name]) for name in fields] for row in rows]
    click.echo()
    title = "Due, but waiting after an attempt that failed or found it in use"
    table(title, columns, shown)
    if number > len(rows):
        click.echo(f"… and {number - len(rows)} more; `janitor list --failed` shows all")


def _unanswered(rows: Sequence[Mapping[str, Any]], number: int) -> None:
    """Show what may also be due, but could not be checked at the server."""
    if not rows:
        return
    fields = ("project", "kind", "id", "stage", "policy")
    click.echo()
    title = "Not in this plan, because they could not be checked; each is kept"
    table(title, fields, [[moment(row[name]) for name in fields] for row in rows])
    if number > len(rows):
        click.echo(f"… and {number - len(rows)} more; --output json shows all")


def _troubles(made: Plan) -> None:
    for text in made.troubles:
        complain(text)


def _kept(kept: dict[str, int]) -> None:
    if kept:
        text = ", ".join(f"{reason} {number}" for reason, number in sorted(kept.items()))
        click.echo(f"\nKept: {text}.")


def _limits(made: Plan, file: Path | None) -> None:
    from janitor.engine.limits import message

    is_audit, written = made.mode == "audit", None if file is None else str(file)
    for tripped in made.backlog.tripped.values():
        click.echo(f"\nLimit: {message(tripped, is_audit=is_audit, plan=written)}")
    if made.clock_trouble is not None:
        click.echo(f"\nLimit: {made.clock_trouble}.")


def _waiting(made: Plan) -> None:
    from janitor.engine.redecide import message

    if made.pending:
        due = made.kept["unapproved"]
        click.echo(f"\n{plain(message(made.policies_digest, made.unapproved, due))}")
        click.echo("Applying this plan also approves them; a sweep skips `unapproved` threads.")


def _next(made: Plan, file: Path | None, pauses: Sequence[Pause]) -> str:
    """What to do next, as the last sentence of a plan."""
    if made.mode == "audit":
        again = " and make the plan again" if file is not None else ""
        return f"Mode is audit: set `mode: enforce` in the configuration{again} to act."
    begun = any(one.kept is None for one in made.unfinished)
    if not begun and not made.decisions.acting:
        waiting = made.failing or made.unfinished or made.unanswered
        return "Nothing else is due." if waiting else "Nothing is due."
    if made.hypothetical:
        return "A plan made with --at cannot be applied."
    if not begun and not made.decisions.swept:
        return _next_of_kept(made, file, pauses)
    if file is not None:
        return f"Next: janitor apply {file}"
    return "Next: janitor sweep" if not made.backlog.tripped else APPLY


def _next_of_kept(made: Plan, file: Path | None, pauses: Sequence[Pause]) -> str:
    """The same, if a sweep would do nothing of what is due."""
    from janitor.engine.pauses import resume_command

    reasons = made.decisions.reasons
    if reasons == {"paused"}:
        return f"Next: {', '.join(dict.fromkeys(map(resume_command, pauses)))}"
    if reasons == {"audit"}:
        return "Everything due is under policies in audit mode: set `mode: enforce` there to act."
    if reasons == {"archive_down"}:
        return "Next: janitor doctor"
    return APPLY if file is None else f"Next: janitor apply {file}"


def report(settings: Settings, done: Report) -> None:
    """Show what a run did, what stopped it, and the next command."""
    from janitor.app.run_log import troubles

    if settings.wants_table:
        _report_table(done)
    else:
        emit(settings, report_document(done))
    for trouble in troubles(done):
        complain(trouble.message)


def report_document(done: Report) -> dict[str, Any]:
    """What a run did as one JSON document."""
    from janitor.engine.redecide import described

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
    """Show what `missing accept` did with its threads: at most 30, those not accepted first."""
    from janitor.engine.accept_missing import ACCEPTED, COMMAND

    if done.run.command != COMMAND:
        return
    told = sorted(done.answers, key=lambda answer: (answer.said == ACCEPTED, answer.key))
    for answer in told[:SHOWN]:
        click.echo(plain(f"{answer.key.project} {answer.key.kind} {answer.key.id}: {answer.said}"))
    if len(told) > SHOWN:
        click.echo(f"… and {len(told) - SHOWN} more; --output json shows all")
    if not told:
        click.echo("No matching thread is missing. All missing threads: janitor missing list")


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
    """A time to the second in UTC; anything else as text, `None` as an empty text."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "unknown"
