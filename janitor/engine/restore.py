"""Undoes soft deletes, and keeps the restored threads for a while."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from urllib.parse import unquote

from janitor.engine.breaker import REPEAT, ProjectHealth
from janitor.engine.context import ConnectedProject, RunContext
from janitor.engine.executor import SOFT_DELETE_MARK
from janitor.errors import AccessError, BusyError, ConfigError, DriverError, GoneError, JanitorError
from janitor.kinds import CATALOGUE
from janitor.model import Key, Mode, State
from janitor.policy import policies_digest
from janitor.registry import Entry, Event, RunRecord, RunResult, Settlement


def chosen(context: RunContext, ids: Iterable[str]) -> list[Entry]:
    """The soft-deleted threads with these ids.

    Raises:
        ConfigError: An id is not registered, names several threads, or is not soft-deleted; or
            the mode is audit, under which nothing is restored.
    """
    if context.policies.mode is Mode.AUDIT:
        raise ConfigError("mode is audit: nothing is restored; set `mode: enforce` to act")
    return [_soft_deleted(context, wanted) for wanted in ids]


def _soft_deleted(context: RunContext, id: str) -> Entry:
    registered = context.registry.threads.find(id)
    if not registered:
        raise ConfigError(f"{id!r} is not registered; see `janitor list`")
    marked = [entry for entry in registered if entry.thread.state is State.SOFT_DELETED]
    if len(marked) != 1:
        states = ", ".join(f"{e.thread.key.project}: {e.thread.state}" for e in registered)
        sentences = [f"{id}: not soft-deleted ({states}); only a soft delete can be undone"]
        sentences += [_whereabouts(context, e) for e in registered if _is_gone(e)]
        raise ConfigError(". ".join(sentences))
    return marked[0]


def _is_gone(entry: Entry) -> bool:
    return entry.thread.state is State.DELETED


def _whereabouts(context: RunContext, entry: Entry) -> str:
    """What is left of a deleted thread, and the commands that show it."""
    history = f"its history: janitor explain {entry.thread.key.id}"
    url = context.registry.copies.archive_url()
    if entry.thread.copy is None or url is None:
        return f"There is no copy of it; {history}"
    path = PurePath(unquote(url.removeprefix("file://")), entry.thread.copy.path)
    return f"Its copy is {path}. Show it: janitor archive show {entry.thread.key.id}; {history}"


@dataclass(frozen=True, slots=True)
class Restored:
    """The restored threads (`done`), and why the others stay marked.

    `causes` has each of these reasons once: one for each project that stopped, and for each other
    failure.
    """

    run: RunRecord
    done: tuple[Key, ...]
    failed: Mapping[Key, str]
    causes: tuple[str, ...]
    exit_code: int


async def restore(context: RunContext, entries: list[Entry], keep: timedelta) -> Restored:
    """Undo the soft deletes, including the mark upstream, and keep the threads for `keep`.

    A thread whose mark upstream cannot be removed stays marked; the others are restored.

    Raises:
        StoreError: The registry failed.
    """
    registry, now = context.registry, context.clock()
    digest = policies_digest(context.policies)
    run = registry.runs.start("restore", context.policies.mode, digest, now)
    health = ProjectHealth(context.projects, context.policies.limits, REPEAT)
    errors: dict[Key, JanitorError] = {}
    result = RunResult.FAILED
    try:
        for entry in entries:
            key = entry.thread.key
            try:
                await _restore(context, run, entry, keep, health)
            except (AccessError, ConfigError, DriverError) as error:
                errors[key] = error
        if len(errors) < len(entries):
            result = RunResult.PARTIAL if errors else RunResult.DONE
    finally:
        run = registry.runs.close(run.id, result, context.clock())
    done = tuple(entry.thread.key for entry in entries if entry.thread.key not in errors)
    failed = {key: str(error) for key, error in errors.items()}
    causes = tuple(dict.fromkeys(failed.values()))
    # 3 if access was refused, else 2 if the configuration lacks something, 1 for a failure.
    exit_code = max((error.exit_code for error in errors.values()), default=0)
    return Restored(run, done, failed, causes, exit_code)


async def _restore(
    context: RunContext, run: RunRecord, entry: Entry, keep: timedelta, health: ProjectHealth
) -> None:
    thread, now = entry.thread, context.clock()
    key = thread.key
    if CATALOGUE[key.kind].has_metadata and SOFT_DELETE_MARK in (thread.upstream or {}):
        project = context.projects.get(key.project)
        if project is None or key.kind not in project.drivers:
            raise ConfigError(
                f"{key.id}: its mark upstream cannot be removed, because no project "
                f"{key.project!r} that serves kind {key.kind} is configured; add it under "
                "`projects`"
            )
        await _unmark(project, entry, health)
    state = State.ARCHIVED if thread.copy_is_current else State.ACTIVE
    line = Event(run.id, now, key, "restored", policy=entry.policy)
    context.registry.settlements.settle(
        [Settlement(key, now, state=state, keep_until=now + keep, events=(line,))]
    )


async def _unmark(project: ConnectedProject, entry: Entry, health: ProjectHealth) -> None:
    """Remove the mark upstream; a project that was stopped is not called again."""
    key = entry.thread.key
    if (stop := health.breaker(key.project).stop) is not None:
        is_refused = stop.exit_code == AccessError.exit_code
        raise AccessError(stop.message) if is_refused else DriverError(stop.message)
    try:
        await project.drivers[key.kind].write_metadata(key.id, {SOFT_DELETE_MARK: None})
    except (GoneError, BusyError):  # the server did answer, about this thread
        health.answered(key.project)
        raise
    except (AccessError, DriverError) as error:
        health.failed(entry, error)
        raise
    health.answered(key.project)
