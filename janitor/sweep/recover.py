"""What a dead janitor left half done is brought to the end it would have had.

An intent without an outcome is a crash. Either nothing happened (it is withdrawn and the thread
decided anew), or some items are gone (the removal goes on, if it is still wanted and nothing new
has come), or the container is gone (believed only as I4 says), or it stays `deleting`, visibly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from functools import partial
from typing import assert_never

from janitor.archive import ArchiveDamagedError
from janitor.catalogue import CATALOGUE
from janitor.drivers import Driver
from janitor.errors import BareGoneError, DriverError, GoneError
from janitor.model import Decision, Metadata, Mode, NotFound, Probe, Stage, Thread
from janitor.registry import Entry
from janitor.sweep.parts import Parts
from janitor.sweep.paused import PAUSED, is_paused
from janitor.sweep.review import Review, Reviewer
from janitor.sweep.settle import is_resting
from janitor.sweep.twins import state_before
from janitor.sweep.undone import ChangedError, UnsettledError
from janitor.sweep.work import Worker

PAGE = 100
BACKOFF = "backoff"


async def recover(worker: Worker, *, tried: bool = True) -> None:
    """Settle every intent that the dead left open; an audited or paused policy's waits.

    Those that could not be settled before are left out unless `tried`: they come last, so that
    they hold nothing up.
    """
    claim = partial(worker.parts.registry.claim_intents, worker.claimant, tried=tried, limit=PAGE)
    while page := await asyncio.to_thread(claim):
        for entry in page:
            if worker.is_over:
                return
            await worker.attend(entry, _attempt(worker, entry))


async def _attempt(worker: Worker, entry: Entry) -> None:
    async with worker.turns.of(entry) as fresh:
        if fresh is None:
            return
        if (reason := _why_it_waits(worker, fresh)) is not None:
            worker.keep_unsettled(fresh, reason)
        else:
            worker.actor.doing[fresh.thread.key] = Stage.DELETE
            await worker.settle_failures(fresh, _recover(worker, fresh))
            worker.actor.doing.pop(fresh.thread.key, None)


def _why_it_waits(worker: Worker, entry: Entry) -> str | None:
    """Why nobody may ask about a half-done removal now; `None` where one may."""
    if not worker.reviewer.serves(entry):
        return "not_served"
    if worker.standing.is_stopped(entry.thread.key.project):
        return "limit"
    return why_waiting(worker.parts, worker.reviewer, entry)


def why_waiting(parts: Parts, reviewer: Reviewer, entry: Entry) -> str | None:
    """Why nothing is asked about an intent for now: it or a twin is paused or in audit."""
    policies = [(entry, entry.intent.policy if entry.intent is not None else "")]
    policies += [
        (twin.entry, twin.decision.policy or "")
        for twin in reviewer.twins(entry.thread, parts.clock())
    ]
    if any(is_paused(parts, one, policy) for one, policy in policies):
        return PAUSED
    audited = any(parts.mode_of(policy) is Mode.AUDIT for _, policy in policies)
    return "audit" if audited else None


async def _recover(worker: Worker, entry: Entry) -> None:
    try:
        await _settle(worker, entry, worker.reviewer.driver(entry))
    except (UnsettledError, GoneError):
        raise
    except ChangedError as error:
        message = f"some items were deleted, the rest is kept: {error}"
        is_paused = str(error) == PAUSED
        raise UnsettledError(message, name="torn", is_paused=is_paused) from error
    except BareGoneError as error:
        raise UnsettledError(f"{error}. {_vouched(entry)}") from error
    except (DriverError, ArchiveDamagedError) as error:
        raise UnsettledError(f"recovery has no answer to believe: {error}") from error


async def _settle(worker: Worker, entry: Entry, driver: Driver) -> None:
    try:
        probe = await driver.probe(entry.thread.key.id)
        worker.parts.watch.check()
        await worker.inquest.answered(entry)
        await _go_on(worker, entry, driver, probe)
    except GoneError:
        await _prove_gone(worker, entry, driver)


async def _go_on(worker: Worker, entry: Entry, driver: Driver, probe: Probe) -> None:
    review = await _review(worker, entry, probe.metadata)
    match await _left(worker, entry, driver, probe):
        case Left.ALL:
            await worker.actor.withdraw(review, again=True)
        case Left.SOME:
            _check_wanted(worker, review)
            if is_resting(entry, worker.parts.clock()):  # it was read, and nothing is sent
                worker.keep_unsettled(entry, BACKOFF)
                return
            await worker.actor.prove_object(review)
            async with worker.actor.together(review, is_begun=True) as whole:
                if whole.twins:
                    await worker.actor.intend(whole)
                await worker.actor.remove(whole)
        case Left.NEW:
            raise UnsettledError("some items were deleted and new ones have come", name="torn")
        case never:
            assert_never(never)


def _check_wanted(worker: Worker, review: Review) -> None:
    if (reason := why_unwanted(worker.parts, review.decision)) is not None:
        raise ChangedError(reason)


def why_unwanted(parts: Parts, decision: Decision) -> str | None:
    """Why a removal may not go on; a copy that has to be made first can no longer be made."""
    if parts.mode_of(decision.policy or "") is Mode.AUDIT:
        return "audit"
    if decision.stage is not Stage.DELETE:
        return decision.why or "changed since it was decided"
    return None


class Left(Enum):
    """What a removal that was cut short has left of the items that it was decided about.

    `ALL` of them, and perhaps others; `SOME`, and no others; `NEW`: some are gone, others came.
    """

    ALL = auto()
    SOME = auto()
    NEW = auto()


async def _left(worker: Worker, entry: Entry, driver: Driver, probe: Probe) -> Left:
    """What is left; where no copy tells what was there, `SOME` may stand for all of it."""
    thread = entry.thread
    if not CATALOGUE[thread.key.kind].items_first:
        return Left.ALL
    if thread.copy is None or not thread.copy_is_current:
        return compared(thread, probe)
    known = await asyncio.to_thread(worker.actor.archived_ids, thread.copy)
    left = {record.id async for record in driver.export(thread.key.id) if record.is_item}
    return compared(thread, probe, known, left)


def compared(
    thread: Thread, probe: Probe, known: Set[str] | None = None, left: Set[str] = frozenset()
) -> Left:
    """The items that are `left`, held against those of the copy, or against what was seen last."""
    if known is None:
        return Left.SOME if probe.newest_item in (None, thread.newest_item) else Left.NEW
    if known <= left:
        return Left.ALL
    return Left.SOME if left <= known else Left.NEW


async def _prove_gone(worker: Worker, entry: Entry, driver: Driver) -> None:
    """I4: DELETE and a read after it both say not found, where it was last seen alive."""
    key, intent = entry.thread.key, entry.intent
    project, herd = worker.parts.projects[key.project], (key.project, key.kind)
    is_own = project.not_found is NotFound.ANY_JSON
    is_proof = intent is not None and intent.access == project.access and not is_own
    if intent is None or not (is_proof or await worker.inquest.canaries.answer(herd)):
        raise UnsettledError(_unproven(entry, is_own=is_own))
    review = await _review(worker, entry, entry.thread.upstream)
    try:
        _check_wanted(worker, review)
    except ChangedError as error:
        # Nothing more is sent about it: it is missing, like any other that the server forgot.
        await worker.actor.withdraw(review)
        raise GoneError(f"{key.kind} {key.id}: gone, and no longer to be deleted") from error
    # One "not found" may be a replica's that lags behind: nothing is removed because of it alone.
    await _check_gone(driver, key.id)
    worker.actor.lease.check()
    response_id = await _delete_again(driver, review)
    if response_id is None:
        await _check_gone(driver, key.id)
        # A form that a gateway might use is believed only as long as the server itself answers.
        if is_own and not await worker.inquest.canaries.answer(herd):
            raise UnsettledError(_unproven(entry, is_own=True))
    async with worker.actor.together(review, is_gone=True) as whole:
        await worker.actor.settle_deleted(whole, reason="recovered", response_id=response_id)


def _unproven(entry: Entry, *, is_own: bool) -> str:
    key = entry.thread.key
    why = (
        f"not found, but no other {key.kind} of project {key.project} answers beside it"
        if is_own
        else "not found, but asked with another credential or endpoint than saw it alive"
    )
    return f"{why}. {_vouched(entry)}"


def _vouched(entry: Entry) -> str:
    """What a person may do who knows better than any answer."""
    return f"If it is gone for good: janitor missing accept --id {entry.thread.key.id} --reason R"


async def _delete_again(driver: Driver, review: Review) -> str | None:
    try:
        return await driver.delete(review.thread.key.id, items_first=review.decision.items_first)
    except GoneError:
        return None


async def _check_gone(driver: Driver, id: str) -> None:
    with suppress(GoneError):
        await driver.probe(id)
        raise UnsettledError("the server says both that it exists and that it does not")


async def _review(worker: Worker, entry: Entry, upstream: Metadata | None) -> Review:
    return await as_before(worker.reviewer, entry, upstream, worker.parts.clock())


async def as_before(
    reviewer: Reviewer, entry: Entry, upstream: Metadata | None, now: datetime
) -> Review:
    """The thread as it was when its removal was decided; items gone since are our own doing."""
    thread = replace(entry.thread, state=state_before(entry.thread), upstream=upstream)
    decision = reviewer.decide(thread, now)
    known = Review(entry, thread, entry.sightings, decision, probed=False)
    review = await reviewer.conclude(known, now)
    if review.decision.policy is None and entry.intent is not None:
        return replace(review, decision=replace(review.decision, policy=entry.intent.policy))
    return review
