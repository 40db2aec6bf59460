"""Pauses: which one covers a thread, and how it is described and recorded."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import datetime

from janitor.engine.context import RunContext
from janitor.registry import Entry, Note, Pause
from janitor.registry.pauses import EVERYTHING

PAUSED = "paused"
"""Why a paused thread is kept, and the name of the note in a run's record."""


def is_paused(context: RunContext, entry: Entry, *policies: str | None) -> bool:
    """Whether a pause covers the thread now; read each time, so that it takes effect at once.

    `policies` are those that act on it: if any of them is paused, so is the thread.
    """
    return is_covered(context.registry.pauses.in_force(context.clock()), entry, *policies)


def is_covered(pauses: Iterable[Pause], entry: Entry, *policies: str | None) -> bool:
    """Whether one of these pauses covers the thread."""
    project = entry.thread.key.project
    return any(pause.covers(project, policy) for pause in pauses for policy in policies)


def described(pause: Pause) -> str:
    """What is paused, by whom, since when, until when and why."""
    name = "" if pause.scope == EVERYTHING else pause.scope.replace(":", " ", 1) + ": "
    until = "" if pause.until is None else f" until {_minute(pause.until)}"
    return f"{name}paused by {pause.actor} since {_minute(pause.at)}{until}: {pause.reason}"


def resume_command(pause: Pause) -> str:
    """The command that ends the pause."""
    what, _, name = pause.scope.partition(":")
    return f"janitor resume --{what} {shlex.quote(name)}" if name else "janitor resume"


def message(pause: Pause, *, is_over: bool = False) -> str:
    """The pause as `described`, and how to end it or that it is over."""
    how = "over by now" if is_over else f"end it with `{resume_command(pause)}`"
    return f"{described(pause)}; {how}"


def note(pause: Pause) -> Note:
    """The pause as a note in a run's record, beside what was stopped."""
    until = "" if pause.until is None else pause.until.isoformat()
    who = {"scope": pause.scope, "reason": pause.reason, "actor": pause.actor}
    when = {"at": pause.at.isoformat(), "until": until}
    stop: dict[str, str | int] = {"project": "", "limit": PAUSED, "exit_code": 0}
    return stop | who | when | {"message": described(pause)}


def noted(notes: Iterable[Note]) -> list[Pause]:
    """The pauses in a run's record, each once."""
    pauses: dict[Pause, None] = {}
    for line in notes:
        if line["limit"] == PAUSED:
            scope, reason, actor, at, until = (
                str(line[name]) for name in ("scope", "reason", "actor", "at", "until")
            )
            ends_at = datetime.fromisoformat(until) if until else None
            pauses[Pause(scope, reason, actor, datetime.fromisoformat(at), ends_at)] = None
    return list(pauses)


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
