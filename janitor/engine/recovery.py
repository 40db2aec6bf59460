"""Finishes or withdraws the removals that a dead janitor left half done.

An intent without an outcome means a crash. If nothing happened, the intent is withdrawn and the
thread decided again. If some items are gone, the removal continues, provided that it is still
wanted and nothing new has arrived. If the container is gone, that is believed only under I4.
Otherwise the thread stays `deleting`, visibly. A run does this before anything else, so a plan
lists these removals first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import Enum, auto
from functools import partial
from typing import Any, assert_never

from janitor.archive import ArchiveDamagedError
from janitor.drivers import Driver
from janitor.engine.context import RunContext
from janitor.engine.errors import ChangedError, UnsettledError
from janitor.engine.executor import archived_ids
from janitor.engine.pauses import PAUSED, is_paused
from janitor.engine.review import Review, Reviewer
from janitor.engine.settlement import is_resting
from janitor.engine.shared_containers import state_before
from janitor.engine.worker import Worker
from janitor.errors import BareGoneError, BusyError, DriverError, GoneError
from janitor.kinds import CATALOGUE
from janitor.model import Decision, Key, Metadata, Mode, NotFound, Probe, Stage, Thread
from janitor.registry import Entry, ThreadQueries

PAGE = 100
BACKOFF = "backoff"


async def recover(worker: Worker, *, tried: bool = True) -> None:
    """Settle every open intent of dead janitors; those of audited or paused policies wait.

    Intents that could not be settled before are left out unless `tried`: they come last, so that
    they do not hold up anything else.
    """
    claim = partial(
        worker.context.registry.claims.take_intents, worker.claimant, tried=tried, limit=PAGE
    )
    while page := await asyncio.to_thread(claim):
        for entry in page:
            if worker.is_over:
                return
            await worker.attend(entry, _attempt(worker, entry))


async def _attempt(worker: Worker, entry: Entry) -> None:
    async with worker.turns.of(entry) as fresh:
        if fresh is None:
            return
        key = fresh.thread.key
        if not worker.context.serves(key):
            reason: str | None = "not_served"
        elif worker.health.is_stopped(key.project):
            reason = "limit"
        else:
            reason = why_waiting(worker.context, worker.reviewer, fresh)
        if reason is not None:
            worker.keep_unsettled(fresh, reason)
        else:
            worker.executor.doing[key] = Stage.DELETE
            await worker.settle_failures(fresh, _recover(worker, fresh))
            worker.executor.doing.pop(key, None)


def why_waiting(context: RunContext, reviewer: Reviewer, entry: Entry) -> str | None:
    """Why an intent waits: it or a twin is paused or in audit; `None` if it need not.

    A pause of any policy that has a say counts, even if the intent names only one of them.
    """
    now, policy = context.clock(), entry.intent.policy if entry.intent is not None else ""
    decision = reviewer.decide(replace(entry.thread, state=state_before(entry.thread)), now)
    twins = list(reviewer.twins(entry.thread, now))
    covered = [(entry, (policy, *decision.policies))]
    covered += [(twin.entry, twin.decision.policies) for twin in twins]
    if any(is_paused(context, row, *policies) for row, policies in covered):
        return PAUSED
    acting = (policy, *(twin.decision.policy or "" for twin in twins))
    return "audit" if any(context.mode_of(name) is Mode.AUDIT for name in acting) else None


async def _recover(worker: Worker, entry: Entry) -> None:
    try:
        await _settle(worker, entry, worker.context.driver(entry.thread.key))
    except (UnsettledError, GoneError):
        raise
    except ChangedError as error:
        message = f"some items were deleted, the rest is kept: {error}"
        is_paused = str(error) == PAUSED
        raise UnsettledError(message, name="torn", is_paused=is_paused) from error
    except BareGoneError as error:
        raise UnsettledError(f"{error}. {_vouched(entry)}") from error
    except (DriverError, ArchiveDamagedError) as error:
        raise UnsettledError(f"no answer tells whether it was removed: {error}") from error


async def _settle(worker: Worker, entry: Entry, driver: Driver) -> None:
    try:
        probe = await driver.probe(entry.thread.key.id)
        worker.context.watch.check()
        await worker.missing_judge.answered(entry)
        await _go_on(worker, entry, driver, probe)
    except GoneError:
        await _prove_gone(worker, entry, driver)


async def _go_on(worker: Worker, entry: Entry, driver: Driver, probe: Probe) -> None:
    now = worker.context.clock()
    review = await as_before(worker.reviewer, entry, probe.metadata, now)
    match await _left(worker, entry, driver, probe):
        case Left.ALL:
            await worker.executor.withdraw(review, again=True)
        case Left.SOME:
            _check_wanted(worker, review)
            if is_resting(entry, worker.context.clock()):  # it is only read, nothing is sent
                worker.keep_unsettled(entry, BACKOFF)
                return
            await worker.executor.prove_object(review)
            async with worker.executor.together(review, is_begun=True) as whole:
                if whole.twins:
                    await worker.executor.intend(whole)
                await worker.executor.remove(whole)
        case Left.NEW:
            raise UnsettledError("some items were deleted and new ones have arrived", name="torn")
        case never:
            assert_never(never)


def _check_wanted(worker: Worker, review: Review) -> None:
    if (reason := why_unwanted(worker.context, review.entry, review.decision)) is not None:
        raise ChangedError(reason)


def why_unwanted(context: RunContext, entry: Entry, decision: Decision) -> str | None:
    """Why a removal may not continue; it is too late for a copy that would have to come first."""
    if is_paused(context, entry, *decision.policies):  # by what the look showed, too
        return PAUSED
    if context.mode_of(decision.policy or "") is Mode.AUDIT:
        return "audit"
    if decision.stage is not Stage.DELETE:
        return decision.why or "changed since it was decided"
    return None


class Left(Enum):
    """What is left of the items known when an interrupted removal was decided.

    `ALL` of them, and perhaps others; `SOME` of them, and no others; `NEW`: some are gone, and
    others have come.
    """

    ALL = auto()
    SOME = auto()
    NEW = auto()


async def _left(worker: Worker, entry: Entry, driver: Driver, probe: Probe) -> Left:
    """What is left; without a copy to compare with, `SOME` may be all of them."""
    thread = entry.thread
    if not CATALOGUE[thread.key.kind].items_first:
        return Left.ALL
    if thread.copy is None or not thread.copy_is_current:
        return compared(thread, probe)
    known = await asyncio.to_thread(archived_ids, worker.context, thread.copy)
    left = {record.id async for record in driver.export(thread.key.id) if record.is_item}
    return compared(thread, probe, known, left)


def compared(
    thread: Thread, probe: Probe, known: Set[str] | None = None, left: Set[str] = frozenset()
) -> Left:
    """Compare the items `left` with those of the copy, or else with what was last seen."""
    if known is None:
        return Left.SOME if probe.newest_item in (None, thread.newest_item) else Left.NEW
    if known <= left:
        return Left.ALL
    return Left.SOME if left <= known else Left.NEW


async def _prove_gone(worker: Worker, entry: Entry, driver: Driver) -> None:
    """I4: DELETE and a read after it both say not found, under the access that saw it alive.

    Under any other access, a canary must answer as well.
    """
    key, intent = entry.thread.key, entry.intent
    project, pair = worker.context.projects[key.project], (key.project, key.kind)
    is_own = project.not_found is NotFound.ANY_JSON
    is_proof = intent is not None and intent.access == project.access and not is_own
    if intent is None or not (is_proof or await worker.missing_judge.canaries.answer(pair)):
        raise UnsettledError(_unproven(entry, is_own=is_own))
    now = worker.context.clock()
    review = await as_before(worker.reviewer, entry, entry.thread.upstream, now)
    try:
        _check_wanted(worker, review)
    except ChangedError as error:
        if str(error) == PAUSED:
            raise
        # Nothing more is sent about it: it is missing, like any thread the server does not know.
        await worker.executor.withdraw(review)
        raise GoneError(f"{key.kind} {key.id}: gone, and no longer to be deleted") from error
    # One "not found" may come from a lagging replica, so it alone removes nothing.
    await _check_gone(driver, key.id)
    worker.executor.lease.check()
    response_id = None
    with suppress(GoneError):
        response_id = await driver.delete(key.id, items_first=review.decision.items_first)
    if response_id is None:
        await _check_gone(driver, key.id)
        # A 404 that a gateway might send is believed only while the server itself answers.
        if is_own and not await worker.missing_judge.canaries.answer(pair):
            raise UnsettledError(_unproven(entry, is_own=True))
    async with worker.executor.together(review, is_gone=True) as whole:
        await worker.executor.settle_deleted(whole, reason="recovered", response_id=response_id)


def _unproven(entry: Entry, *, is_own: bool) -> str:
    key = entry.thread.key
    why = (
        f"not found, but no other {key.kind} of project {key.project} answers"
        if is_own
        else (
            "not found, but asked with a credential or endpoint other than the one that saw it "
            "alive"
        )
    )
    return f"{why}. {_vouched(entry)}"


def _vouched(entry: Entry) -> str:
    """What to do for a person who knows that it is gone for good."""
    return f"If it is gone for good: janitor missing accept --id {entry.thread.key.id} --reason R"


async def _check_gone(driver: Driver, id: str) -> None:
    with suppress(GoneError):
        await driver.probe(id)
        raise UnsettledError("the server says both that it exists and that it does not")


async def as_before(
    reviewer: Reviewer, entry: Entry, upstream: Metadata | None, now: datetime
) -> Review:
    """The thread as it was when its removal was decided; items gone since are our own doing."""
    thread = replace(entry.thread, state=state_before(entry.thread), upstream=upstream)
    decision = reviewer.decide(thread, now)
    known = Review(entry, thread, entry.sightings, decision)
    review = await reviewer.conclude(known, now)
    if review.decision.policy is None and entry.intent is not None:
        return replace(review, decision=replace(review.decision, policy=entry.intent.policy))
    return review


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One thread in state `deleting`, and what a run still has to delete of it.

    `items` and `container` are `None` if the server was not asked. If `untouched`, nothing was
    deleted yet: the thread is decided again, limits included. `kept` says why a run leaves it as it
    is for now, `last_error` why the last attempt did not finish, and `retried_at` when the next
    attempt comes, if that is later than now.
    """

    key: Key
    policy: str | None
    since: datetime | None
    items: int | None = None
    container: bool | None = None
    untouched: bool = False
    kept: str | None = None
    last_error: str | None = None
    retried_at: datetime | None = None

    @property
    def deletes(self) -> int:
        """The fewest DELETE calls to finish it: a container that is gone is deleted once more."""
        return 0 if self.kept is not None else 1 + (self.items or 0)

    def row(self) -> dict[str, Any]:
        """The thread and what is left of it, as they appear in a plan's document."""
        fields = {name: value for name, value in asdict(self).items() if name != "key"}
        return {**asdict(self.key), **fields}


def half_deleted(threads: ThreadQueries) -> Iterator[Entry]:
    """Every thread in state `deleting`, in pages by key."""
    after: Key | None = None
    while page := threads.open_intents(after, PAGE):
        yield from page
        after = page[-1].thread.key


def is_asked(context: RunContext, reviewer: Reviewer, entry: Entry) -> bool:
    """Whether a run asks the server about it at all."""
    return context.serves(entry.thread.key) and why_waiting(context, reviewer, entry) is None


def on_facts(context: RunContext, reviewer: Reviewer, entry: Entry, now: datetime) -> Unfinished:
    """The removal by the registry's facts alone."""
    kept = None if context.serves(entry.thread.key) else "not_served"
    if kept is None and (kept := why_waiting(context, reviewer, entry)) is None:
        decision = reviewer.decide(restored(entry).thread, now)
        kept = _why_not(context, entry, decision, now)
    intent = entry.intent
    policy, since = (entry.policy, None) if intent is None else (intent.policy, intent.at)
    known = Unfinished(entry.thread.key, policy, since, kept=kept, last_error=entry.last_error)
    return replace(known, retried_at=entry.review_at) if is_resting(entry, now) else known


async def on_probe(
    context: RunContext, reviewer: Reviewer, entry: Entry, now: datetime
) -> Unfinished:
    """The removal by the registry's facts and by what the server still has.

    Raises:
        DriverError: No answer that can be believed; after `GoneError`, ask `on_gone`.
        AccessError: The credential was refused.
        ArchiveError: Its copy cannot be read.
    """
    known = on_facts(context, reviewer, entry, now)
    probe = await context.driver(entry.thread.key).probe(entry.thread.key.id)
    if probe.busy:
        raise BusyError("in use")
    known, now = replace(known, container=True), context.clock()
    review = await as_before(reviewer, entry, probe.metadata, now)
    kept = _why_not(context, entry, review.decision, now)
    if not CATALOGUE[entry.thread.key.kind].items_first:
        return replace(known, items=0, kept=kept, untouched=True)
    records = context.driver(entry.thread.key).export(entry.thread.key.id)
    ids = {record.id async for record in records if record.is_item}
    copy, archived = entry.thread.copy, None
    if copy is not None and entry.thread.copy_is_current:
        archived = await asyncio.to_thread(archived_ids, context, copy)
    left = compared(entry.thread, probe, archived, ids)
    items = len(ids) if review.decision.items_first else 0
    kept = "torn" if left is Left.NEW else kept
    return replace(known, items=items, kept=kept, untouched=left is Left.ALL)


async def on_gone(
    context: RunContext, reviewer: Reviewer, entry: Entry, now: datetime
) -> Unfinished:
    """The removal of a thread that the server no longer knows, by the registry's facts."""
    known = on_facts(context, reviewer, entry, now)
    review = await as_before(reviewer, entry, entry.thread.upstream, now)
    unwanted = why_unwanted(context, entry, review.decision)
    return replace(known, items=0, container=False, kept=unwanted)


def _why_not(context: RunContext, entry: Entry, decision: Decision, now: datetime) -> str | None:
    return why_unwanted(context, entry, decision) or (BACKOFF if is_resting(entry, now) else None)


def restored(entry: Entry) -> Entry:
    """The entry of an untouched thread, in the state in which it is decided again."""
    return replace(entry, thread=replace(entry.thread, state=state_before(entry.thread)))
