"""Carries out what was decided about a thread: look, intent, call, with a commit per step.

Each stage is settled separately, so after a crash between two stages the registry says exactly how
far the thread came. Before a removing call, the registry is read again, the server if its last
answer is no longer fresh, and the intent is committed; only what the reply says is believed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from janitor.archive import ArchiveDamagedError, fingerprint
from janitor.drivers import Look, StaleError, TornError, resting_on
from janitor.engine.context import RunContext, RunNotice
from janitor.engine.errors import DELETED_BESIDE, ChangedError, UnsettledError
from janitor.engine.export import Observation
from janitor.engine.keep_last import Heads
from janitor.engine.lease import Lease
from janitor.engine.pauses import PAUSED, is_covered
from janitor.engine.registry_reads import RegistryReads
from janitor.engine.review import Review, Reviewer
from janitor.engine.settlement import SettlementWriter, event, settlement
from janitor.engine.shared_containers import as_sighted
from janitor.errors import (
    BusyError,
    ClaimLostError,
    DriverError,
    GoneError,
    IncompleteError,
    UnsupportedError,
)
from janitor.kinds import CATALOGUE
from janitor.model import Copy, Decision, Key, Outcome, Record, Stage, State, Thread, Veto
from janitor.policy.copy_retention import keep_until, terms_of
from janitor.registry import (
    Entry,
    Event,
    Intent,
    Restrictions,
    Settlement,
)
from janitor.sources.watermark import down_by

TORN = "items of its copy are gone upstream and none has been added since; the copy is used"
SOFT_DELETE_MARK = "janitor_soft_deleted_at"
WORKABLE = frozenset({State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED})


def _heard(thread: Thread, registered: Thread) -> Thread:
    """The thread with whatever the application has reported since the look.

    A row that is in the application's own table again had not vanished for good.
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
    """The decision for a thread that stays due, with its `review_at` unchanged."""
    return replace(review.decision, review_at=review.entry.review_at)


def _seconds(at: datetime | None) -> datetime | None:
    """A time in whole seconds: a server and an application may differ in what follows."""
    return None if at is None else at.replace(microsecond=0)


def with_sightings(review: Review, entry: Entry) -> Entry:
    """The entry with what a look has seen, and with what was reported since."""
    sightings = entry.sightings
    seen = replace(
        review.sightings, reported_at=sightings.reported_at, touched_at=sightings.touched_at
    )
    return replace(entry, sightings=seen)


def archived_ids(context: RunContext, copy: Copy) -> set[str]:
    """The ids of all items in an archive object. Blocks."""
    records = context.store.read(copy.path)
    return {part.id for part in records if isinstance(part, Record) and part.is_item}


async def _nothing(_: Review) -> None:
    """No reason to refuse."""


def _vetoed(review: Review, key: Key, why: str) -> ChangedError:
    return ChangedError(str(Veto(key.project, why)), review=review)


@contextmanager
def _as_outcome(refusals: Sequence[str]) -> Iterator[None]:
    """Turn a removing call's failure into the thread's outcome; `refusals` are what stopped it."""
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
        raise UnsettledError(f"no answer tells whether it was removed: {error}") from error


@dataclass(frozen=True, slots=True)
class Executor:
    """Carries out what was decided about a thread: look, intent, call, with a commit per step."""

    context: RunContext
    run: str
    writer: SettlementWriter
    lease: Lease
    heads: Heads
    reads: RegistryReads
    doing: dict[Key, Stage] = field(default_factory=dict)
    """The stage under way for each thread; a failure is recorded with it."""
    selection: str = ""
    """A digest of which threads the policies match, stored with each deletion."""
    refusal: Callable[[Review], Awaitable[str | None]] = _nothing
    """Why the run may not remove a twin, whatever was decided about it: a limit, a stop."""

    @property
    def reads_registry(self) -> bool:
        """Whether deciding reads more of the registry than a row and the restrictions."""
        return self.context.places > 0 or self.context.has_twins

    async def carry_out(self, review: Review) -> None:
        """Carry out every stage that was decided, in order, and settle each.

        Raises:
            ChangedError: The thread is kept after all; what was done before stays done.
            DriverError, AccessError, StoreError: The stage did not happen, or nothing proves that
                it did.
        """
        for stage in review.decision.stages:
            self.doing[review.thread.key] = stage
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
        del self.doing[review.thread.key]

    async def _archive(self, review: Review) -> None:
        key, copy = review.thread.key, await self._put(review)
        is_last = review.decision.stages[-1] is Stage.ARCHIVE
        await self._check_newest(review, copy.newest_item)
        older: tuple[str, ...] | None = None
        if review.thread.copy is not None:
            # Point at the new copy, then remove the older ones that it contains. It counts as
            # current only when they are gone, so that a sweep cut short here tries again.
            change = settlement(review, still_due(review))
            await self.writer.settle(replace(change, copy=copy, keep_claim=True))
            older = (await self.context.store.remove_older(key, copy)).left
        state = State.ARCHIVED if review.thread.state is State.ACTIVE else review.thread.state
        after = replace(
            review.thread, copy=copy, copy_is_current=True, items=copy.items, state=state
        )
        then = await self._next(after) if is_last else still_due(review)
        change = settlement(replace(review, thread=after), then)
        change = replace(change, copy=copy, older_copies=older, keep_claim=not is_last)
        await self._settle(self._done(review, Stage.ARCHIVE, "archived"), change, copy.size)

    async def _put(self, review: Review) -> Copy:
        """A new copy in the archive: of the export that was the look, if there was one."""
        thread, export, now = review.thread, review.export, self.context.clock()
        is_dated = _seconds(thread.created_at) == _seconds(review.entry.thread.created_at)
        if export is not None and export.draft is not None and is_dated:
            return await export.publish(export.draft)
        records = self.context.driver(thread.key).export(thread.key.id)
        return await self.context.store.put(thread.key, thread.created_at, records, now)

    async def _soft_delete(self, review: Review) -> None:
        again, now = await self._look_again(review, Stage.SOFT_DELETE), self.context.clock()
        thread = replace(again.thread, state=State.SOFT_DELETED, soft_deleted_at=now)
        if again.decision.mark_upstream and CATALOGUE[thread.key.kind].has_metadata:
            mark = {SOFT_DELETE_MARK: now.isoformat(timespec="seconds")}
            self.lease.check()
            await self.context.driver(review.thread.key).write_metadata(thread.key.id, mark)
            thread = replace(thread, upstream={**(thread.upstream or {}), **mark})
        then = await self._next(thread)
        is_last = review.decision.stages[-1] is Stage.SOFT_DELETE
        change = replace(settlement(replace(again, thread=thread), then), keep_claim=not is_last)
        done = self._done(again, Stage.SOFT_DELETE, "soft_deleted")
        await self._settle(done, replace(change, soft_deleted_at=now))

    async def unmark(self, review: Review) -> Review:
        """Remove the mark upstream of a soft delete that activity has undone."""
        upstream = dict(review.thread.upstream or {})
        if upstream.pop(SOFT_DELETE_MARK, None) is None:
            return review
        key = review.thread.key
        await self.context.driver(key).write_metadata(key.id, {SOFT_DELETE_MARK: None})
        return replace(review, thread=replace(review.thread, upstream=upstream))

    async def _delete(self, review: Review) -> None:
        # A look taken before the wait for the turn may be too old after it: then look again.
        async with self.context.projects[review.thread.key.project].reserve("DELETE"):
            again = await self._look_again(review, Stage.DELETE)
            await self._prove_copy(again, just_made=Stage.ARCHIVE in review.decision.stages)
            async with self.together(again) as whole:
                await self.intend(whole)
                try:
                    await self.remove(whole, whole.observed)
                except (BusyError, ChangedError, UnsupportedError, IncompleteError):
                    await self.withdraw(whole)
                    raise

    @asynccontextmanager
    async def together(
        self, review: Review, *, is_begun: bool = False, is_gone: bool = False
    ) -> AsyncIterator[Review]:
        """The review with its `twins`: every other row of the container, claimed for the block.

        If the removal `is_begun`, the twins' copies are no longer compared with what is upstream;
        if the container `is_gone`, their consent is no longer needed.

        Raises:
            ChangedError: A twin does not allow the removal.
            StoreError: The registry or the archive failed.
        """
        own, registry = review.thread.key, self.context.registry
        keys = [replace(own, project=name) for name in self.context.twins_of(own.project)]
        loans = (
            await asyncio.to_thread(registry.claims.borrow, self.writer.by, keys) if keys else {}
        )
        try:
            twins = list[Review]()
            if loans:
                reviewer = self._reviewer(await self.reads.restrictions())
                for loan in loans.values():
                    now, row = self.context.clock(), loan.entry
                    twin = await reviewer.off_loop(reviewer.as_twin, row, review.thread, now)
                    seen = as_sighted(loan.entry.sightings, review.sightings)
                    twins.append(replace(twin, sightings=seen))
            if not is_gone:
                for key in {*keys} - {*loans}:
                    held = await asyncio.to_thread(registry.threads.get, key)
                    if held is not None and held.thread.state is not State.DELETED:
                        raise _vetoed(review, key, "another janitor is working on it")
                for twin in twins:
                    await self._check_consent(review, twin, is_begun=is_begun)
            yield replace(review, twins=tuple(twins))
        finally:
            if loans:
                await asyncio.to_thread(registry.claims.bring_back, self.writer.by, loans.values())

    async def _check_consent(self, review: Review, twin: Review, *, is_begun: bool) -> None:
        """Raise ChangedError unless a twin may be removed too; its copy is proven like our own."""
        key, reviewer = twin.thread.key, self._reviewer(await self.reads.restrictions())
        if twin.entry.intent is not None and not is_begun:
            raise _vetoed(review, key, "its own removal is not settled yet")
        why = await reviewer.off_loop(reviewer.objection, (Stage.DELETE,), twin)
        if (why := why or await self.refusal(twin)) is not None:
            raise _vetoed(review, key, why)
        try:
            await (self.prove_object(twin) if is_begun else self._prove_copy(twin, just_made=False))
        except (ChangedError, ArchiveDamagedError) as error:
            raise _vetoed(review, key, str(error)) from error

    async def intend(self, review: Review) -> None:
        """Commit the intents of a removal, one for each row of the container."""
        now, intents = self.context.clock(), list[Intent]()
        for row in review.rows:
            key, policy, look = row.thread.key, row.decision.policy or "", None
            is_missing = row.entry.thread.state is State.MISSING
            if row.entry.intent is None and (row.sightings != row.entry.sightings or is_missing):
                # Recovery must know which item was the newest when the removal was decided.
                look = replace(settlement(row, still_due(row)), keep_claim=True)
            access = self.context.projects[key.project].access
            intents.append(Intent(key, self.run, now, policy, now, access, look))
        try:
            await self.writer.intend(*intents)
        except ClaimLostError:
            with suppress(ClaimLostError):
                await self.withdraw(review)
            raise

    async def remove(self, review: Review, observed: Observation | None = None) -> None:
        """Make the removing call of a committed intent and settle its reply.

        `observed` is the look that the removal relies on; `None` continues one that is partly done.
        If the look is too old by the time a call can be made, everything is looked at again.

        Raises:
            UnsettledError: The call may have worked, wholly or in part; the intent stays.
            ChangedError, BusyError: This call removed nothing, because it is no longer wanted or
                the thread is in use; the caller withdraws the intent.
            UnsupportedError, IncompleteError: Likewise, because the server does not have the call,
                or a list of what to remove cannot be read to its end.
        """
        refusals: list[str] = []
        removing: Sequence[str] = ()

        async def still_wanted() -> bool:
            self.lease.check()
            refusals.extend(await self._why_no_longer(review))
            return not refusals

        async def is_known(items: Sequence[str]) -> bool:
            nonlocal removing
            if await self._is_known(review, items[-1], is_begun=observed is None):
                removing = items
            else:
                refusals.append("an item has arrived since the check")
            return not refusals

        async def look_again() -> None:
            begun = removing if look.is_begun else None
            refusals.extend(await self._what_changed(review, begun))
            if refusals:
                raise BusyError(refusals[0])

        at = -math.inf if observed is None else observed.asked_at
        look = Look(self.context.guard, at, look_again, is_begun=observed is None)
        self.lease.check()
        with _as_outcome(refusals), resting_on(look):
            response_id = await self.context.driver(review.thread.key).delete(
                review.thread.key.id,
                items_first=review.decision.items_first,
                items=None if observed is None else observed.items,
                still_wanted=still_wanted,
                is_known=is_known,
            )
        await self.settle_deleted(review, response_id=response_id)

    async def withdraw(self, review: Review, *, again: bool = False) -> None:
        """End an intent under which nothing was removed: the thread is as it was, and still due.

        The claim stays, unless the thread is given back to be worked on `again` in this run.
        """
        changes = []
        for row in review.rows:
            line = event(self.run, self.context.clock(), row, "withdrawn", stage=Stage.DELETE)
            change = settlement(row, still_due(row))
            changes.append(replace(change, events=(line,), keep_claim=not again, claim_again=again))
        await self.writer.settle(*changes)

    async def settle_deleted(
        self, review: Review, *, reason: str | None = None, response_id: str | None = None
    ) -> None:
        """Turn the rows into tombstones, once the server has confirmed it for this very id."""
        lines, tombstones = list[Event](), list[Settlement]()
        for row in review.rows:
            done = self._done(row, Stage.DELETE, "deleted")
            why = reason if row is review else f"removed as {review.thread.key.project}'s"
            line = replace(done, reason=why, response_id=response_id)
            then = Decision(policy=row.decision.policy)
            change = replace(
                settlement(row, then), state=State.DELETED, tombstone=True, events=(line,)
            )
            if row.thread.copy is not None:
                change = replace(
                    change,
                    archive_keep_until=keep_until(row.decision, self.context.clock()),
                    archive_terms=terms_of(row.thread, row.decision, self.selection),
                )
            lines.append(line)
            tombstones.append(change)
        await self.writer.settle(*tombstones)
        for line in lines:
            self.context.notify(RunNotice(line))

    async def _is_known(self, review: Review, item: str, *, is_begun: bool) -> bool:
        """Whether a list that ends with `item` is the one on which the removal was decided."""
        if is_begun:  # the newest item may be gone already
            return await asyncio.to_thread(self._knows, review, item)
        if item == review.thread.newest_item:
            return True
        with suppress(ChangedError):
            await self._check_newest(review, item)
        return False

    async def _what_changed(
        self, review: Review, removing: Sequence[str] | None
    ) -> tuple[str, ...]:
        """Why a removal may not continue, after reading everything again; empty if it may.

        `removing` are the items that may be gone by now, in any order; `None` before the first.
        """
        if removing is None:
            again = await self._look_after(review, review.entry)
            if again.decision.stage is not Stage.DELETE or again.remover != review.remover:
                return (again.decision.why or "changed since it was decided",)
            return await self._why_no_longer(again)
        probe = await self.context.driver(review.thread.key).probe(review.thread.key.id)
        if probe.busy:
            return ("in use",)
        is_listed = probe.newest_item in removing
        if not is_listed and not await asyncio.to_thread(self._knows, review, probe.newest_item):
            return ("an item arrived while items were deleted",)
        thread = replace(review.thread, upstream=probe.metadata)
        return await self._why_no_longer(replace(review, thread=thread))

    async def _why_no_longer(self, review: Review) -> tuple[str, ...]:
        """Why a removal under way may not continue, by the registry's facts; empty if it may."""
        key = review.thread.key
        if self.reads_registry:
            return await asyncio.to_thread(self._objections_at_once, review)
        return self._objections(review, *await self.reads.entry(key))

    def _objections_at_once(self, review: Review) -> tuple[str, ...]:
        """As `_objections`, where deciding reads more of the registry: as it is at one moment.

        Blocks.
        """
        with self.context.registry.at_once():
            entry, standing = self.reads.entry_now(review.thread.key)
            objections = self._objections(review, entry, standing)
            # On PostgreSQL, each statement sees what was committed before it.
            is_same = objections or self.reads.restrictions_now() == standing
            return objections if is_same else ("the registry has changed since",)

    def _objections(
        self, review: Review, entry: Entry | None, standing: Restrictions
    ) -> tuple[str, ...]:
        """What a row and the restrictions at that moment have against a removal under way."""
        now = self.context.clock()
        if entry is None or entry.intent is None:
            return ("the registry has changed since",)
        if is_covered(standing.pauses(now), entry, *review.decision.policies):
            return (PAUSED,)
        reviewer = self._reviewer(standing)
        heard = reviewer.with_edit_grace(entry, _heard(review.thread, entry.thread), now)
        decision = reviewer.allowed(heard, now)
        wanted = Stage.DELETE in decision.stages
        return () if wanted else (decision.why or "changed since it was decided",)

    def _knows(self, review: Review, item: str | None) -> bool:
        """Whether an item was known when the removal was decided. Blocks."""
        if item in (None, review.thread.newest_item):
            return True
        copy = review.thread.copy
        if copy is None or not review.thread.copy_is_current:
            return False
        return item in archived_ids(self.context, copy)

    async def _look_again(self, review: Review, stage: Stage) -> Review:
        """Read everything that a removing call depends on again, right before it (I2).

        The server is asked again only if its last answer is no longer fresh; the registry always.
        """
        observed = review.observed
        if observed is not None and not self.context.guard.is_fresh(observed.asked_at):
            observed = None
        export = None if observed is None else observed.export
        if export is not None and export.needs_confirmation:
            await self._check_newest(review, export.newest_item)
        entry, standing = await self.reads.entry(review.thread.key)
        if entry is None or entry.thread.state not in WORKABLE:
            raise ChangedError("the registry has changed since")
        reviewer = self._reviewer(standing)
        if observed is not None:
            seen, now = with_sightings(review, entry), self.context.clock()
            again = replace(await reviewer.once_more(review, observed, seen, now), entry=entry)
        else:
            again = await self._look_after(review, entry)
        if observed is None or reviewer.reads_registry:  # the server may have been asked since
            standing = await self.reads.restrictions()
        if is_covered(standing.pauses(self.context.clock()), entry, *again.decision.policies):
            raise ChangedError(PAUSED, review=again)
        if again.decision.stage is not stage:
            reason = again.decision.why or "changed since it was decided"
            raise ChangedError(reason, review=again)
        if again.remover != review.remover:
            raise ChangedError("another policy governs it now", review=again)
        return again

    async def _look_after(self, review: Review, entry: Entry) -> Review:
        """Look again. Items that `review` saw count as known, whether recorded or not."""
        seen = with_sightings(review, entry)
        reviewer = self._reviewer(await self.reads.restrictions())
        return replace(await reviewer.on_probe(seen, self.context.clock()), entry=entry)

    async def _check_newest(self, review: Review, listed: str | None) -> None:
        """Check that a list that was read to its end ends with the item that the server has newest.

        The server is asked for it now, after the list.

        Raises:
            ChangedError: The container has changed since, or it may have.
            IncompleteError: It has not, and an earlier look found the same newest item: the
                server's list leaves items out.
        """
        key = review.thread.key
        tail = await self.context.driver(key).tail(key.id)
        if tail.busy:
            raise BusyError(f"{key.kind} {key.id}: in use; kept")
        newest, export = tail.newest_item, review.export
        shown = None if export is None else export.shown
        is_same = shown is None or tail.active_at in (None, shown.last_active_at)
        if listed == newest == review.thread.newest_item and is_same:
            if export is not None:
                export.is_confirmed = True
            return
        again = await self._look_after(await self._undoubted(review, listed), review.entry)
        known = review.entry.sightings
        is_known = newest == again.thread.newest_item == known.newest_item
        if listed != newest and is_known and known.baseline_at:
            raise IncompleteError(
                f"{key.kind} {key.id} in project {key.project}: the server's list of items ends "
                f"early: it ends with {listed or 'none'}, and asked for the newest item the server "
                f"has answered {newest or 'none'} more than once; neither copied nor removed"
            )
        raise ChangedError("changed while it was copied", review=again)

    async def _undoubted(self, review: Review, listed: str | None) -> Review:
        """The review, without the newest item that its list showed if that list ends early.

        If a list was the first look of all, and the server names another newest item, that item may
        be new, or the list may end early. It does if it still ends in the same place.
        """
        observed, known = review.observed, review.entry.sightings
        if observed is None or observed.export is None or known.baseline_at is not None:
            return review
        key = review.thread.key
        items = [one.id async for one in self.context.driver(key).export(key.id) if one.is_item]
        is_early = items[-1:] == [listed]
        return replace(review, sightings=known) if is_early else review

    async def _prove_copy(self, review: Review, *, just_made: bool) -> None:
        """Read the archive object again and compare it with what is upstream (I1).

        For a copy made under this claim, the newest item, read after it was made, is enough. The
        export that was the look is what is upstream, if there was one.
        """
        copy, key = review.thread.copy, review.thread.key
        archives = self.context.archive is not None or self.context.archive_error is not None
        if not archives or copy is None or not review.thread.copy_is_current:
            return  # no policy archives it: decide() never deletes before a copy that one asks for
        await self.prove_object(review)
        if just_made:
            return
        export = review.export
        upstream = None if export is None else export.fingerprint
        if upstream is None:
            upstream = await fingerprint(key.kind, self.context.driver(key).export(key.id))
        if export is None or not export.is_confirmed:
            await self._check_newest(review, upstream.newest_item)
        if upstream.digest != copy.digest and not await self._is_torn(review, copy):
            stale = replace(review, thread=replace(review.thread, copy_is_current=False))
            raise ChangedError("the copy no longer matches what is upstream", review=stale)

    async def prove_object(self, review: Review) -> None:
        """Read the thread's archive object again, if it has one."""
        if review.thread.copy is not None and review.thread.copy_is_current:
            await self.context.store.prove(review.thread.copy)

    async def _is_torn(self, review: Review, copy: Copy) -> bool:
        """Whether upstream lacks items of the copy and has no others; records it if so."""
        key = review.thread.key
        if not CATALOGUE[key.kind].items_first:
            return False
        records = self.context.driver(key).export(key.id)
        if not await self.context.store.holds_all_of(copy, review.thread.newest_item, records):
            return False
        if not review.is_torn:  # its newest item is still there, so no look has noticed
            await self.note_torn(review)
        return True

    async def note_torn(self, review: Review) -> None:
        """Record that a container has fewer items than its proven copy, and nothing new."""
        line = event(self.run, self.context.clock(), review, "torn")
        await self.writer.record(replace(line, reason=TORN))

    async def _next(self, thread: Thread) -> Decision:
        """What follows for a thread by all that the registry knows at this moment."""
        if self.reads_registry:
            return await asyncio.to_thread(self._next_at_once, thread)
        reviewer = self._reviewer(await self.reads.restrictions())
        return reviewer.decide(thread, self.context.clock())

    def _next_at_once(self, thread: Thread) -> Decision:
        with self.context.registry.at_once():
            reviewer = self._reviewer(self.reads.restrictions_now())
            return reviewer.decide(thread, self.context.clock())

    def _reviewer(self, standing: Restrictions) -> Reviewer:
        down = down_by(standing.inputs, self.context.sources)
        return Reviewer(self.context, standing.holds, self.heads, down)

    def _done(self, review: Review, stage: Stage, name: str) -> Event:
        return event(
            self.run, self.context.clock(), review, name, stage=stage, outcome=Outcome.DONE
        )

    async def _settle(self, done: Event, change: Settlement, size: int = 0) -> None:
        await self.writer.settle(replace(change, events=(done,)))
        self.context.notify(RunNotice(done, size))
