"""Run policy fixtures against policies; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from janitor.config.fixtures import Fixture
from janitor.model import Decision, Key, State, Thread
from janitor.policy.decisions import decide
from janitor.policy.matching import Views, views_of
from janitor.policy.protections import Ranks, has_group
from janitor.policy.rulebook import rulebook
from janitor.policy.rules import Policies, Policy

RANKED = frozenset({State.ACTIVE, State.ARCHIVED})


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a decision is not what was expected; times are ISO 8601, `null` stands for none."""

    id: str
    field: str
    expected: str
    actual: str


def try_out(fixture: Fixture, policies: Policies) -> tuple[Difference, ...]:
    """Every difference between what a fixture expects and what the policies decide."""
    ranks = ranks_of(fixture.threads, policies, fixture.now)
    found: list[Difference] = []
    for thread in fixture.threads:
        if expected := fixture.expected.get(thread.key.id):
            decision = decide(thread, policies, fixture.holds, ranks[thread.key], fixture.now)
            found += _differences(thread.key.id, expected, _said(decision))
    return tuple(found)


def ranks_of(threads: Sequence[Thread], policies: Policies, now: datetime) -> Mapping[Key, Ranks]:
    """Each thread's place, from 0, in the group of every keep_last policy that matches it.

    A group is ranked by last activity, the latest first, ties by id. A thread of unknown or
    future activity, or without the group's key, takes no place.
    """
    ranks: dict[Key, dict[str, int]] = {thread.key: {} for thread in threads}
    taken: dict[tuple[str, str | None], int] = {}
    for thread in _latest_first(threads, now):
        for policy, group in _groups(thread, policies):
            place = taken.get((policy.name, group), 0)
            ranks[thread.key][policy.name] = place
            taken[policy.name, group] = place + 1
    return ranks


def _latest_first(threads: Sequence[Thread], now: datetime) -> list[Thread]:
    dated = [
        (thread.last_active_at, thread)
        for thread in threads
        if thread.state in RANKED and thread.last_active_at and thread.last_active_at <= now
    ]
    by_id = sorted(dated, key=lambda pair: pair[1].key.id)
    return [thread for _, thread in sorted(by_id, key=lambda pair: pair[0], reverse=True)]


def _groups(thread: Thread, policies: Policies) -> Iterator[tuple[Policy, str | None]]:
    views = views_of(thread)
    for policy in rulebook(policies).matched(thread.key, views).protecting:
        if policy.keep_last is not None and has_group(policy.keep_last, views):
            yield policy, _group(policy.keep_last.per, views)


def _group(per: str | None, views: Views | None) -> str | None:
    return None if per is None or views is None else views.union[per]


def _said(decision: Decision) -> Mapping[str, str | datetime | None]:
    return {
        "stage": decision.stage or "none",
        "policy": decision.policy,
        "due_at": decision.due_at,
        "reason": decision.reason,
    }


def _differences(
    id: str,
    expected: Mapping[str, str | datetime | None],
    said: Mapping[str, str | datetime | None],
) -> Iterator[Difference]:
    for field, value in expected.items():
        if value != said[field]:
            yield Difference(id, field, _shown(value), _shown(said[field]))


def _shown(value: str | datetime | None) -> str:
    match value:
        case None:
            return "null"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            return str(value)
