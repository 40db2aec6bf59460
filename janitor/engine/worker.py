"""Works on the threads of a run concurrently, and settles every way in which one can end."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

from janitor.archive import ArchiveDamagedError
from janitor.drivers import load_sdk
from janitor.engine.breaker import (
    NOT_ASKED,
    REPEAT,
    SWEEP,
    ProjectHealth,
    Stop,
    everywhere_stopped,
)
from janitor.engine.context import RunContext, RunNotice, selected
from janitor.engine.errors import ChangedError, UnsettledError
from janitor.engine.executor import Executor
from janitor.engine.export import Export, is_exported
from janitor.engine.keep_last import HeadAnswer, Heads, as_seen
from janitor.engine.lease import Lease
from janitor.engine.limits import ActionGate
from janitor.engine.missing import MissingJudge
from janitor.engine.pauses import PAUSED, note
from janitor.engine.progress import tell_end
from janitor.engine.registry_reads import RegistryReads
from janitor.engine.review import Review, Reviewer
from janitor.engine.settlement import SettlementWriter, kept, not_found, setback, settlement
from janitor.engine.shared_containers import ContainerTurns
from janitor.engine.unmatched_rules import UnmatchedRules
from janitor.errors import (
    AccessError,
    ArchiveError,
    BusyError,
    ClaimLostError,
    DriverError,
    GoneError,
    JanitorError,
    LimitError,
    StoppedError,
    light_failures,
)
from janitor.model import Decision, Key, Outcome, Presence, Reason, Stage, State
from janitor.registry import Entry, Event, Pause, RunRecord, Settlement, Witnessed
from janitor.registry.runs import SWEEPS
from janitor.sources.watermark import MEMORY

HELD_BACK = frozenset({Reason.SOURCE_DOWN, Reason.OTHER_PROJECT, Reason.UNANSWERED})
"""Reasons that keep what is due; each time is recorded as an event."""


TELL_END_EVERY = timedelta(seconds=10)
Drifted = Callable[[Review], str | None]
"""Why a thread is no longer as a reviewed plan describes it, or `None`."""


class Worker:
    """Works on the threads of one run; its counts come from what was committed.

    `doing` is the stage under way for each thread; the event of a failure names it. `failed` are
    the threads for which an attempt failed in this run.
    """

    def __init__(
        self,
        context: RunContext,
        run: RunRecord,
        stop: threading.Event,
        drifted: Drifted | None = None,
    ) -> None:
        self.context = replace(context, notify=self._count)
        self._outer_notify = context.notify
        self.run = run.id
        self.claimant = context.registry.claims.claimant(run.id)
        self.writer = SettlementWriter(context.registry, self.claimant)
        self.doing: dict[Key, Stage] = {}
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.kept: Counter[str] = Counter()
        self.failed: set[Key] = set()
        self._drifted = drifted
        self.lease = Lease(
            context.registry.lease, lambda: context.registry.claims.renew(self.claimant)
        )
        context.guard.may_change = lambda: not self.lease.is_over and context.watch.trouble is None
        self.stop = stop
        self._was_cut_short = False
        self.reads = RegistryReads(context, run.id, context.registry.restrictions(MEMORY))
        context.guard.certify = self.reads.check_in_place
        self.gate = ActionGate(context)
        self.counted_at: datetime | None = None
        self._noted: set[Pause] = set()
        self._paused_before = 0
        self._end_told_at = run.started_at
        self.heads = Heads(run.started_at, self._ask_head, room=context.places)
        self.waits_for_heads = False
        self.unmatched: UnmatchedRules | None = None
        self.executor = Executor(
            *(self.context, run.id, self.writer, self.lease, self.heads, self.reads),
            doing=self.doing,
            selection=selected(context),
            refusal=lambda twin: self._why_not(twin, twin.remover),
        )
        self.turns = ContainerTurns(self.context)
        limits = context.policies.limits
        self._again = SWEEP if run.command in SWEEPS else REPEAT
        self.health = ProjectHealth(context.projects, limits, self._again)
        self.missing_judge = MissingJudge(self.context, self.claimant, self.health)
        self.archive_error = context.archive_error
        self._deadline = run.started_at + limits.max_duration
        self.reviewer = Reviewer(
            self.context, context.registry.holds.recent(context.clock()), self.heads
        )

    @property
    def is_over(self) -> bool:
        """Whether to start nothing new: time is up, a stop was asked for, clock or lease failed."""
        late = self.context.clock() >= self._deadline or self.context.watch.trouble is not None
        return late or self.stop.is_set() or self.lease.is_over

    @property
    def cut_short(self) -> str | None:
        """Why the run ends early: lease, request to stop or time; `None` if none of these."""
        is_sweep = self._again == SWEEP
        then = "the next sweep continues from there" if is_sweep else f"to continue, run {REPEAT}"
        if self.lease.is_over:
            return f"the lease of this janitor expired; {then}"
        if self.stop.is_set():
            return f"it was asked to stop; {then}"
        if self.context.clock() >= self._deadline:
            longest = self.context.policies.limits.max_duration
            return f"limits.max_duration ({longest}) was reached; {then}"
        return None

    def stops(self) -> tuple[Stop, ...]:
        """What was stopped and why: projects, the archive as a whole, or everything."""
        everywhere = everywhere_stopped(self.archive_error, self.context.watch.trouble, self._again)
        return (*self.health.stops(), *everywhere)

    async def work_all(self, entries: Iterator[Entry]) -> bool:
        """Work on the entries, as many at once as projects allow; returns whether all were done."""
        room = asyncio.Semaphore(sum(p.concurrency for p in self.context.projects.values()) or 1)
        try:
            async with asyncio.TaskGroup() as group:
                for number, entry in enumerate(entries):
                    if number == 0:
                        await load_sdk()
                    if self.is_over:
                        return False
                    await room.acquire()
                    task = group.create_task(self.attend(entry, self.work(entry)))
                    task.add_done_callback(lambda _: room.release())
        except BaseExceptionGroup as failed:
            # The others were cancelled and add nothing; a person must see the first one.
            raise failed.exceptions[0] from failed
        return not self._was_cut_short

    async def attend(self, entry: Entry, work: Coroutine[None, None, None]) -> None:
        """Run `work` on a claimed thread and give the claim back, unless the run is cut short."""
        with self.context.progress.step():
            try:
                await work
                await self.writer.give_back(entry.thread.key)
            except ClaimLostError:
                self.keep_unsettled(entry, "claim_lost")
            except StoppedError:
                # The claim is kept till the end: the run is not done with this one.
                self._was_cut_short = True
                self.keep_unsettled(entry, "stopped")
        await self._tell_end()
        await self._note_stop(entry.thread.key.project)
        if self.kept[PAUSED] > self._paused_before:
            self._paused_before = self.kept[PAUSED]
            await asyncio.to_thread(self.note, await self.reads.pauses())

    async def _tell_end(self) -> None:
        """Store from time to time when the sweep is expected to end."""
        now = self.context.clock()
        if self._again == SWEEP and now >= self._end_told_at + TELL_END_EVERY:
            self._end_told_at = now
            progress = self.context.progress
            await asyncio.to_thread(tell_end, self.context.registry, self.run, progress, now)

    async def _note_stop(self, project: str) -> None:
        """Let the other janitors of the run know that this one stopped the project."""
        if (stop := self.health.fresh_stop(project)) is not None:
            await asyncio.to_thread(self.context.registry.runs.note_stop, self.run, stop.note())

    def note(self, pauses: Iterable[Pause]) -> None:
        """Add these pauses to the run's record, once each. Blocks."""
        for pause in pauses:
            if pause not in self._noted:
                self._noted.add(pause)
                self.context.registry.runs.note_stop(self.run, note(pause))

    async def work(self, entry: Entry) -> None:
        """Look at one thread, carry out what is due, and settle the outcome."""
        async with self.turns.of(entry) as fresh:
            if fresh is None or self.heads.is_settled(fresh.thread.key):
                return  # it was removed with a twin, or probed as a head and settled
            if not self.context.serves(fresh.thread.key):
                self.keep_unsettled(fresh, "not_served")
                return
            await self.missing_judge.over(fresh.thread.key.project)
            if not self.may_call_about(fresh):
                self.keep_unsettled(fresh, NOT_ASKED)
                return
            now = self.counted_at or self.context.clock()
            review = await self.reviewer.off_loop(self.reviewer.on_facts, fresh, now)
            reason = self.gate.before_look(review, await self.reads.pauses())
            if reason is not None:
                await self._refuse(review, reason)
            elif self.waits_for_heads and await self.reviewer.off_loop(
                self.reviewer.is_put_off, review, now
            ):
                await self.writer.put_off(fresh.thread.key)
            else:
                decision = review.decision
                known = replace(fresh, policy=decision.policy, due_at=decision.due_at)
                await self.settle_failures(known, self._look_and_follow(review))

    def may_call_about(self, entry: Entry) -> bool:
        """Whether the thread's kind is served, and its project may still be probed."""
        key = entry.thread.key
        return self.context.serves(key) and self.health.may_be_asked(key.project)

    async def settle_failures(self, entry: Entry, work: Coroutine[None, None, None]) -> None:
        """Run `work` on one thread and settle every way in which it can fail.

        Raises:
            StoreError: The registry failed; nothing may go on.
        """
        try:
            with light_failures():
                await work
        except ChangedError as error:
            line, seen = self._event(entry, "kept", Outcome.KEPT, str(error)), error.review
            change = kept(entry, line.at) if seen is None else settlement(seen, seen.decision)
            await self._commit(replace(change, events=(line,)))
        except GoneError:
            await self._missed(entry)
        except BusyError as error:
            await self.missing_judge.answered(entry)
            await self._set_back(entry, Outcome.BUSY, error)
        except AccessError as error:
            self.health.failed(entry, error)
            self.keep_unsettled(entry, NOT_ASKED)
        except UnsettledError as error:
            await self._keep_open(entry, error)
        except DriverError as error:
            self.health.failed(entry, error)
            await self._set_back(entry, Outcome.FAILED, error)
        except ArchiveDamagedError as error:
            await self._set_back(entry, Outcome.FAILED, error, copy_is_current=False)
        except ArchiveError as error:
            self.archive_error = error
        except LimitError:
            self.keep_unsettled(entry, "clock")

    async def _keep_open(self, entry: Entry, error: UnsettledError) -> None:
        """Keep the intent of a removal that may be partly done."""
        if error.is_paused:  # a pause halted it; nothing has failed
            line = self._event(entry, "torn", Outcome.KEPT, PAUSED)
            change = replace(kept(entry, line.at), keep_intent=True, events=(line,))
            await self._commit(change)
        else:
            self.health.failed(entry, error)
            await self._set_back(entry, Outcome.FAILED, error, name=error.name, keep_intent=True)

    async def _look_and_follow(self, review: Review) -> None:
        key, counted = review.thread.key, review.remover
        if not self.reviewer.needs_probe(review):
            await self._follow(review, counted)
            return
        stages = review.decision.stages
        export, is_acted_on = None, not self.gate.is_audited(review)
        is_archived = self.context.archive is not None and is_acted_on
        if is_archived and is_exported(review.thread, stages):
            is_copied = stages[0] is not Stage.ARCHIVE
            export = Export(self.context, review.entry, is_copied=is_copied)
        async with self._turn(review, export) if is_acted_on else nullcontext():
            with nullcontext() if export is None else closing(export):
                if stages:
                    self.executor.doing[key] = stages[0]
                review = await self._look(review.entry, export)
                self.executor.doing.pop(key, None)
                self.context.watch.check()
                await self.missing_judge.answered(review.entry)
                newest = review.sightings.newest_item
                if review.is_torn and newest != review.entry.sightings.newest_item:
                    await self.executor.note_torn(review)
                await self._follow(review, counted)

    def _turn(self, review: Review, export: Export | None) -> AbstractAsyncContextManager[None]:
        """The turn of the deletion that is due by the facts: no look is to get old in a queue.

        What takes longer than a look is valid, such as the export of a long thread, comes first.
        """
        project, stages = self.context.projects[review.thread.key.project], review.decision.stages
        is_short = export is not None or stages[:1] == (Stage.DELETE,)
        return project.reserve("DELETE") if Stage.DELETE in stages and is_short else nullcontext()

    async def _look(self, entry: Entry, export: Export | None) -> Review:
        """Look at a thread for itself; threads that wait for it as a head get the answer, too."""
        now = self.context.clock()
        with self.heads.awaiting(entry.thread.key) as tell:
            try:
                review = await self.reviewer.look(entry, now, export)
            except GoneError:
                tell(HeadAnswer.GONE)
                raise
            except BusyError:
                tell(HeadAnswer.ALIVE)
                raise
            except DriverError:
                tell(HeadAnswer.FAILED)
                raise
            if self.unmatched is not None:
                self.unmatched.see(review.thread)
            is_placed = self.reviewer.is_still_placed(entry, review.thread, now)
            tell(HeadAnswer.ALIVE if is_placed else HeadAnswer.ELSEWHERE)
        return await self.reviewer.conclude(review, now)

    async def _follow(self, review: Review, counted: str | None) -> None:
        if review.is_revived and self.health.is_stopped(review.thread.key.project):
            self.keep_unsettled(review.entry, "limit")
            return
        if review.is_revived and self._drifted is None and not self.gate.is_audited(review):
            review = await self.executor.unmark(review)
        is_held_back = review.decision.reason in HELD_BACK
        is_unanswered = review.decision.reason is Reason.UNANSWERED
        if is_held_back and not review.decision.stages and not is_unanswered:
            await self._settle_look(review)
        elif self._drifted is not None and (reason := self._drifted(review)) is not None:
            await self._settle_undone(review, reason)
        elif not review.decision.stages:
            await self._settle_without_stages(review)
        elif (reason := await self._why_not(review, counted)) is not None:
            await self._settle_undone(review, reason)
        else:
            await self.executor.carry_out(review)
            if is_held_back:
                await self._note_kept(review, review.decision.why or "")
            if await self.reviewer.off_loop(self._waiting, review) is not None:
                await self._note_kept(review, Reason.UNAPPROVED)

    async def _settle_without_stages(self, review: Review) -> None:
        """Record the look; a stage that waits only for approval is recorded as undone."""
        waiting = None
        if review.decision.reason is Reason.UNAPPROVED and not review.is_revived:
            waiting = await self.reviewer.off_loop(self._waiting, review)
        if waiting is None:
            await self._settle_look(review)
        else:
            await self._settle_undone(review, Reason.UNAPPROVED, waiting)

    def _waiting(self, review: Review) -> Decision | None:
        now = self.context.clock()
        return self.reviewer.waiting(review.thread, review.decision, now)

    async def _why_not(self, review: Review, counted: str | None) -> str | None:
        """Why a thread with due stages is left as it is, or `None` if the sweep may act."""
        if self.health.is_stopped(review.thread.key.project):
            return "limit"
        pauses = await self.reads.pauses()
        return self.gate.after_look(review, counted, self.archive_error, pauses)

    async def _missed(self, entry: Entry) -> None:
        """Note a thread that the server does not know; believed only if the sweep ends well."""
        self.heads.hear(entry.thread.key, HeadAnswer.GONE)
        is_missing = entry.thread.state is State.MISSING
        if not is_missing and entry.intent is None:  # our own removals are not news
            await self.missing_judge.missed(entry.thread.key)
        line = self._event(entry, "missing", Outcome.MISSING, "not found")
        await self._commit(not_found(entry, line))

    async def _ask_head(self, head: Entry) -> HeadAnswer:
        """Probe a head; the answer counts like any other, whoever works on the head.

        Raises:
            StoppedError, LimitError, ClaimLostError, StoreError: Nothing may go on.
        """
        key = head.thread.key
        if not self.context.serves(head.thread.key):
            return HeadAnswer.UNHEARD
        await self.missing_judge.over(key.project)
        if not self.may_call_about(head):
            return HeadAnswer.UNHEARD
        try:
            presence = await self.context.driver(head.thread.key).presence(key.id)
        except GoneError:
            await self.missing_judge.missed(key)
            line = self._head_event(head, "missing", Outcome.MISSING, "not found")
            await self._note_head(not_found(head, line))
            return HeadAnswer.GONE
        except BusyError:
            presence = None
        except AccessError as error:
            self.health.failed(head, error)
            return HeadAnswer.UNHEARD
        except DriverError as error:
            self.health.failed(head, error)
            self.failed.add(key)
            line = self._head_event(head, "failed", Outcome.FAILED, str(error))
            change = replace(setback(head, line.at, str(error)), events=(line,))
            await self._note_head(change)
            return HeadAnswer.FAILED
        finally:
            await self._note_stop(key.project)
        return await self._witness_head(head, presence)

    async def _witness_head(self, head: Entry, presence: Presence | None) -> HeadAnswer:
        self.context.watch.check()
        await self.missing_judge.answered(head)
        now = self.context.clock()
        seen = head.thread if presence is None else as_seen(head, presence)
        if not self.reviewer.is_still_placed(head, seen, now):
            return HeadAnswer.ELSEWHERE
        self.lease.check()
        created_at = None if presence is None else presence.created_at
        await self.writer.witness(Witnessed(head.thread.key, now, created_at))
        return HeadAnswer.ALIVE

    def _head_event(self, head: Entry, name: str, outcome: Outcome, reason: str) -> Event:
        at, key = self.context.clock(), head.thread.key
        return Event(self.run, at, key, name, outcome=outcome, policy=head.policy, reason=reason)

    async def _note_head(self, change: Settlement) -> None:
        if self.context.watch.trouble is not None:
            return  # the dates that it would set are wrong
        self.lease.check()
        await self.writer.note(change)
        for line in change.events:
            self._tell(line)

    def drift(self, key: Key, stage: Stage, policy: str | None) -> None:
        """Record a planned thread that is gone from the registry or has changed there. Blocks."""
        at = self.context.clock()
        line = Event(self.run, at, key, "kept", stage, Outcome.KEPT, policy, reason="drift")
        self.context.registry.runs.record([line])
        self._tell(line)

    async def _refuse(self, review: Review, reason: str) -> None:
        """Record that a due stage was not carried out; the thread stays as it was."""
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
        """Record the look, and what is `wanted` if not the decision; the thread stays due."""
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
                setback(entry, self.context.clock(), str(error)),
                is_busy=outcome is Outcome.BUSY,
                keep_intent=keep_intent,
                copy_is_current=copy_is_current,
                events=(line,),
            )
        )

    async def _commit(self, change: Settlement) -> None:
        if self.context.watch.trouble is not None:
            return  # the dates that it would set are wrong
        await self.writer.settle(change)
        for line in change.events:
            self._tell(line)

    def keep_unsettled(self, entry: Entry, reason: str) -> None:
        """Count a thread that is left as it is, without an event in the audit."""
        self._tell(self._event(entry, "kept", Outcome.KEPT, reason))

    def _event(
        self, entry: Entry, name: str, outcome: Outcome | None, reason: str | None = None
    ) -> Event:
        return Event(
            self.run,
            self.context.clock(),
            entry.thread.key,
            name,
            stage=self.doing.pop(entry.thread.key, None),
            outcome=outcome,
            policy=entry.policy,
            reason=reason,
        )

    def _tell(self, line: Event) -> None:
        self.context.notify(RunNotice(line))

    def _count(self, notice: RunNotice) -> None:
        line = notice.event
        if line.outcome is Outcome.KEPT:
            self.kept[line.reason or ""] += 1
        if line.outcome is not None and line.name != "kept":
            self.outcomes[line.policy or "", line.stage or "", line.outcome] += 1
        self._outer_notify(notice)
