"""The registry: whether it can be used, what waits in it, and whether sweeps keep their time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from janitor.config import Config
from janitor.doctor.findings import Finding, attempt, doubtful, fine, wrong
from janitor.doctor.machine import room
from janitor.model import LIVE
from janitor.policy import policies_digest
from janitor.registry import Registry
from janitor.registry.schema import REVISION
from janitor.sources import INBOX, memories, troubles
from janitor.sources.discovery import place_of
from janitor.sweep.approval import message
from janitor.sweep.asking import CLOCK
from janitor.sweep.clocks import ClockWatch
from janitor.sweep.paused import described, resume_command

LIMIT = 4
SHOWN = 5  # rows of the inbox that are named
MUCH = 4096  # bytes of a lock file that are read
SPARE = timedelta(hours=1)


def open_finding(config: Config, registry: Registry) -> Iterator[Finding]:
    """That the registry is open, whether it can be written, and how much room it has."""
    living = sum(n for (_, _, state), n in registry.states().items() if state in LIVE)
    yield fine("database", f"{registry.name}: schema {REVISION}, {living} living threads")
    if (path := config.registry.path) is None:
        return
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        todo = f"run janitor as its owner, or give this user {path} and its directory"
        yield wrong("database", f"{path} cannot be written by this user", todo, code=2)
    yield from room("database", path.parent)
    yield from _lock(Path(f"{path.resolve()}.lock"))


def _lock(path: Path) -> Iterator[Finding]:
    try:
        holder = json.loads(path.read_bytes()[:MUCH] or b"null")
    except (OSError, ValueError):
        return
    if holder is not None:
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        yield fine("lock", f"{who} holds the run, or held it when it died: the next one takes over")


def look_at_work(
    config: Config, registry: Registry, now: datetime, due_by: datetime | None
) -> Iterator[Finding]:
    """What waits, what stands still and what is left out; `due_by` is when a sweep was due."""
    yield from attempt("inbox", lambda: _inbox(registry))
    yield from _sweeps(config, registry, now, due_by)
    yield from _approval(config, registry)
    yield from _unserved(config, registry)
    yield from _sources(config, registry)
    yield from _lists(registry)
    for pause in registry.pauses(now):
        todo = f"{resume_command(pause)}, once its reason is over"
        yield doubtful("pauses", described(pause), todo)


def _inbox(registry: Registry) -> Iterable[Finding]:
    waiting = f"{registry.undrained()} notices wait for the next sweep"
    if (trouble := troubles(registry).get(INBOX)) is None:
        yield fine("inbox", waiting)
    else:
        todo = "no thread is removed until it can be read: janitor sweep tries again"
        yield wrong("inbox", f"{trouble}; {waiting}", todo)
    if refused := registry.refused():
        says = f"{refused} notices of the last 30 days were refused"
        todo = "read the column `refused` of janitor_inbox; mend who wrote"
        yield doubtful("inbox", f"{says}: {_rows(registry.refused_rows(SHOWN), refused)}", todo)
    if doubted := registry.doubted():
        says = f"{len(doubted)} of the notices that wait cannot be believed"
        todo = "the next sweep refuses them, and the column `refused` then says why; mend who wrote"
        yield doubtful("inbox", f"{says}: {_rows(list(doubted), len(doubted))}", todo)


def _rows(numbers: list[int], of: int) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN]))
    return f"row {shown}" if of == 1 else f"rows {shown}{' ...' if of > SHOWN else ''}"


def _sweeps(
    config: Config, registry: Registry, now: datetime, due_by: datetime | None
) -> Iterator[Finding]:
    last = registry.last_completed(now)
    if last is None:
        todo = "janitor plan; then janitor sweep, or janitor serve"
        yield doubtful("sweeps", "no sweep ever went through everything", todo)
    elif due_by is not None and due_by < now:
        says = f"the last whole sweep ended {last:%Y-%m-%d %H:%M} UTC, another was due since"
        yield doubtful(
            "sweeps", says, "is `janitor serve` running? look into its log: janitor runs"
        )
    else:
        yield fine("sweeps", f"the last whole sweep ended {last:%Y-%m-%d %H:%M} UTC")
    longest = config.policies.limits.max_duration + SPARE
    for run in registry.unclosed_runs():
        since = f"run {run.id[:12]} ({run.command}) is open since {run.started_at:%Y-%m-%d %H:%M}"
        if run.started_at < now - longest:
            yield doubtful("sweeps", since, "its janitor died: janitor sweep closes it")
        else:
            yield fine("sweeps", f"{since} UTC")


def _approval(config: Config, registry: Registry) -> Iterator[Finding]:
    waiting, last = registry.unapproved(), registry.approval()
    digest = policies_digest(config.policies)
    if waiting is not None and waiting.digest == digest:
        says = message(digest, waiting.threads)
        yield doubtful(
            "policies", says, f"janitor plan; janitor approve {digest[:12]} --reason ..."
        )
    elif last is not None and last.digest != digest:
        says = "the policies are others than those approved last, and no sweep compared them yet"
        yield doubtful("policies", says, "janitor plan shows what they would change")


def _unserved(config: Config, registry: Registry) -> Iterator[Finding]:
    for (project, kind, state), number in sorted(registry.states().items()):
        served = config.projects.get(project)
        if state in LIVE and (served is None or kind not in served.kinds):
            says = f"{number} {state} threads of project {project}, kind {kind}, are not served"
            todo = f"they are kept for ever: add the kind under projects.{project}"
            if served is None:
                todo = (
                    "they are kept for ever: no project of that name is configured; correct who "
                    f"registers them, or add projects.{project}"
                )
            yield doubtful("not served", says, todo)


def _sources(config: Config, registry: Registry) -> Iterator[Finding]:
    known = memories(registry) if config.sources else {}
    for name in sorted(config.sources):
        memory = known.get(name)
        if memory is None or (memory.ended_at is None and memory.trouble is None):
            todo = f"janitor sync --source {name} --dry-run, then without"
            yield doubtful("sources", f"{name} was never read", todo)
        elif memory.trouble is not None:
            says = f"{name}: its last reading failed: {memory.trouble}"
            yield wrong(
                "sources", says, f"what it feeds is kept meanwhile: janitor sync --source {name}"
            )
        else:
            yield fine(
                "sources", f"{name} was read to its end {memory.ended_at:%Y-%m-%d %H:%M} UTC"
            )


def _lists(registry: Registry) -> Iterator[Finding]:
    for name, trouble in sorted(troubles(registry).items()):
        if place_of(name) is not None:
            says = f"{name}: the last walk of this list failed: {trouble}"
            yield wrong("discovery", says, "nothing is removed for it: janitor sync --discover")


def look_at_clock(watch: ClockWatch, registry: Registry | None) -> Iterator[Finding]:
    """Whether the clock agrees with the API's answers and with the time since boot."""
    if registry is not None:
        watch.compare(registry.recall(CLOCK))
    if watch.trouble is not None:
        yield wrong("clock", watch.trouble, "timedatectl", code=LIMIT)
    elif watch.is_heard:
        yield fine("clock", "agrees with the dates of the API's answers")
    else:
        todo = "mend what keeps the API from answering"
        yield doubtful("clock", "no answer of the API tells whether it is right", todo)
