"""`explain`: one thread's facts, reasons and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit, plain, table
from janitor.cli.looking import cell, opened, row_of
from janitor.cli.showing import moment, now, pause_document
from janitor.errors import ConfigError

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.model import Decision
    from janitor.policy import Case
    from janitor.policy.schedule import Times
    from janitor.registry import Entry, Pause, Registry

STAGES = ("archive", "soft_delete", "trim", "delete")
APART = ("decision", "policies", "kept_by", "pauses", "holds", "history")
HOLD_FIELDS = ("hold", "matches", "since", "until", "released_at", "keeps_until")


@click.command("explain")
@click.argument("id")
@click.pass_obj
def explain_command(settings: Settings, *, id: str) -> None:
    """Tell what is known of one thread, what is decided about it and why, and its history.

    Every policy that matches is listed with the times of its stages, and whatever keeps the
    thread. Registry facts only: `janitor plan` asks the server.

    \b
    Example:
      janitor explain conv_123
    """
    from janitor.cli.inbox import catch_up

    config, registry = opened(settings)
    with registry:
        catch_up(config, registry)
        found = registry.find(id)
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
    from janitor.cli.compose import unasked_parts
    from janitor.policy import weigh
    from janitor.sweep.heads import Heads
    from janitor.sweep.paused import is_covered
    from janitor.sweep.ranks import Ranking
    from janitor.sweep.review import Reviewer

    at, holds = now(), registry.holds(now())
    reviewer = Reviewer(unasked_parts(config, registry), holds, Heads.unheard(at))
    thread = reviewer.spared(entry, entry.thread, at)
    ranks = Ranking(registry, config.policies, holds).of(thread, at)
    decision = reviewer.allowed(thread, at)
    case = weigh(thread, config.policies, holds, ranks, at)
    acting = [due.policy for stage, due in case.pending() if stage in decision.stages]
    pauses = [p for p in registry.pauses(at) if is_covered([p], entry, decision.policy, *acting)]
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
            "age_base": decision.age_base,
            "review_at": decision.review_at,
        },
        "policies": _policies(case),
        "kept_by": [*_paused_by(pauses), *_waiting_for(decision), *_kept_by(case)],
        "pauses": [pause_document(pause) for pause in pauses],
        "holds": _holds(registry, case, config),
        "history": [asdict(event) for event in registry.history(thread.key)],
    }


def _stopped_by(
    config: Config, entry: Entry, decision: Decision, pauses: Sequence[Pause]
) -> str | None:
    """Why a sweep would leave the thread as it is whatever is decided about it."""
    project = config.projects.get(entry.thread.key.project)
    if project is None or entry.thread.key.kind not in project.kinds:
        return "not_served"
    if pauses:
        return "paused"
    audited = config.policies.mode_of(decision.policy or "") == "audit"
    return "audit" if decision.stages and audited else None


def _paused_by(pauses: Sequence[Pause]) -> list[dict[str, Any]]:
    return [{"reason": "paused", "by": one.scope, "until": one.until} for one in pauses]


def _waiting_for(decision: Decision) -> list[dict[str, Any]]:
    """What keeps a thread until the others of its `keep_last` group have been asked for."""
    from janitor.model import Reason

    if decision.reason is not Reason.NOT_PROBED:
        return []
    return [{"reason": decision.reason, "by": decision.policy, "until": "never"}]


def _kept_by(case: Case) -> list[dict[str, Any]]:
    """Whatever keeps the thread; what is spared names what protected it before."""
    spared_by = {"released": case.thread.spared_by}
    return [
        {
            "reason": guard.reason,
            "by": guard.name or spared_by.get(guard.reason),
            "until": _until(guard.ends_at),
        }
        for guard in case.guards
    ]


def _holds(registry: Registry, case: Case, config: Config) -> list[dict[str, Any]]:
    """Every hold that was ever set on the thread as it is known now, with its dates."""
    from janitor.policy.matching import match_hold, views_of
    from janitor.policy.protections import hold_ends_at

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
        for record in registry.hold_records()
        if (found := match_hold(record.hold, case.thread, views))
    ]


def _policies(case: Case) -> list[dict[str, Any]]:
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
    facts = {name: value for name, value in document.items() if name not in APART}
    table("What is known", ("fact", "value"), [(n, cell(v)) for n, v in facts.items()])
    if document["attempts"]:
        _failure(document)
    decision = document["decision"].items()
    table("\nWhat is decided now", ("", ""), [(n, cell(v)) for n, v in decision])
    _rows("\nPolicies that match", ("policy", *STAGES), document["policies"])
    _rows("\nWhat keeps it", ("reason", "by", "until"), document["kept_by"])
    for pause in document["pauses"]:
        click.echo(plain(pause["message"]))
    _rows("\nHolds", HOLD_FIELDS, document["holds"])
    fields = ("at", "name", "stage", "outcome", "policy", "reason", "run")
    _rows("\nWhat happened", fields, document["history"])


def _failure(document: Mapping[str, Any]) -> None:
    """How the last attempt ended, and when the next one may be made."""
    how = "found somebody at work" if document["last_outcome"] == "busy" else "failed"
    number, rest = document["attempts"], document["review_at"]
    times = "" if number == 1 else f" ({number} in a row)"
    again = "" if rest is None else f" It is retried from {moment(rest)} UTC on."
    click.echo(plain(f"Its last attempt {how}{times}: {document['last_error']}.{again}"))


def _rows(title: str, fields: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        table(title, fields, ([cell(row[name]) for name in fields] for row in rows))
