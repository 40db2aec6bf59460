"""A thread's places in its `keep_last` groups, read from the registry as far as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice, takewhile

from janitor.model import Hold, Key, Presence, Thread
from janitor.policy import Policies, Ranks
from janitor.policy.ranking import Group, groups_of, is_removed_anyway
from janitor.registry import Entry, Registry
from janitor.registry.store import PAGE

Place = tuple[datetime, Key]
Order = tuple[float, str, Key]
Counts = Callable[[Entry], bool]
"""Whether a member takes a place, as far as is known of it."""
ContainerOf = Callable[[Key], Key | None]
"""One key for all rows of a container, where several projects have it registered."""

SPARE = 8
REMEMBERED_AT_MOST = 10_000


def was_found(entry: Entry) -> bool:
    """Whether nothing speaks against a member: it was there when it was last asked for, if ever."""
    return entry.missing_since is None


class Ranking:
    """Ranks threads among those members of their groups that `counts` lets take a place.

    Who is removed whatever `keep_last` says takes none, and a container but one, whoever has it
    registered. The top of a group is remembered for as
    long as the ranking lives, where it `remembers`: no removal may rest on that.
    """

    def __init__(
        self,
        registry: Registry,
        policies: Policies,
        holds: Sequence[Hold],
        counts: Counts = was_found,
        *,
        remembers: bool = True,
        container_of: ContainerOf = lambda _: None,
    ) -> None:
        self._registry = registry
        self._policies = policies
        self._holds = holds
        self._counts = counts
        self._remembers = remembers
        self._container_of = container_of
        self._lasts = {p.name: p.keep_last for p in policies.rules if p.keep_last is not None}
        self._tops: dict[Group, list[Entry]] = {}
        self._remembered = 0

    def of(self, thread: Thread, now: datetime) -> Ranks:
        """The thread's place by policy; a place beyond `count` stands for all of those.

        It is placed by its own date as it is known now, which the registry may not have heard of.
        """
        return {policy: len(before) for policy, before in self.before(thread, now).items()}

    def before(self, thread: Thread, now: datetime) -> dict[str, list[Entry]]:
        """Who takes a place before the thread, by policy, `count` of each group at most."""
        if not self._lasts or thread.last_active_at is None or thread.last_active_at > now:
            return {}
        mine = _order((thread.last_active_at, thread.key))
        return {
            group[0]: [
                one
                for one in self._top(group, now, mine)
                if not self._is_same(one.thread.key, thread.key) and _order(_place(one)) < mine
            ]
            for group in groups_of(thread, self._policies)
        }

    def leaders(self, thread: Thread, now: datetime) -> list[Entry]:
        """Those at the top of the thread's groups and before it, a few more than have places."""
        if thread.last_active_at is None:
            return []
        mine = _order((thread.last_active_at, thread.key))
        return [
            one
            for group in groups_of(thread, self._policies)
            for one in islice(self._members(group, now), self._lasts[group[0]].count + SPARE)
            if one.thread.key != thread.key and _order(_place(one)) < mine
        ]

    def is_full(self, policy: str, before: Sequence[Entry]) -> bool:
        """Whether so many take a place before a thread that it is none of the last ones."""
        return len(before) >= self._lasts[policy].count

    def _top(self, group: Group, now: datetime, mine: Order) -> list[Entry]:
        last = self._lasts[group[0]]
        if not self._remembers:
            before = takewhile(lambda one: _order(_place(one)) < mine, self._members(group, now))
            return list(islice(filter(self._counts, before), last.count))
        top = self._tops.get(group)
        if top is None:
            top = list(islice(filter(self._counts, self._members(group, now)), last.count))
            if self._remembered > REMEMBERED_AT_MOST:
                self._tops.clear()
                self._remembered = 0
            self._tops[group] = top
            self._remembered += len(top)
        return top

    def _members(self, group: Group, now: datetime) -> Iterator[Entry]:
        """Who may take a place, the most recently active first; a generator over pages."""
        last, taken = self._lasts[group[0]], set[Key]()
        page_size = min(last.count + SPARE, PAGE)
        for one in self._registry.group(last.per, group[1], page_size=page_size):
            active_at = one.thread.last_active_at
            if active_at is None or active_at > now:
                continue
            if group not in groups_of(one.thread, self._policies):
                continue
            container = self._container_of(one.thread.key)
            if container in taken:
                continue  # it has a place already, by its row of another project
            if is_removed_anyway(one.thread, self._policies, self._holds, now):
                continue
            if container is not None:
                taken.add(container)
            yield one

    def _is_same(self, one: Key, other: Key) -> bool:
        container = self._container_of(one)
        return one == other or (container is not None and container == self._container_of(other))


def as_seen(head: Entry, presence: Presence) -> Thread:
    """A head as the registry knows it, with what its container says."""
    created_at = presence.created_at or head.thread.created_at
    return replace(head.thread, created_at=created_at, upstream=presence.metadata)


def is_still_placed(
    head: Entry, seen: Thread, sides: Sequence[Policies], holds: Sequence[Hold], now: datetime
) -> bool:
    """Whether a head, as it was seen, is still in all groups that the registry has it in."""
    return all(
        {*groups_of(head.thread, side)} <= {*groups_of(seen, side)}
        and not is_removed_anyway(seen, side, holds, now)
        for side in sides
    )


def _place(entry: Entry) -> Place:
    at = entry.thread.last_active_at
    if at is None:
        raise ValueError("a thread of unknown activity has no place")
    return at, entry.thread.key


def _order(place: Place) -> Order:
    """Sorts as groups do: the most recently active first, then by id."""
    active_at, key = place
    return -active_at.timestamp(), key.id, key
