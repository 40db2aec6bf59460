"""Decides by the configured policies and, until they are approved, by the approved ones as well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from janitor.model import Decision, Hold, Thread
from janitor.policy import Policies, decide, decide_unapproved, first_to_remove, spared, tightened
from janitor.registry import Registry
from janitor.sweep.ranks import Ranking


class Judge:
    """Knows holds and ranks; without `approved` the configured policies decide alone."""

    def __init__(
        self,
        registry: Registry,
        policies: Policies,
        approved: Policies | None,
        holds: Sequence[Hold],
    ) -> None:
        self._policies = policies
        self._approved = approved
        self._holds = holds
        self._ranking = Ranking(registry, policies)
        self._approved_ranking = Ranking(registry, approved or policies)

    @property
    def sides(self) -> tuple[Policies, ...]:
        """Every policies that have a say."""
        return (self._policies,) if self._approved is None else (self._policies, self._approved)

    def decide(self, thread: Thread, now: datetime) -> Decision:
        """Decide with the holds and ranks of this moment; removed is only what all sides remove."""
        if self._approved is None:
            return self.alone(thread, now)
        return decide_unapproved(
            thread,
            self._approved,
            self._policies,
            self._holds,
            approved_ranks=self._approved_ranking.of(thread, now),
            proposed_ranks=self._ranking.of(thread, now),
            now=now,
        )

    def alone(self, thread: Thread, now: datetime) -> Decision:
        """What the configured policies decide by themselves, as they will once approved."""
        ranks = self._ranking.of(thread, now)
        return decide(thread, self._policies, self._holds, ranks, now)

    def spared(self, before: Thread, thread: Thread, now: datetime) -> Thread:
        """The thread, spared where any side protected it until its metadata was edited."""
        rankings = (self._ranking, self._approved_ranking)
        for policies, ranking in zip(self.sides, rankings, strict=False):
            ranks_before, ranks = ranking.of(before, now), ranking.of(thread, now)
            thread = spared(
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

        `None` where nothing gets earlier and no protection ends; `''` where no policy can be named.
        """
        if self._approved is None or not tightened(
            thread,
            self._approved,
            self._policies,
            self._holds,
            old_ranks=self._approved_ranking.of(thread, now),
            new_ranks=self._ranking.of(thread, now),
            now=now,
        ):
            return None
        return first_to_remove(thread, self._policies, now) or ""
