"""The places of threads in their `keep_last` groups, for a whole set of threads at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from janitor.model import REMOVING, Hold, Key, State, Thread
from janitor.policy.evaluate import has_group, weigh
from janitor.policy.matching import rulebook, views_of
from janitor.policy.rules import Policies
from janitor.policy.schedule import ceiling_of

Group = tuple[str, str | None]
RANKED = frozenset({State.ACTIVE, State.ARCHIVED})


def ranks_of(
    threads: Iterable[Thread], policies: Policies, now: datetime, holds: Sequence[Hold] = ()
) -> dict[Key, dict[str, int]]:
    """The `Ranks` of each thread that has any, given every thread of the groups.

    A group is the threads that a policy matches, active or archived, with the same value of `per`;
    the most recently active is 0, ties are ordered by id. A thread of unknown or future activity or
    without the group key takes no place, nor does one that is removed anyway. All threads given are
    assumed to be alive.
    """
    groups: dict[Group, list[tuple[datetime, Thread]]] = defaultdict(list)
    for thread in threads:
        active_at = thread.last_active_at
        if thread.state in RANKED and active_at is not None and active_at <= now:
            for group in groups_of(thread, policies):
                groups[group].append((active_at, thread))
    ranks: dict[Key, dict[str, int]] = defaultdict(dict)
    for (policy, _), members in groups.items():
        by_id = sorted(members, key=lambda member: (member[1].key.id, member[1].key))
        rank = 0
        for _, thread in sorted(by_id, key=lambda one: one[0], reverse=True):
            ranks[thread.key][policy] = rank
            rank += not is_removed_anyway(thread, policies, holds, now)
    return dict(ranks)


def is_removed_anyway(
    thread: Thread, policies: Policies, holds: Sequence[Hold], now: datetime
) -> bool:
    """Whether a thread is to be removed now even if it is first in all its groups."""
    if ceiling_of(thread, policies.lifetime) > now:
        return False  # nothing else overrides `keep_last`
    first = {one.name: 0 for one in policies.rules if one.keep_last is not None}
    case = weigh(thread, policies, holds, first, now)
    return any(stage in REMOVING and due.at <= now for stage, due in case.pending())


def groups_of(thread: Thread, policies: Policies) -> list[Group]:
    """The groups that a thread belongs to, as the policy's name and the value of its `per`."""
    views = views_of(thread)
    matched = rulebook(policies).matched(thread.key, views)
    groups: list[Group] = []
    for policy in matched.protecting:
        last = policy.keep_last
        if last is not None and has_group(last, views):
            value = None if last.per is None or views is None else views.union[last.per]
            groups.append((policy.name, value))
    return groups
