"""What becomes of a look at a thread: settled, recorded, told, and counted once it is committed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from janitor.errors import JanitorError
from janitor.model import Decision, Key, Outcome, Reason, Stage
from janitor.registry import Entry, Event, Settlement
from janitor.sweep.parts import Notice, Parts
from janitor.sweep.paused import PAUSED
from janitor.sweep.review import Review
from janitor.sweep.settle import kept, setback, settlement
from janitor.sweep.undone import ChangedError
from janitor.sweep.writer import Writer

HELD_BACK = frozenset({Reason.SOURCE_DOWN, Reason.OTHER_PROJECT, Reason.UNANSWERED})
"""Reasons that keep what is due: each time is a line of the audit."""


class Settling:
    """Settles what one janitor saw and did in a run; its counts come from what was committed.

    `doing` is what is being done with each thread at this moment; a failure is told with it.
    `failed` are the threads of which an attempt failed in this run.
    """

    def __init__(self, parts: Parts, run: str) -> None:
        self.parts = replace(parts, notify=self._told)
        self._outer_notify = parts.notify
        self.run = run
        self.claimant = parts.registry.claimant(run)
        self.writer = Writer(parts.registry, self.claimant)
        self.doing: dict[Key, Stage] = {}
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.kept: Counter[str] = Counter()
        self.failed: set[Key] = set()

    def drift(self, key: Key, stage: Stage, policy: str | None) -> None:
        """Record a planned thread that the registry no longer holds, or not as it was. Blocks."""
        at = self.parts.clock()
        line = Event(self.run, at, key, "kept", stage, Outcome.KEPT, policy, reason="drift")
        self.parts.registry.record([line])
        self._tell(line)

    async def _refuse(self, review: Review, reason: str) -> None:
        """Record that nothing is done of what is due; the thread stays as it was."""
        stage, policy = review.decision.stage, review.decision.policy
        line = self._event(review.entry, "kept", Outcome.KEPT, reason)
        if stage is not None:
            line = replace(line, stage=stage, policy=policy)
            await self.writer.record(line)
        self._tell(line)

    async def _note_kept(self, review: Review, reason: str) -> None:
        """Record that more was due than was carried out."""
        line = self._event(review.entry, "kept", Outcome.KEPT, reason)
        await self.writer.record(line)
        self._tell(line)

    async def _settle_look(self, review: Review) -> None:
        reason = review.decision.why or "not_due"
        events: tuple[Event, ...] = ()
        if review.is_revived:
            events = (self._event(review.entry, "revived", None, None),)
        elif review.decision.reason in HELD_BACK:
            events = (self._event(review.entry, "kept", Outcome.KEPT, reason),)
        change = settlement(review, review.decision)
        await self.writer.settle(replace(change, events=events))
        self._tell(self._event(review.entry, "kept", Outcome.KEPT, reason))

    async def _settle_undone(
        self, review: Review, reason: str, wanted: Decision | None = None
    ) -> None:
        """Record the look, and what is `wanted` if not what was decided; the thread stays due."""
        wanted = wanted or review.decision
        stage, policy = wanted.stage, wanted.policy
        line = replace(
            self._event(review.entry, "kept", Outcome.KEPT, reason), stage=stage, policy=policy
        )
        due = replace(review.decision, review_at=review.entry.review_at)
        await self.writer.settle(replace(settlement(review, due), events=(line,)))
        self._tell(line)

    async def _set_back(
        self,
        entry: Entry,
        outcome: Outcome,
        error: JanitorError,
        *,
        name: str | None = None,
        keep_intent: bool = False,
        copy_is_current: bool | None = None,
    ) -> None:
        line = self._event(entry, name or str(outcome), outcome, str(error))
        if outcome is Outcome.FAILED:
            self.failed.add(entry.thread.key)
        await self._commit(
            replace(
                setback(entry, self.parts.clock(), str(error)),
                is_busy=outcome is Outcome.BUSY,
                keep_intent=keep_intent,
                copy_is_current=copy_is_current,
                events=(line,),
            )
        )

    async def _settle_kept(self, entry: Entry, error: ChangedError) -> None:
        line, seen = self._event(entry, "kept", Outcome.KEPT, str(error)), error.review
        change = kept(entry, line.at) if seen is None else settlement(seen, seen.decision)
        await self._commit(replace(change, events=(line,)))

    async def _settle_halted(self, entry: Entry) -> None:
        """Record that a pause halted a removal of which a part is done; nothing has failed."""
        line = self._event(entry, "torn", Outcome.KEPT, PAUSED)
        change = kept(entry, line.at)
        await self._commit(replace(change, keep_intent=True, events=(line,)))

    async def _commit(self, change: Settlement) -> None:
        if self.parts.watch.trouble is not None:
            return  # the dates that it would set are wrong
        await self.writer.settle(change)
        for line in change.events:
            self._tell(line)

    def keep_unsettled(self, entry: Entry, reason: str) -> None:
        """Count a thread that is left as it is, without a record of its own."""
        self._tell(self._event(entry, "kept", Outcome.KEPT, reason))

    def _event(
        self, entry: Entry, name: str, outcome: Outcome | None, reason: str | None = None
    ) -> Event:
        return Event(
            self.run,
            self.parts.clock(),
            entry.thread.key,
            name,
            stage=self.doing.pop(entry.thread.key, None),
            outcome=outcome,
            policy=entry.policy,
            reason=reason,
        )

    def _tell(self, line: Event) -> None:
        self.parts.notify(Notice(line))

    def _told(self, notice: Notice) -> None:
        line = notice.event
        if line.outcome is Outcome.KEPT:
            self.kept[line.reason or ""] += 1
        if line.outcome is not None and line.name != "kept":
            self.outcomes[line.policy or "", line.stage or "", line.outcome] += 1
        self._outer_notify(notice)
