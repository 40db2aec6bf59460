"""Containers that several projects have registered: removed for one, gone for all.

Projects of the same account reach the same containers. Each row has its own policies, holds and
dates, and a removal needs the consent of every row.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from janitor.engine.context import RunContext
from janitor.model import REMOVING, Decision, Key, Reason, Stage, State, Thread, Veto
from janitor.policy.activity import Sightings
from janitor.registry import Entry

WAITING = frozenset({None, Reason.NOT_DUE})


def as_twin(entry: Entry, seen: Thread) -> Entry:
    """A row with what another project's row knows about the same container at the server.

    The facts seen last count, and of two times the later one, so that a twin never gets older.
    """
    thread, copy = entry.thread, entry.thread.copy
    is_same = copy is None or seen.newest_item in (None, copy.newest_item)
    twin = replace(
        thread,
        state=state_before(thread),
        created_at=seen.created_at or thread.created_at,
        last_active_at=_later(thread.last_active_at, seen.last_active_at),
        newest_item=seen.newest_item or thread.newest_item,
        items=thread.items if seen.items is None else seen.items,
        upstream=thread.upstream if seen.upstream is None else seen.upstream,
        copy_is_current=thread.copy_is_current and is_same,
    )
    return replace(entry, thread=twin)


def as_sighted(twin: Sightings, seen: Sightings) -> Sightings:
    """A row's sightings after a look at another row of its container."""
    return replace(
        twin,
        upstream_at=_later(twin.upstream_at, seen.upstream_at),
        baseline_at=twin.baseline_at or seen.baseline_at,
        changed_at=_later(twin.changed_at, seen.changed_at),
        newest_item=seen.newest_item,
        alive_at=seen.alive_at,
    )


def state_before(thread: Thread) -> State:
    """The state of a row before its removal was begun, or before the server forgot it."""
    if thread.state in (State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED):
        return thread.state
    if thread.soft_deleted_at is not None:
        return State.SOFT_DELETED
    return State.ARCHIVED if thread.copy_is_current else State.ACTIVE


def objection(stages: tuple[Stage, ...], twin: Thread, decision: Decision) -> str | None:
    """Why the removing stage in `stages` must wait for a twin about which `decision` was made.

    A twin allows what it is due for itself. If it still has to be copied, the removal waits for its
    copy.
    """
    if Stage.DELETE not in stages:
        is_marked = twin.state is State.SOFT_DELETED and decision.reason in WAITING
        allowed = is_marked or not REMOVING.isdisjoint(decision.stages)
    else:
        allowed = Stage.DELETE in decision.stages
        if allowed and Stage.ARCHIVE in decision.stages:
            return "not archived yet"
    if allowed:
        return None
    first = f"{decision.stage} comes first" if decision.stage else None
    return str(decision.reason or first or Reason.NOT_DUE)


def kept_by(decision: Decision, veto: Veto, now: datetime) -> Decision:
    """The decision without removals; copies are still made, and the next sweep looks again."""
    kept = replace(decision, reason=Reason.OTHER_PROJECT, veto=veto)
    if copies := tuple(stage for stage in decision.stages if stage not in REMOVING):
        return replace(kept, stages=copies)
    return replace(kept, stages=(), review_at=now)


class ContainerTurns:
    """Lets this process work on one row of a container at a time."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._locks: defaultdict[tuple[str, Key], asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def of(self, entry: Entry) -> AsyncIterator[Entry | None]:
        """Wait for the container's turn; yields the entry to continue with.

        The entry is read again if there are twins; it is `None` if the row was meanwhile removed
        with one of them, or is being removed.
        """
        key = entry.thread.key
        if not self._context.twins_of(key.project):
            yield entry
            return
        account = self._context.projects[key.project].account
        async with self._locks[account, replace(key, project="")]:
            fresh = await asyncio.to_thread(self._context.registry.threads.get, key)
            same = fresh is not None and _is_open(fresh) == _is_open(entry)
            yield fresh if same else None


def sharing(accounts: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The groups of projects that share an account; `accounts` are given by project."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name, account in sorted(accounts.items()):
        groups[account].append(name)
    return [tuple(names) for account, names in groups.items() if account and len(names) > 1]


def warning(names: Sequence[str]) -> str:
    """What it means that these projects reach the same containers, and what to do."""
    return (
        f"projects {' and '.join(names)} reach the same containers: their endpoint, key, "
        "organization, project, query and headers are the same. A container registered under "
        "several of them is removed only when all of them allow it. Unless that is intended, "
        "keep one of these projects, or give each its own key"
    )


def _is_open(entry: Entry) -> bool:
    return entry.thread.state not in (State.DELETING, State.DELETED)


def _later(*moments: datetime | None) -> datetime | None:
    return max((at for at in moments if at is not None), default=None)
