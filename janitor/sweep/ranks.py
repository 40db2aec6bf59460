"""A thread's places in its `keep_last` groups, read from the registry as far as needed."""

from __future__ import annotations

from datetime import datetime

from janitor.model import Key, Thread
from janitor.policy import Policies, Ranks
from janitor.policy.ranking import groups_of
from janitor.policy.rules import KeepLast
from janitor.registry import Registry

Place = tuple[datetime, Key]
Top = tuple[Place, ...]


class Ranking:
    """Ranks threads; remembers the top of a group for as long as it lives.

    Whoever acts makes a new one, so that no removal rests on what was remembered.
    """

    def __init__(self, registry: Registry, policies: Policies) -> None:
        self._registry = registry
        self._policies = policies
        self._lasts = {p.name: p.keep_last for p in policies.rules if p.keep_last is not None}
        self._tops: dict[tuple[str, str | None], Top] = {}

    def of(self, thread: Thread, now: datetime) -> Ranks:
        """The thread's place by policy; a place beyond `count` stands for all of those.

        It is placed by its own date as it is known now, which the registry may not have heard of.
        """
        if not self._lasts or thread.last_active_at is None or thread.last_active_at > now:
            return {}
        ranks = {}
        for policy, value in groups_of(thread, self._policies):
            mine = _order((thread.last_active_at, thread.key))
            top = self._top(policy, value, now)
            ranks[policy] = sum(_order(one) < mine for one in top if one[1] != thread.key)
        return ranks

    def _top(self, policy: str, value: str | None, now: datetime) -> Top:
        group = (policy, value)
        if group not in self._tops:
            self._tops[group] = self._read(policy, value, self._lasts[policy], now)
        return self._tops[group]

    def _read(self, policy: str, value: str | None, last: KeepLast, now: datetime) -> Top:
        top: list[Place] = []
        for member in self._registry.group(last.per, value):
            active_at = member.last_active_at
            if active_at is None or active_at > now:
                continue
            if (policy, value) in groups_of(member, self._policies):
                top.append((active_at, member.key))
                if len(top) == last.count:
                    break
        return tuple(top)


def _order(place: Place) -> tuple[float, str, Key]:
    """Sorts as groups do: the most recently active first, then by id."""
    active_at, key = place
    return -active_at.timestamp(), key.id, key
