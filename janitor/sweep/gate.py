"""Whether a sweep may act on what is due. A sweep and a plan ask the same questions here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from janitor.errors import ArchiveError
from janitor.model import REMOVING, Mode, Stage
from janitor.registry import Pause
from janitor.sweep.parts import Parts
from janitor.sweep.paused import PAUSED, is_covered
from janitor.sweep.review import Review


def is_paused_by(pauses: Iterable[Pause], review: Review) -> bool:
    """Whether one of these pauses covers the thread, or what would remove it."""
    return is_covered(pauses, review.entry, *review.decision.policies, review.remover)


@dataclass(slots=True)
class Gate:
    """What stands between a decision and its being carried out, besides the thread itself.

    `current` reads the pauses in force. `forbidden` are the policies over a limit; `is_counted`
    says that limits were counted at all, and `pauses` are those that stood then: what they cover
    was counted under no limit, so it waits for the next sweep even where the pause ends in the
    midst of this one. `only` is the one policy that is swept.
    """

    parts: Parts
    current: Callable[[], Iterable[Pause]]
    forbidden: frozenset[str] = frozenset()
    is_counted: bool = False
    pauses: tuple[Pause, ...] = ()
    only: str | None = None

    def before_look(self, review: Review) -> str | None:
        """Why a thread is not even asked about, judged by the registry's facts, or `None`."""
        if self._is_paused(review):
            return PAUSED
        return "limit" if self._is_over_a_limit(review) else None

    def after_look(
        self, review: Review, counted: str | None, archive_error: ArchiveError | None
    ) -> str | None:
        """Why a thread with due stages is left as it is, or `None` where a sweep may act.

        `counted` is the policy that it was counted under: what a probe finds due elsewhere is
        recorded, and counted there by the next sweep before anything is done.
        """
        if self._is_paused(review):
            return PAUSED
        if self._is_over_a_limit(review):
            return "limit"
        if self.only not in (None, review.remover or review.decision.policy):
            return "other_policy"
        if self.is_counted and review.remover not in (None, counted):
            return "uncounted"
        if self.is_audited(review):
            return "audit"
        archives = Stage.ARCHIVE in review.decision.stages or review.thread.copy is not None
        return "archive_down" if archives and archive_error is not None else None

    def is_audited(self, review: Review) -> bool:
        """Whether the policy that speaks of the thread only watches."""
        return self.parts.mode_of(review.decision.policy or "") is Mode.AUDIT

    def _is_paused(self, review: Review) -> bool:
        return is_paused_by(self.pauses, review) or is_paused_by(self.current(), review)

    def _is_over_a_limit(self, review: Review) -> bool:
        removes = not REMOVING.isdisjoint(review.decision.stages)
        return removes and review.remover in self.forbidden
