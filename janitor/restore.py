"""Undoing: a soft delete is taken back, and the thread is kept for a while."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from janitor.catalogue import CATALOGUE
from janitor.errors import ConfigError
from janitor.model import Mode, State
from janitor.policy import policies_digest
from janitor.registry import Entry, Event, RunRecord, RunResult, Settlement
from janitor.sweep import Parts
from janitor.sweep.act import SOFT_DELETE_MARK


def chosen(parts: Parts, ids: Iterable[str]) -> list[Entry]:
    """The soft-deleted threads of these ids.

    Raises:
        ConfigError: An id is not registered, names several threads, or is not soft-deleted; or
            the mode is audit, under which nothing is restored.
    """
    if parts.policies.mode is Mode.AUDIT:
        raise ConfigError("mode is audit: nothing is restored; set `mode: enforce` to act")
    return [_one(parts, wanted) for wanted in ids]


def _one(parts: Parts, id: str) -> Entry:
    found = parts.registry.find(id)
    if not found:
        raise ConfigError(f"{id!r} is not registered; look with `janitor list`")
    marked = [entry for entry in found if entry.thread.state is State.SOFT_DELETED]
    if len(marked) != 1:
        states = ", ".join(f"{e.thread.key.project}: {e.thread.state}" for e in found)
        raise ConfigError(f"{id}: not soft-deleted ({states}); only a soft delete is undone so")
    return marked[0]


async def restore(parts: Parts, entries: list[Entry], keep: timedelta) -> RunRecord:
    """Take back the soft deletes, mark upstream included, and keep the threads for `keep`.

    Raises:
        DriverError, AccessError: A mark upstream could not be removed; that thread stays marked.
    """
    registry, now = parts.registry, parts.clock()
    digest = policies_digest(parts.policies)
    run = registry.open_run("restore", parts.policies.mode, digest, now)
    result = RunResult.FAILED
    try:
        for entry in entries:
            await _restore(parts, run, entry, keep)
        result = RunResult.DONE
    finally:
        run = registry.close_run(run.id, result, parts.clock())
    return run


async def _restore(parts: Parts, run: RunRecord, entry: Entry, keep: timedelta) -> None:
    thread, now = entry.thread, parts.clock()
    key = thread.key
    if CATALOGUE[key.kind].has_metadata and SOFT_DELETE_MARK in (thread.upstream or {}):
        project = parts.projects.get(key.project)
        if project is None or key.kind not in project.drivers:
            raise ConfigError(
                f"{key.id}: its mark upstream cannot be removed, since no project {key.project!r} "
                f"that serves kind {key.kind} is configured; add it under `projects`"
            )
        driver = project.drivers[key.kind]
        await driver.write_metadata(key.id, {SOFT_DELETE_MARK: None})
    state = State.ARCHIVED if thread.copy_is_current else State.ACTIVE
    line = Event(run.id, now, key, "restored", policy=entry.policy)
    parts.registry.settle(
        [Settlement(key, now, state=state, keep_until=now + keep, events=(line,))]
    )
