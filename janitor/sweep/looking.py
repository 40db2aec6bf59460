"""What everything done to a thread rests on: a look right before, and one commit right after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from janitor.archive import Archive
from janitor.drivers import Driver
from janitor.errors import ArchiveError, IncompleteError
from janitor.model import Decision, Key, Outcome, Stage, State, Thread
from janitor.registry import Entry, Event, Settlement
from janitor.sweep.heads import Heads
from janitor.sweep.lease import Lease
from janitor.sweep.parts import Notice, Parts
from janitor.sweep.paused import PAUSED, is_paused
from janitor.sweep.review import Review, Reviewer
from janitor.sweep.settle import event
from janitor.sweep.undone import ChangedError
from janitor.sweep.writer import Writer

TORN = "items of its copy are gone upstream and nothing has come since; it goes on by the copy"
WORKABLE = frozenset({State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED})


@dataclass(frozen=True, slots=True)
class Looking:
    """Looks at threads again before they are acted on, and settles what was done."""

    parts: Parts
    run: str
    writer: Writer
    lease: Lease
    heads: Heads
    doing: dict[Key, Stage] = field(default_factory=dict)
    """What is being done with each thread at this moment; a failure is told with it."""
    selection: str = ""
    """A digest of which threads the policies mean, remembered with what is deleted."""
    refusal: Callable[[Review], str | None] = lambda _: None
    """Why the run does not remove a twin, whatever was decided about it: a limit, a stop."""

    async def _look_again(self, review: Review, stage: Stage) -> Review:
        """Everything that a removing call rests on, read anew right before it (I2)."""
        entry = await asyncio.to_thread(self.parts.registry.get, review.thread.key)
        if entry is None or entry.thread.state not in WORKABLE:
            raise ChangedError("the registry says otherwise by now")
        again = await self._look_after(review, entry)
        if is_paused(self.parts, entry, *again.decision.policies):
            raise ChangedError(PAUSED, review=again)
        if again.decision.stage is not stage:
            reason = again.decision.why or "changed since it was decided"
            raise ChangedError(reason, review=again)
        if again.remover != review.remover:
            raise ChangedError("another policy governs it by now", review=again)
        return again

    async def _look_after(self, review: Review, entry: Entry) -> Review:
        """A later look, to which the items seen by `review` are known, recorded or not."""
        said = entry.sightings
        seen = replace(review.sightings, reported_at=said.reported_at, touched_at=said.touched_at)
        now = self.parts.clock()
        again = await self._reviewer().on_probe(replace(entry, sightings=seen), now)
        return replace(again, entry=entry)

    async def _check_newest(self, review: Review, listed: str | None) -> None:
        """A list that was just read to its end must end with the item that the server calls newest.

        Raises:
            ChangedError: The container has changed since, or it may have.
            IncompleteError: It has not, and an earlier look found the same item newest: the
                server's list leaves items out.
        """
        newest = review.thread.newest_item
        if listed == newest:
            return
        again = await self._look_after(review, review.entry)
        known = review.entry.sightings
        if newest == again.thread.newest_item == known.newest_item and known.baseline_at:
            key = review.thread.key
            raise IncompleteError(
                f"{key.kind} {key.id} in project {key.project}: the server's list of items ends "
                f"early: it ends with {listed or 'none'}, and asked for the newest item the server "
                f"has answered {newest or 'none'} more than once; neither copied nor removed"
            )
        if again.thread.newest_item != listed:
            raise ChangedError("changed while it was copied", review=again)

    async def note_torn(self, review: Review) -> None:
        """Record that a container has fewer items than its proven copy, and nothing new."""
        line = event(self.run, self.parts.clock(), review, "torn")
        await self.writer.record(replace(line, reason=TORN))

    async def _why_no_longer(self, review: Review) -> tuple[str, ...]:
        """Why a removal under way may not go on, if so: a hold or any other word since."""
        entry = await asyncio.to_thread(self.parts.registry.get, review.thread.key)
        if entry is None or entry.intent is None:
            return ("the registry says otherwise by now",)
        if is_paused(self.parts, entry, *review.decision.policies):
            return (PAUSED,)
        reviewer, now = self._reviewer(), self.parts.clock()
        heard = reviewer.spared(entry, _heard(review.thread, entry.thread), now)
        decision = reviewer.allowed(heard, now)
        wanted = Stage.DELETE in decision.stages
        return () if wanted else (decision.why or "changed since it was decided",)

    def _driver(self, review: Review) -> Driver:
        key = review.thread.key
        return self.parts.projects[key.project].drivers[key.kind]

    def _reviewer(self) -> Reviewer:
        holds = self.parts.registry.holds(self.parts.clock())
        return Reviewer(self.parts, holds, self.heads)

    def _store(self) -> Archive:
        if self.parts.archive is None:
            raise self.parts.archive_error or ArchiveError("no archive is open")
        return self.parts.archive

    def _done(self, review: Review, stage: Stage, name: str) -> Event:
        return event(self.run, self.parts.clock(), review, name, stage=stage, outcome=Outcome.DONE)

    async def _settle(self, done: Event, change: Settlement, size: int = 0) -> None:
        await self.writer.settle(replace(change, events=(done,)))
        self.parts.notify(Notice(done, size))


def _heard(thread: Thread, registered: Thread) -> Thread:
    """The thread with what the application may have reported since it was looked at.

    A row that is in the application's own table again was not gone for good.
    """
    dates = [at for at in (thread.last_active_at, registered.last_active_at) if at is not None]
    return replace(
        thread,
        last_active_at=max(dates, default=None),
        reported=registered.reported,
        keep_until=registered.keep_until,
        source=registered.source,
        vanished_at=registered.vanished_at,
    )


def still_due(review: Review) -> Decision:
    """The decision of a thread that stays due: its next look is not put off."""
    return replace(review.decision, review_at=review.entry.review_at)
