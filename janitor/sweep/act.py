"""Carries out what was decided about one thread: straight-line code, one commit per step.

Each stage settles by itself, so a crash between two stages leaves a registry that says exactly
how far the thread came. Removing calls look again right before, and commit their intent first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from janitor.archive import Archive, ArchiveDamagedError, fingerprint
from janitor.catalogue import CATALOGUE
from janitor.drivers import Driver, TornError
from janitor.errors import ArchiveError, BusyError, DriverError
from janitor.model import Copy, Decision, Key, Outcome, Record, Stage, State, Thread
from janitor.registry import Entry, Event, Intent, Settlement
from janitor.sweep.lease import Lease
from janitor.sweep.parts import Notice, Parts
from janitor.sweep.paused import is_paused
from janitor.sweep.review import Review, Reviewer
from janitor.sweep.settle import event, settlement
from janitor.sweep.undone import ChangedError, UnsettledError
from janitor.sweep.writer import Writer

SOFT_DELETE_MARK = "janitor_soft_deleted_at"
WORKABLE = frozenset({State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED})


@dataclass(frozen=True, slots=True)
class Actor:
    """Carries out stages in one run."""

    parts: Parts
    run: str
    writer: Writer
    lease: Lease
    doing: dict[Key, Stage] = field(default_factory=dict)
    """What is being done with each thread at this moment; a failure is told with it."""

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
        if is_last or review.thread.copy is not None:  # an older copy goes only for a whole one
            await self._check_unchanged(review, copy)
        then = self._reviewer().decide(after.thread, now) if is_last else _still_due(review)
        change = replace(settlement(after, then), copy=copy, keep_claim=not is_last)
        await self._settle(self._done(review, Stage.ARCHIVE, "archived"), change, copy.size)
        if await asyncio.to_thread(self._holds_all_of, copy, review.thread.copy):
            await self._store().remove_older(key, copy)

    def _holds_all_of(self, copy: Copy, older: Copy | None) -> bool:
        """Whether an older copy may go: the newer one has every item of it.

        A removal that was cut short, or the application, may have taken items away since; then
        the series keeps both, and together they hold everything. Blocks.
        """
        if older is None or older.path == copy.path:
            return False
        try:
            return self.archived_ids(older) <= self.archived_ids(copy)
        except ArchiveDamagedError:
            return False

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

    async def _delete(self, review: Review) -> None:
        again = await self._look_again(review, Stage.DELETE)
        await self._prove_copy(again, just_made=Stage.ARCHIVE in review.decision.stages)
        key, access = again.thread.key, self.parts.projects[again.thread.key.project].access
        now, policy = self.parts.clock(), again.decision.policy or ""
        if again.sightings != again.entry.sightings:
            # Recovery must know which item was the newest when the removal was decided.
            change = settlement(again, _still_due(again))
            await self.writer.settle(replace(change, keep_claim=True))
        await self.writer.intend(Intent(key, self.run, now, policy, now, access))
        try:
            await self.remove(again)
        except (BusyError, ChangedError):
            await self.withdraw(again)
            raise

    async def remove(self, review: Review) -> None:
        """Make the removing call of a committed intent and settle what the reply said.

        Raises:
            UnsettledError: The call may have worked, wholly or in part; the intent stays.
            ChangedError, BusyError: This call removed nothing, since it is no longer wanted or
                somebody is at work; the intent is the caller's to withdraw.
        """
        refusals: list[str] = []

        async def still_wanted() -> bool:
            self.lease.check()
            refusals.extend(await self._why_no_longer(review))
            return not refusals

        self.lease.check()
        try:
            response_id = await self._driver(review).delete(
                review.thread.key.id,
                items_first=review.decision.items_first,
                still_wanted=still_wanted,
            )
        except TornError as error:
            raise UnsettledError(str(error), name="torn") from error
        except BusyError as error:
            if refusals:
                raise ChangedError(refusals[0]) from error
            raise
        except DriverError as error:
            raise UnsettledError(f"the removal has no answer to believe: {error}") from error
        await self.settle_deleted(review, response_id=response_id)

    async def withdraw(self, review: Review, *, again: bool = False) -> None:
        """End an intent of which nothing came: the thread is what it was, and still due.

        The claim stays, unless the thread is given back to be worked `again` in this run.
        """
        line = event(self.run, self.parts.clock(), review, "withdrawn", stage=Stage.DELETE)
        change = settlement(review, _still_due(review))
        await self.writer.settle(
            replace(change, events=(line,), keep_claim=not again, claim_again=again)
        )

    async def settle_deleted(
        self, review: Review, *, reason: str | None = None, response_id: str | None = None
    ) -> None:
        """Turn the row into a tombstone, once the server said so about this very id."""
        done = self._done(review, Stage.DELETE, "deleted")
        then = Decision(policy=review.decision.policy)
        change = replace(
            settlement(review, then),
            state=State.DELETED,
            tombstone=True,
            archive_keep_until=self._keep_until(review),
        )
        await self._settle(replace(done, reason=reason, response_id=response_id), change)

    def _keep_until(self, review: Review) -> datetime | None:
        """Until when the archive keeps the copy; it counts from the deletion upstream."""
        keep_for = review.decision.keep_for
        kept = review.thread.copy is not None and keep_for is not None
        return self.parts.clock() + keep_for if kept and keep_for is not None else None

    async def _look_again(self, review: Review, stage: Stage) -> Review:
        """Everything that a removing call rests on, read anew right before it (I2)."""
        entry = await asyncio.to_thread(self.parts.registry.get, review.thread.key)
        if entry is None or entry.thread.state not in WORKABLE:
            raise ChangedError("the registry says otherwise by now")
        again = await self._look_after(review, entry)
        if is_paused(self.parts, entry, again.decision.policy):
            raise ChangedError("paused", review=again)
        if again.decision.stage is not stage:
            reason = str(again.decision.reason or "changed since it was decided")
            raise ChangedError(reason, review=again)
        if again.remover != review.remover:
            raise ChangedError("another policy governs it by now", review=again)
        return again

    async def _look_after(self, review: Review, entry: Entry) -> Review:
        """A later look, to which the items seen by `review` are known, recorded or not."""
        seen = replace(review.sightings, reported_at=entry.sightings.reported_at)
        now = self.parts.clock()
        again = await self._reviewer().on_probe(replace(entry, sightings=seen), now)
        return replace(again, entry=entry)

    async def _prove_copy(self, review: Review, *, just_made: bool) -> None:
        """The archive object read again, and what is upstream compared with it (I1).

        For a copy made under this very claim the newest item, just read again, is enough.
        """
        copy, key = review.thread.copy, review.thread.key
        archives = self.parts.archive is not None or self.parts.archive_error is not None
        if not archives or copy is None or not review.thread.copy_is_current:
            return  # no policy archives it: decide() never deletes before a copy that one asks for
        await self.prove_object(review)
        if just_made:
            return
        upstream = await fingerprint(key.kind, self._driver(review).export(key.id))
        if upstream.digest != copy.digest:
            stale = replace(review, thread=replace(review.thread, copy_is_current=False))
            raise ChangedError("the copy no longer equals what is upstream", review=stale)

    async def prove_object(self, review: Review) -> None:
        """Read the thread's archive object again, where it has one."""
        if review.thread.copy is not None and review.thread.copy_is_current:
            await self._store().prove(review.thread.copy)

    def archived_ids(self, copy: Copy) -> set[str]:
        """The ids of all items in an archive object. Blocks."""
        records = self._store().read(copy.path)
        return {part.id for part in records if isinstance(part, Record) and part.is_item}

    async def _why_no_longer(self, review: Review) -> tuple[str, ...]:
        """Why a removal under way may not go on, if so: a hold or any other word since."""
        entry = await asyncio.to_thread(self.parts.registry.get, review.thread.key)
        if entry is None or entry.intent is None:
            return ("the registry says otherwise by now",)
        if is_paused(self.parts, entry, review.decision.policy):
            return ("paused",)
        heard = _heard(review.thread, entry.thread)
        decision = self._reviewer().decide(heard, self.parts.clock())
        wanted = Stage.DELETE in decision.stages
        return () if wanted else (str(decision.reason or "changed since it was decided"),)

    def _driver(self, review: Review) -> Driver:
        key = review.thread.key
        return self.parts.projects[key.project].drivers[key.kind]

    def _reviewer(self) -> Reviewer:
        return Reviewer(self.parts, self.parts.registry.holds(self.parts.clock()))

    def _store(self) -> Archive:
        if self.parts.archive is None:
            raise self.parts.archive_error or ArchiveError("no archive is open")
        return self.parts.archive

    def _done(self, review: Review, stage: Stage, name: str) -> Event:
        return event(self.run, self.parts.clock(), review, name, stage=stage, outcome=Outcome.DONE)

    async def _settle(self, done: Event, change: Settlement, size: int = 0) -> None:
        await self.writer.settle(replace(change, events=(done,)))
        self.parts.notify(Notice(done, size))


def _with_copy(thread: Thread, copy: Copy) -> Thread:
    state = State.ARCHIVED if thread.state is State.ACTIVE else thread.state
    return replace(thread, copy=copy, copy_is_current=True, items=copy.items, state=state)


def _heard(thread: Thread, registered: Thread) -> Thread:
    """The thread with what the application may have reported since it was looked at."""
    dates = [at for at in (thread.last_active_at, registered.last_active_at) if at is not None]
    return replace(
        thread,
        last_active_at=max(dates, default=None),
        reported=registered.reported,
        keep_until=registered.keep_until,
    )


def _still_due(review: Review) -> Decision:
    return replace(review.decision, review_at=review.entry.review_at)
