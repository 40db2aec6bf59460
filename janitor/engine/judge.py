"""Decides by the configured policies and, until they are approved, by those approved last too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from janitor.engine.keep_last import ContainerOf, Counts, Heads, Ranking, was_found
from janitor.model import REMOVING, Decision, Hold, Key, Thread
from janitor.policy import (
    Policies,
    decide,
    decide_unapproved,
    first_to_remove,
    tightened,
    with_edit_grace,
)
from janitor.registry import Entry, Registry


@dataclass(frozen=True, slots=True)
class Rankings:
    """A ranking by each set of policies, the configured one first."""

    sides: tuple[Ranking, ...]

    @property
    def configured(self) -> Ranking:
        """Places by the configured policies."""
        return self.sides[0]

    @property
    def approved(self) -> Ranking:
        """Places by the policies approved last."""
        return self.sides[-1]


class Judge:
    """Decides with holds and ranks. Without `approved` the configured policies decide alone.

    Without `heads`, a member of a group counts as alive unless it is noted missing.
    """

    def __init__(
        self,
        registry: Registry,
        policies: Policies,
        approved: Policies | None,
        holds: Sequence[Hold],
        heads: Heads | None = None,
        *,
        container_of: ContainerOf = lambda _: None,
    ) -> None:
        self._policies = policies
        self._approved = approved
        self._holds = holds
        self._heads = heads

        def by(counts: Counts, *, remembers: bool = False) -> Rankings:
            each = (
                Ranking(
                    *(registry, side, holds, counts),
                    remembers=remembers,
                    is_dry=heads is not None and heads.is_dry,
                    container_of=container_of,
                )
                for side in self.sides
            )
            return Rankings(tuple(each))

        self.ranks = any(rule.keep_last is not None for side in self.sides for rule in side.rules)
        """Whether any decision depends on other threads."""
        self._known = by(was_found, remembers=True)
        if heads is not None:
            self._seen = by(heads.is_alive)
            self._open = by(heads.is_open)
            self._possible = by(heads.may_be_alive)

    @property
    def sides(self) -> tuple[Policies, ...]:
        """The sets of policies that apply, the configured one first."""
        return (self._policies,) if self._approved is None else (self._policies, self._approved)

    def decide(self, thread: Thread, now: datetime) -> Decision:
        """Decide with the current holds and ranks; only what all sides remove is removed."""
        return self._decided(thread, now, self._known)

    def alone(self, thread: Thread, now: datetime) -> Decision:
        """What the configured policies decide by themselves, as they will once approved."""
        return self._alone(thread, now, self._known)

    def allowed(self, thread: Thread, now: datetime, *, alone: bool = False) -> Decision:
        """Like `decide`, but only threads that the run has seen alive take places.

        If only a missing answer keeps the thread, that is the reason, and the thread stays due.
        With `alone`, the configured policies decide by themselves.
        """
        by = self._alone if alone else self._decided
        known = by(thread, now, self._known)
        if self._heads is None or not self.ranks or not removes(known):
            return known
        seen = by(thread, now, self._seen)
        if removes(seen) or not removes(by(thread, now, self._possible)):
            return seen
        reason, due_at, base = self._heads.reason, known.due_at, known.age_base
        return replace(seen, reason=reason, due_at=due_at, age_base=base, review_at=now)

    def unasked(self, thread: Thread, now: datetime, *, alone: bool = False) -> list[Entry]:
        """The heads to probe next before the thread may leave its groups; none if it stays anyway.

        They are the most recently active threads not known to be gone, `count` of each group.
        """
        if self._heads is None:
            return []
        heads: dict[Key, Entry] = {}
        for ranking in self._open.sides[: 1 if alone else len(self.sides)]:
            for policy, before in ranking.before(thread, now).items():
                if not ranking.is_full(policy, before):
                    return []
                heads |= {head.thread.key: head for head in before if self._heads.is_unasked(head)}
        return list(heads.values())

    def leaders(self, thread: Thread, now: datetime) -> list[Entry]:
        """The top threads of its groups that the run has neither seen nor probed."""
        leaders = (
            leader for ranking in self._known.sides for leader in ranking.leaders(thread, now)
        )
        heads = self._heads
        return [] if heads is None else [leader for leader in leaders if heads.is_unasked(leader)]

    def with_edit_grace(self, before: Thread, thread: Thread, now: datetime) -> Thread:
        """The thread, with a grace if any side protected it until its metadata was edited."""
        for policies, ranking in zip(self.sides, self._known.sides, strict=True):
            ranks_before, ranks = ranking.of(before, now), ranking.of(thread, now)
            thread = with_edit_grace(
                before,
                thread,
                policies,
                self._holds,
                ranks_before=ranks_before,
                ranks=ranks,
                now=now,
            )
        return thread

    def tightened_by(self, thread: Thread, now: datetime) -> str | None:
        """The configured policy that removes a thread earlier than the approved ones would.

        `None` if nothing gets earlier and no protection ends; `''` if no policy can be named.
        """
        if self._approved is None or not tightened(
            thread,
            self._approved,
            self._policies,
            self._holds,
            old_ranks=self._known.approved.of(thread, now),
            new_ranks=self._known.configured.of(thread, now),
            now=now,
        ):
            return None
        return first_to_remove(thread, self._policies, now) or ""

    def _decided(self, thread: Thread, now: datetime, by: Rankings) -> Decision:
        if self._approved is None:
            return self._alone(thread, now, by)
        return decide_unapproved(
            thread,
            self._approved,
            self._policies,
            self._holds,
            approved_ranks=by.approved.of(thread, now),
            proposed_ranks=by.configured.of(thread, now),
            now=now,
        )

    def _alone(self, thread: Thread, now: datetime, by: Rankings) -> Decision:
        ranks = by.configured.of(thread, now)
        return decide(thread, self._policies, self._holds, ranks, now)


def removes(decision: Decision) -> bool:
    """Whether anything would be removed now."""
    return not REMOVING.isdisjoint(decision.stages)
