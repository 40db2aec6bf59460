"""What is still due when a sweep is over: left by a limit, a failure, somebody busy, or time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain

from janitor.model import LIVE, Mode, State
from janitor.registry import Entry
from janitor.sweep.approval import under_approval
from janitor.sweep.backlog import due_entries
from janitor.sweep.parts import Parts
from janitor.sweep.review import Reviewer


def overdue(parts: Parts, now: datetime) -> Mapping[str, datetime | None]:
    """Since when each policy's oldest undone thing is due, `None` where nothing is.

    Policies in audit are left out: they promise nothing. Reads what is up for review and what
    rests after a failure, both by an index; asks no server and changes nothing.
    """
    parts = under_approval(parts)
    enforced = [one.name for one in parts.policies.rules if _is_enforced(parts, one.name)]
    oldest: dict[str, datetime | None] = dict.fromkeys(enforced)
    reviewer = Reviewer(parts, parts.registry.holds(now))
    for policy, at in _left(parts, reviewer, now):
        if _is_enforced(parts, policy):
            known = oldest.get(policy)
            oldest[policy] = at if known is None else min(known, at)
    return oldest


def _is_enforced(parts: Parts, policy: str) -> bool:
    return parts.mode_of(policy) is Mode.ENFORCE


def _left(parts: Parts, reviewer: Reviewer, now: datetime) -> Iterator[tuple[str, datetime]]:
    registry = parts.registry
    resting = (one for one in registry.select(failed=True) if one.thread.state in LIVE)
    for entry in chain(due_entries(registry, now), resting):
        policy, at = _due(reviewer, entry, now)
        if policy is not None and at is not None and at <= now:
            yield policy, at


def _due(reviewer: Reviewer, entry: Entry, now: datetime) -> tuple[str | None, datetime | None]:
    if entry.thread.state is State.DELETING:  # decided long ago, and not yet brought to an end
        return entry.policy, entry.due_at
    if not reviewer.serves(entry):
        return None, None
    decision = reviewer.on_facts(entry, now).decision
    return (decision.policy, decision.due_at) if decision.stages else (None, None)
