"""Carries out what was decided about one thread: straight-line code, one commit per step.

Each stage settles by itself, so a crash between two stages leaves a registry that says exactly
how far the thread came. Removing calls look again right before, and commit their intent first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from janitor.catalogue import CATALOGUE
from janitor.model import Copy, Stage, State, Thread
from janitor.sweep.looking import still_due
from janitor.sweep.removing import Removing
from janitor.sweep.review import Review
from janitor.sweep.settle import settlement
from janitor.sweep.undone import ChangedError

SOFT_DELETE_MARK = "janitor_soft_deleted_at"


@dataclass(frozen=True, slots=True)
class Actor(Removing):
    """Carries out stages in one run."""

    async def carry_out(self, review: Review) -> None:
        """Do every stage that was decided, in order, settling each.

        Raises:
            ChangedError: The thread is kept after all; what was done before stays done.
            DriverError, AccessError, StoreError: The stage did not happen, or not provably.
        """
        for stage in review.decision.stages:
            self.doing[review.thread.key] = stage
            await self._stage(stage, review)
        del self.doing[review.thread.key]

    async def _stage(self, stage: Stage, review: Review) -> None:
        match stage:
            case Stage.ARCHIVE:
                await self._archive(review)
            case Stage.SOFT_DELETE:
                await self._soft_delete(review)
            case Stage.DELETE:
                await self._delete(review)
            case Stage.TRIM:
                raise NotImplementedError(stage)  # the configuration refuses `trim`
            case _:
                assert_never(stage)

    async def _archive(self, review: Review) -> None:
        key, now = review.thread.key, self.parts.clock()
        records = self._driver(review).export(key.id)
        copy = await self._store().put(key, review.thread.created_at, records, now)
        after = replace(review, thread=_with_copy(review.thread, copy))
        is_last = review.decision.stages[-1] is Stage.ARCHIVE
        await self._check_newest(review, copy.newest_item)
        if is_last or review.thread.copy is not None:  # an older copy goes only for a whole one
            await self._check_unchanged(review, copy)
        older: tuple[str, ...] | None = None
        if review.thread.copy is not None:
            older = await self._replace_older(review, copy)
        then = self._reviewer().decide(after.thread, now) if is_last else still_due(review)
        change = replace(
            settlement(after, then), copy=copy, older_copies=older, keep_claim=not is_last
        )
        await self._settle(self._done(review, Stage.ARCHIVE, "archived"), change, copy.size)

    async def _replace_older(self, review: Review, copy: Copy) -> tuple[str, ...]:
        """Point at the new copy, then remove the older ones that it holds all of; what is left.

        The copy counts as current, and the thread as copied, only when they are gone: a sweep that
        was cut short here comes back.
        """
        change = settlement(review, still_due(review))
        await self.writer.settle(replace(change, copy=copy, keep_claim=True))
        return (await self._store().remove_older(review.thread.key, copy)).left

    async def _check_unchanged(self, review: Review, copy: Copy) -> None:
        again = await self._look_after(review, review.entry)
        if again.thread.newest_item != copy.newest_item:
            raise ChangedError("changed while it was copied", review=again)

    async def _soft_delete(self, review: Review) -> None:
        again, now = await self._look_again(review, Stage.SOFT_DELETE), self.parts.clock()
        thread = replace(again.thread, state=State.SOFT_DELETED, soft_deleted_at=now)
        if again.decision.mark_upstream and CATALOGUE[thread.key.kind].has_metadata:
            mark = {SOFT_DELETE_MARK: now.isoformat(timespec="seconds")}
            self.lease.check()
            await self._driver(review).write_metadata(thread.key.id, mark)
            thread = replace(thread, upstream={**(thread.upstream or {}), **mark})
        then = self._reviewer().decide(thread, now)
        is_last = review.decision.stages[-1] is Stage.SOFT_DELETE
        change = replace(settlement(replace(again, thread=thread), then), keep_claim=not is_last)
        done = self._done(again, Stage.SOFT_DELETE, "soft_deleted")
        await self._settle(done, replace(change, soft_deleted_at=now))

    async def unmark(self, review: Review) -> Review:
        """Take back the mark upstream of a soft delete that activity has undone."""
        upstream = dict(review.thread.upstream or {})
        if upstream.pop(SOFT_DELETE_MARK, None) is None:
            return review
        await self._driver(review).write_metadata(review.thread.key.id, {SOFT_DELETE_MARK: None})
        return replace(review, thread=replace(review.thread, upstream=upstream))


def _with_copy(thread: Thread, copy: Copy) -> Thread:
    state = State.ARCHIVED if thread.state is State.ACTIVE else thread.state
    return replace(thread, copy=copy, copy_is_current=True, items=copy.items, state=state)
