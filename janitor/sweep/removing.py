"""Removes threads: intent first, a look right before, and belief only in what the reply said."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from janitor.archive import ArchiveDamagedError, fingerprint
from janitor.catalogue import CATALOGUE
from janitor.drivers import Look, StaleError, TornError, resting_on
from janitor.errors import (
    BusyError,
    ClaimLostError,
    DriverError,
    GoneError,
    IncompleteError,
    UnsupportedError,
)
from janitor.model import Copy, Decision, Key, Record, Stage, State, Veto
from janitor.policy.retention import keep_until, terms_of
from janitor.registry import Entry, Intent, Settlement
from janitor.sweep.looking import Looking, still_due
from janitor.sweep.parts import Notice
from janitor.sweep.paused import PAUSED
from janitor.sweep.review import Review
from janitor.sweep.settle import event, settlement
from janitor.sweep.twins import as_sighted
from janitor.sweep.undone import DELETED_BESIDE, ChangedError, UnsettledError


@dataclass(frozen=True, slots=True)
class Removing(Looking):
    """Carries out removals, and what recovery needs of them."""

    async def _delete(self, review: Review) -> None:
        # The turn comes before the look: what waits in line afterwards has seen too little.
        async with self.parts.projects[review.thread.key.project].reserve("DELETE"):
            await self._delete_in_turn(review)

    async def _delete_in_turn(self, review: Review) -> None:
        looked_at = self.parts.guard.now()
        again = await self._look_again(review, Stage.DELETE)
        await self._prove_copy(again, just_made=Stage.ARCHIVE in review.decision.stages)
        async with self.together(again) as whole:
            await self.intend(whole)
            try:
                await self.remove(whole, looked_at)
            except (BusyError, ChangedError, UnsupportedError, IncompleteError):
                await self.withdraw(whole)
                raise

    @asynccontextmanager
    async def together(
        self, review: Review, *, is_begun: bool = False, is_gone: bool = False
    ) -> AsyncIterator[Review]:
        """The review with its `twins`: every other row of the container, claimed for as long.

        Where the removal `is_begun` their copies are no longer compared with what is upstream;
        where the container `is_gone` already, nobody is asked any more.

        Raises:
            ChangedError: One of them does not let the removal happen.
            StoreError: The registry or the archive failed.
        """
        own, registry = review.thread.key, self.parts.registry
        keys = [replace(own, project=name) for name in self.parts.twins_of(own.project)]
        loans = await asyncio.to_thread(registry.borrow, self.writer.by, keys) if keys else {}
        try:
            twins = [self._twin(loan.entry, review) for loan in loans.values()]
            if not is_gone:
                await self._check_held_elsewhere(review, {*keys} - {*loans})
                for twin in twins:
                    await self._check_consent(review, twin, is_begun=is_begun)
            yield replace(review, twins=tuple(twins))
        finally:
            if loans:
                await asyncio.to_thread(registry.bring_back, self.writer.by, loans.values())

    def _twin(self, entry: Entry, review: Review) -> Review:
        twin = self._reviewer().as_twin(entry, review.thread, self.parts.clock())
        return replace(twin, sightings=as_sighted(entry.sightings, review.sightings))

    async def _check_held_elsewhere(self, review: Review, keys: Iterable[Key]) -> None:
        for key in keys:
            left = await asyncio.to_thread(self.parts.registry.get, key)
            if left is not None and left.thread.state is not State.DELETED:
                raise _vetoed(review, key, "another janitor works on it")

    async def _check_consent(self, review: Review, twin: Review, *, is_begun: bool) -> None:
        """ChangedError unless a twin may go, too; what it archives is proven as our own is."""
        key, reviewer = twin.thread.key, self._reviewer()
        if twin.entry.intent is not None and not is_begun:
            raise _vetoed(review, key, "a removal of its own is not settled yet")
        why = reviewer.objection((Stage.DELETE,), twin) or self.refusal(twin)
        if why is not None:
            raise _vetoed(review, key, why)
        try:
            await (self.prove_object(twin) if is_begun else self._prove_copy(twin, just_made=False))
        except (ChangedError, ArchiveDamagedError) as error:
            raise _vetoed(review, key, str(error)) from error

    async def intend(self, review: Review) -> None:
        """Commit the intents of a removal, of every row that it takes with it."""
        for one in (review, *review.twins):
            is_missing = one.entry.thread.state is State.MISSING
            if one.entry.intent is None and (one.sightings != one.entry.sightings or is_missing):
                # Recovery must know which item was the newest when the removal was decided.
                change = settlement(one, still_due(one))
                await self.writer.settle(replace(change, keep_claim=True))
        now = self.parts.clock()
        try:
            await self.writer.intend(*(self._intent(one, now) for one in (review, *review.twins)))
        except ClaimLostError:
            with suppress(ClaimLostError):
                await self.withdraw(review)
            raise

    def _intent(self, review: Review, now: datetime) -> Intent:
        key = review.thread.key
        access, policy = self.parts.projects[key.project].access, review.decision.policy or ""
        return Intent(key, self.run, now, policy, now, access)

    async def remove(self, review: Review, looked_at: float | None = None) -> None:
        """Make the removing call of a committed intent and settle what the reply said.

        `looked_at` is when, by the guard's clock, everything was looked at; `None` goes on with a
        removal of which a part is done. Where that is too long ago by the time that a call can be
        made, it is all looked at again.

        Raises:
            UnsettledError: The call may have worked, wholly or in part; the intent stays.
            ChangedError, BusyError: This call removed nothing, since it is no longer wanted or
                somebody is at work; the intent is the caller's to withdraw.
            UnsupportedError, IncompleteError: Likewise, since the server does not have the call,
                or a list of what is to be removed cannot be read to its end.
        """
        refusals: list[str] = []

        async def still_wanted() -> bool:
            self.lease.check()
            refusals.extend(await self._why_no_longer(review))
            return not refusals

        async def is_known(item: str) -> bool:
            if not await self._is_known(review, item, is_begun=looked_at is None):
                refusals.append("an item arrived since everything was looked at")
            return not refusals

        async def look_again() -> None:
            refusals.extend(await self._what_changed(review, is_begun=look.is_begun))
            if refusals:
                raise BusyError(refusals[0])

        at, guard = looked_at or -math.inf, self.parts.guard
        look = Look(guard, at, look_again, is_begun=looked_at is None)
        self.lease.check()
        with _as_outcome(refusals), resting_on(look):
            response_id = await self._driver(review).delete(
                review.thread.key.id,
                items_first=review.decision.items_first,
                still_wanted=still_wanted,
                is_known=is_known,
            )
        await self.settle_deleted(review, response_id=response_id)

    async def _is_known(self, review: Review, item: str, *, is_begun: bool) -> bool:
        """Whether a list that ends with `item` is the one that the removal was decided about."""
        if is_begun:  # the newest item may be gone already
            return await asyncio.to_thread(self._knows, review, item)
        with suppress(ChangedError):
            await self._check_newest(review, item)
        return item == review.thread.newest_item

    async def _what_changed(self, review: Review, *, is_begun: bool) -> tuple[str, ...]:
        """Why a removal may not go on, everything read anew; what we removed is no change."""
        if not is_begun:
            again = await self._look_after(review, review.entry)
            if again.decision.stage is not Stage.DELETE or again.remover != review.remover:
                return (again.decision.why or "changed since it was decided",)
            return await self._why_no_longer(again)
        probe = await self._driver(review).probe(review.thread.key.id)
        if probe.busy:
            return ("in use",)
        if not await asyncio.to_thread(self._knows, review, probe.newest_item):
            return ("an item arrived while items were deleted",)
        thread = replace(review.thread, upstream=probe.metadata)
        return await self._why_no_longer(replace(review, thread=thread))

    def _knows(self, review: Review, item: str | None) -> bool:
        """Whether an item is one that the removal was decided about. Blocks."""
        if item in (None, review.thread.newest_item):
            return True
        copy = review.thread.copy
        if copy is None or not review.thread.copy_is_current:
            return False
        return item in self.archived_ids(copy)

    async def withdraw(self, review: Review, *, again: bool = False) -> None:
        """End an intent of which nothing came: the thread is what it was, and still due.

        The claim stays, unless the thread is given back to be worked `again` in this run.
        """
        changes = []
        for one in (review, *review.twins):
            line = event(self.run, self.parts.clock(), one, "withdrawn", stage=Stage.DELETE)
            change = settlement(one, still_due(one))
            changes.append(replace(change, events=(line,), keep_claim=not again, claim_again=again))
        await self.writer.settle(*changes)

    async def settle_deleted(
        self, review: Review, *, reason: str | None = None, response_id: str | None = None
    ) -> None:
        """Turn the rows into tombstones, once the server said so about this very id."""
        changes = {}
        for one in (review, *review.twins):
            done = self._done(one, Stage.DELETE, "deleted")
            why = reason if one is review else f"removed as {review.thread.key.project}'s"
            changes[replace(done, reason=why, response_id=response_id)] = self._tombstone(one)
        await self.writer.settle(*(replace(said, events=(done,)) for done, said in changes.items()))
        for done in changes:
            self.parts.notify(Notice(done))

    def _tombstone(self, review: Review) -> Settlement:
        then = Decision(policy=review.decision.policy)
        change = replace(settlement(review, then), state=State.DELETED, tombstone=True)
        if review.thread.copy is None:
            return change
        return replace(
            change,
            archive_keep_until=keep_until(review.decision, self.parts.clock()),
            archive_terms=terms_of(review.thread, review.decision, self.selection),
        )

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
        await self._check_newest(review, upstream.newest_item)
        if upstream.digest != copy.digest and not await self._is_torn(review, copy):
            stale = replace(review, thread=replace(review.thread, copy_is_current=False))
            raise ChangedError("the copy no longer equals what is upstream", review=stale)

    async def _is_torn(self, review: Review, copy: Copy) -> bool:
        """Whether items are gone that the copy has, and nothing else; recorded where it is so."""
        key = review.thread.key
        if not CATALOGUE[key.kind].items_first:
            return False
        records = self._driver(review).export(key.id)
        if not await self._store().holds_all_of(copy, review.thread.newest_item, records):
            return False
        if not review.is_torn:  # its newest item is still there: no look has told it yet
            await self.note_torn(review)
        return True

    async def prove_object(self, review: Review) -> None:
        """Read the thread's archive object again, where it has one."""
        if review.thread.copy is not None and review.thread.copy_is_current:
            await self._store().prove(review.thread.copy)

    def archived_ids(self, copy: Copy) -> set[str]:
        """The ids of all items in an archive object. Blocks."""
        records = self._store().read(copy.path)
        return {part.id for part in records if isinstance(part, Record) and part.is_item}


def _vetoed(review: Review, key: Key, why: str) -> ChangedError:
    return ChangedError(str(Veto(key.project, why)), review=review)


@contextmanager
def _as_outcome(refusals: Sequence[str]) -> Iterator[None]:
    """Tell how a removing call failed by what became of the thread; `refusals` stopped it."""
    try:
        yield
    except TornError as error:
        is_paused = PAUSED in refusals
        raise UnsettledError(str(error), name="torn", is_paused=is_paused) from error
    except BusyError as error:
        if refusals or isinstance(error, StaleError):
            raise ChangedError(*refusals[:1] or [str(error)]) from error
        raise
    except (UnsupportedError, IncompleteError):
        raise
    except GoneError as error:
        raise UnsettledError(f"{error}. {DELETED_BESIDE}") from error
    except DriverError as error:
        raise UnsettledError(f"the removal has no answer to believe: {error}") from error
