"""Works threads side by side; every way in which one can end is settled here, and only here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial

from janitor.archive import ArchiveDamagedError
from janitor.errors import (
    AccessError,
    ArchiveError,
    BusyError,
    ClaimLostError,
    DriverError,
    GoneError,
    IncompleteError,
    LimitError,
    StoppedError,
    TooLargeError,
    UnsupportedError,
    light_failures,
)
from janitor.model import Decision, Outcome, Presence, Reason, State
from janitor.registry import Entry, Event, Pause, RunRecord, Settlement, Witnessed
from janitor.sweep.act import Actor
from janitor.sweep.breaker import Stop, everywhere_stopped
from janitor.sweep.canaries import Inquest
from janitor.sweep.gate import Gate
from janitor.sweep.heads import Answer, Heads
from janitor.sweep.lease import Lease
from janitor.sweep.parts import Parts, selected
from janitor.sweep.paused import PAUSED, note
from janitor.sweep.pruned import Pruned
from janitor.sweep.ranks import as_seen
from janitor.sweep.review import Review, Reviewer
from janitor.sweep.settle import not_found, setback
from janitor.sweep.settling import HELD_BACK, Settling
from janitor.sweep.silence import Silence
from janitor.sweep.standing import Standing
from janitor.sweep.twins import Turns
from janitor.sweep.undone import ChangedError, UnsettledError

OF_ONE = (UnsupportedError, IncompleteError, TooLargeError)

Drifted = Callable[[Review], str | None]
"""Why a thread is no longer what a reviewed plan says of it, or `None`."""


class Worker(Settling):
    """Works the threads of one run; what it counts comes from committed settlements."""

    def __init__(
        self, parts: Parts, run: RunRecord, stop: threading.Event, drifted: Drifted | None = None
    ) -> None:
        super().__init__(parts, run.id)
        self._drifted = drifted
        self.lease = Lease(parts.registry.lease, lambda: parts.registry.renew(self.claimant))
        parts.guard.may_change = lambda: not self.lease.is_over and parts.watch.trouble is None
        parts.guard.certify = partial(asyncio.to_thread, parts.registry.check_in_place, run.id)
        self.stop = stop
        self._was_cut_short = False
        self.gate = Gate(parts, lambda: parts.registry.pauses(parts.clock()))
        self.counted_at: datetime | None = None
        self._noted: set[Pause] = set()
        self._paused_before = 0
        self.heads = Heads(run.started_at, self._ask_head)
        self.waits_for_heads = False
        self.silence: Silence | None = None
        self.actor = Actor(
            *(self.parts, run.id, self.writer, self.lease, self.heads, self.doing),
            selection=selected(parts),
            refusal=self._why_not_twin,
        )
        self.turns = Turns(self.parts)
        self.pruned = Pruned()
        limits = parts.policies.limits
        self.standing = Standing(parts.projects, limits)
        self.inquest = Inquest(self.parts, self.claimant, self.standing)
        self.archive_error = parts.archive_error
        self._deadline = run.started_at + limits.max_duration
        self.reviewer = Reviewer(self.parts, parts.registry.holds(parts.clock()), self.heads)

    @property
    def is_over(self) -> bool:
        """Whether nothing new may be begun."""
        late = self.parts.clock() >= self._deadline or self.parts.watch.trouble is not None
        return late or self.stop.is_set() or self.lease.is_over

    @property
    def cut_short(self) -> str | None:
        """Why nothing new may be begun, in words, where it is no stop of a project or of all."""
        if self.lease.is_over:
            return "the lease of this janitor ran out; the next sweep goes on from there"
        if self.stop.is_set():
            return "it was asked to stop; the next sweep goes on from there"
        if self.parts.clock() >= self._deadline:
            longest = self.parts.policies.limits.max_duration
            return f"limits.max_duration ({longest}) is over; the next sweep goes on from there"
        return None

    def stops(self) -> tuple[Stop, ...]:
        """What was stopped and why: projects, the archive as a whole, or everything."""
        everywhere = everywhere_stopped(self.archive_error, self.parts.watch.trouble)
        return (*self.standing.stops(), *everywhere)

    async def work_all(self, entries: Iterator[Entry]) -> bool:
        """Work the entries, as many at once as the projects allow; tell whether all were."""
        room = asyncio.Semaphore(sum(p.concurrency for p in self.parts.projects.values()) or 1)
        try:
            async with asyncio.TaskGroup() as group:
                for entry in entries:
                    if self.is_over:
                        return False
                    await room.acquire()
                    task = group.create_task(self.attend(entry, self.work(entry)))
                    task.add_done_callback(lambda _: room.release())
        except BaseExceptionGroup as failed:
            # The others were cancelled and say nothing new; what a person must see is the first.
            raise failed.exceptions[0] from failed
        return not self._was_cut_short

    async def attend(self, entry: Entry, work: Coroutine[None, None, None]) -> None:
        """Run `work` about a claimed thread; unless it is cut short, the claim ends with it."""
        try:
            await work
            await self.writer.give_back(entry.thread.key)
        except ClaimLostError:
            self.keep_unsettled(entry, "claim_lost")
        except StoppedError:
            # The claim is kept till the end: the run is not done with this one.
            self._was_cut_short = True
            self.keep_unsettled(entry, "stopped")
        await self._note_stop(entry.thread.key.project)
        if self.kept[PAUSED] > self._paused_before:
            self._paused_before = self.kept[PAUSED]
            await asyncio.to_thread(self.note, self.parts.registry.pauses(self.parts.clock()))

    async def _note_stop(self, project: str) -> None:
        """Tell the other janitors of the run where this one has stopped a project."""
        if (stop := self.standing.fresh_stop(project)) is not None:
            await asyncio.to_thread(self.parts.registry.note_stop, self.run, stop.note())

    def note(self, pauses: Iterable[Pause]) -> None:
        """Write down in the run's record, once each, what was paused while it went on. Blocks."""
        for pause in pauses:
            if pause not in self._noted:
                self._noted.add(pause)
                self.parts.registry.note_stop(self.run, note(pause))

    async def work(self, entry: Entry) -> None:
        """Look at one thread and do what follows; settle however that ends."""
        async with self.turns.of(entry) as fresh:
            if fresh is not None:
                await self._work(fresh)

    async def _work(self, entry: Entry) -> None:
        if self.heads.is_settled(entry.thread.key):
            return  # it was asked for in this run, as a head, and the end of that is settled
        if not self.reviewer.serves(entry):
            self.keep_unsettled(entry, "not_served")
            return
        await self.inquest.over(entry.thread.key.project)
        if self.may_call_about(entry):
            now = self.counted_at or self.parts.clock()
            review = await asyncio.to_thread(self.reviewer.on_facts, entry, now)
            if (reason := await asyncio.to_thread(self.gate.before_look, review)) is not None:
                await self._refuse(review, reason)
            elif self.waits_for_heads and await self._is_put_off(review, now):
                await self.writer.put_off(entry.thread.key)
            else:
                told = replace(entry, policy=review.decision.policy, due_at=review.decision.due_at)
                await self.settle_failures(told, self._look_and_follow(review))

    def may_call_about(self, entry: Entry) -> bool:
        """Whether the thread's project is served, and was not stopped from being asked."""
        return self.reviewer.serves(entry) and self.standing.may_be_asked(entry.thread.key.project)

    async def settle_failures(self, entry: Entry, work: Coroutine[None, None, None]) -> None:
        """Run `work` about one thread and settle the ways in which it can fail.

        Raises:
            StoreError: The registry failed; nothing may go on.
        """
        project = entry.thread.key.project
        try:
            with light_failures():
                await work
        except ChangedError as error:
            await self._settle_kept(entry, error)
        except GoneError:
            await self._missed(entry)
        except BusyError as error:
            await self.inquest.answered(entry)
            await self._set_back(entry, Outcome.BUSY, error)
        except AccessError as error:
            self.standing.unauthorised(project, str(error))
        except UnsettledError as error:
            await self._left_open(entry, error)
        except DriverError as error:
            self._count_failure(entry, error)
            await self._set_back(entry, Outcome.FAILED, error)
        except ArchiveDamagedError as error:
            await self._set_back(entry, Outcome.FAILED, error, copy_is_current=False)
        except ArchiveError as error:
            self.archive_error = error
        except LimitError:
            self.keep_unsettled(entry, "clock")

    async def _left_open(self, entry: Entry, error: UnsettledError) -> None:
        if error.is_paused:
            await self._settle_halted(entry)
            return
        self._count_failure(entry, error)
        await self._set_back(entry, Outcome.FAILED, error, name=error.name, keep_intent=True)

    def _count_failure(self, entry: Entry, error: DriverError) -> None:
        """A failure tells of the project, unless the server did answer, about this thread alone."""
        if not isinstance(error.__cause__ if isinstance(error, UnsettledError) else error, OF_ONE):
            self.standing.failed(entry, error)

    async def _look_and_follow(self, review: Review) -> None:
        key, counted = review.thread.key, review.remover
        if self.reviewer.needs_probe(review):
            if review.decision.stage is not None:
                self.actor.doing[key] = review.decision.stage
            review = await self._look(review.entry, self.parts.clock())
            self.actor.doing.pop(key, None)
            self.parts.watch.check()
            await self.inquest.answered(review.entry)
            if (
                review.is_torn
                and review.sightings.newest_item != review.entry.sightings.newest_item
            ):
                await self.actor.note_torn(review)
        await self._follow(review, counted)

    async def _is_put_off(self, review: Review, now: datetime) -> bool:
        return await asyncio.to_thread(self.reviewer.is_put_off, review, now)

    async def _look(self, entry: Entry, now: datetime) -> Review:
        """Ask about a thread for its own sake; whoever waits for it as a head hears the answer."""
        with self.heads.awaiting(entry.thread.key) as tell:
            try:
                review = await self.reviewer.look(entry, now)
            except GoneError:
                tell(Answer.GONE)
                raise
            except BusyError:
                tell(Answer.ALIVE)
                raise
            except DriverError:
                tell(Answer.FAILED)
                raise
            if self.silence is not None:
                self.silence.see(review.thread)
            is_placed = self.reviewer.is_still_placed(entry, review.thread, now)
            tell(Answer.ALIVE if is_placed else Answer.ELSEWHERE)
        return await self.reviewer.conclude(review, now)

    async def _follow(self, review: Review, counted: str | None) -> None:
        if review.is_revived and self.standing.is_stopped(review.thread.key.project):
            self.keep_unsettled(review.entry, "limit")
            return
        if review.is_revived and self._drifted is None and not self.gate.is_audited(review):
            review = await self.actor.unmark(review)
        is_held_back = review.decision.reason in HELD_BACK
        is_unanswered = review.decision.reason is Reason.UNANSWERED
        if is_held_back and not review.decision.stages and not is_unanswered:
            await self._settle_look(review)
        elif self._drifted is not None and (reason := self._drifted(review)) is not None:
            await self._settle_undone(review, reason)
        elif not review.decision.stages:
            await self._settle_kept_look(review)
        elif (reason := await asyncio.to_thread(self._why_not, review, counted)) is not None:
            await self._settle_undone(review, reason)
        else:
            await self.actor.carry_out(review)
            if is_held_back:
                await self._note_kept(review, review.decision.why or "")
            if await asyncio.to_thread(self._waiting, review) is not None:
                await self._note_kept(review, Reason.UNAPPROVED)

    async def _settle_kept_look(self, review: Review) -> None:
        waiting = None
        if review.decision.reason is Reason.UNAPPROVED and not review.is_revived:
            waiting = await asyncio.to_thread(self._waiting, review)
        if waiting is None:
            await self._settle_look(review)
        else:
            await self._settle_undone(review, Reason.UNAPPROVED, waiting)

    def _waiting(self, review: Review) -> Decision | None:
        now = self.parts.clock()
        return self.reviewer.waiting(review.thread, review.decision, now)

    def _why_not(self, review: Review, counted: str | None) -> str | None:
        """Why a thread with due stages is left as it is, or `None` where the sweep may act."""
        if self.standing.is_stopped(review.thread.key.project):
            return "limit"
        return self.gate.after_look(review, counted, self.archive_error)

    def _why_not_twin(self, twin: Review) -> str | None:
        return self._why_not(twin, twin.remover)

    async def _missed(self, entry: Entry) -> None:
        """The server does not know it: noted now, believed only when the sweep has ended well."""
        self.heads.hear(entry.thread.key, Answer.GONE)
        is_missing = entry.thread.state is State.MISSING
        if not is_missing and entry.intent is None:  # what we were removing ourselves is no news
            await self.inquest.missed(entry.thread.key)
        line = self._event(entry, "missing", Outcome.MISSING, "not found")
        await self._commit(not_found(entry, line))

    async def _ask_head(self, head: Entry) -> Answer:
        """Ask whether a head is there; the answer counts as any other, whoever works on it.

        Raises:
            StoppedError, LimitError, ClaimLostError, StoreError: Nothing may go on.
        """
        key = head.thread.key
        if not self.reviewer.serves(head):
            return Answer.UNHEARD
        await self.inquest.over(key.project)
        if not self.may_call_about(head):
            return Answer.UNHEARD
        try:
            presence = await self.reviewer.driver(head).presence(key.id)
        except GoneError:
            await self._note_head_gone(head)
            return Answer.GONE
        except BusyError:
            presence = None
        except AccessError as error:
            self.standing.unauthorised(key.project, str(error))
            return Answer.UNHEARD
        except DriverError as error:
            await self._note_head_failed(head, error)
            return Answer.FAILED
        finally:
            await self._note_stop(key.project)
        return await self._witness_head(head, presence)

    async def _witness_head(self, head: Entry, presence: Presence | None) -> Answer:
        self.parts.watch.check()
        await self.inquest.answered(head)
        now = self.parts.clock()
        seen = head.thread if presence is None else as_seen(head, presence)
        if not self.reviewer.is_still_placed(head, seen, now):
            return Answer.ELSEWHERE
        self.lease.check()
        created_at = None if presence is None else presence.created_at
        await self.writer.witness(Witnessed(head.thread.key, now, created_at))
        return Answer.ALIVE

    async def _note_head_gone(self, head: Entry) -> None:
        await self.inquest.missed(head.thread.key)
        line = self._head_event(head, "missing", Outcome.MISSING, "not found")
        await self._note_head(not_found(head, line))

    async def _note_head_failed(self, head: Entry, error: DriverError) -> None:
        self.standing.failed(head, error)
        self.failed.add(head.thread.key)
        line = self._head_event(head, "failed", Outcome.FAILED, str(error))
        await self._note_head(replace(setback(head, line.at, str(error)), events=(line,)))

    def _head_event(self, head: Entry, name: str, outcome: Outcome, reason: str) -> Event:
        at, key = self.parts.clock(), head.thread.key
        return Event(self.run, at, key, name, outcome=outcome, policy=head.policy, reason=reason)

    async def _note_head(self, change: Settlement) -> None:
        if self.parts.watch.trouble is not None:
            return  # the dates that it would set are wrong
        self.lease.check()
        await self.writer.note(change)
        for line in change.events:
            self._tell(line)
