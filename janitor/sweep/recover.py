"""What a dead janitor left half done is brought to the end it would have had.

An intent without an outcome is a crash. Either nothing happened (it is withdrawn and the thread
decided anew), or some items are gone (the removal goes on, if it is still wanted and nothing new
has come), or the container is gone (believed only as I4 says), or it stays `deleting`, visibly.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from janitor.archive import ArchiveDamagedError, Fingerprint
from janitor.catalogue import CATALOGUE
from janitor.drivers import Driver
from janitor.errors import DriverError, GoneError
from janitor.model import Key, Mode, Probe, Stage, State, Thread
from janitor.registry import Entry
from janitor.sweep.act import UnsettledError
from janitor.sweep.review import Review
from janitor.sweep.work import Worker


async def recover(worker: Worker) -> None:
    """Settle every intent that earlier runs left open."""
    after: Key | None = None
    while page := await asyncio.to_thread(worker.parts.registry.open_intents, after):
        for entry in page:
            if worker.is_over:
                return
            if worker.may_call_about(entry):
                await worker.settle_failures(entry, _recover(worker, entry))
        after = page[-1].thread.key


async def _recover(worker: Worker, entry: Entry) -> None:
    key = entry.thread.key
    driver = worker.reviewer.driver(entry)
    try:
        probe = await driver.probe(key.id)
        await _go_on(worker, entry, driver, probe)
    except GoneError:
        await _prove_gone(worker, entry, driver)
    except UnsettledError:
        raise
    except (DriverError, ArchiveDamagedError) as error:
        raise UnsettledError(f"recovery has no answer to believe: {error}") from error


async def _go_on(worker: Worker, entry: Entry, driver: Driver, probe: Probe) -> None:
    review = _review(worker, entry)
    if not CATALOGUE[entry.thread.key.kind].items_first or await _is_whole(entry, driver, probe):
        await worker.actor.withdraw(review)
        return
    if not await _is_remainder(worker, entry, driver, probe):
        raise UnsettledError("some items were deleted and new ones have come", name="torn")
    if (reason := _why_kept(worker, review)) is not None:
        raise UnsettledError(f"some items were deleted, the rest is kept: {reason}", name="torn")
    await worker.actor.prove_object(review)
    await worker.actor.remove(review)


def _why_kept(worker: Worker, review: Review) -> str | None:
    if worker.parts.policies.mode_of(review.decision.policy or "") is Mode.AUDIT:
        return "audit"
    return None if Stage.DELETE in review.decision.stages else review.decision.reason or "not due"


async def _is_whole(entry: Entry, driver: Driver, probe: Probe) -> bool:
    """Whether what is upstream is still all that the proven copy holds."""
    thread, copy = entry.thread, entry.thread.copy
    if copy is None or not thread.copy_is_current or probe.newest_item != copy.newest_item:
        return False
    found = Fingerprint(thread.key.kind)
    async for record in driver.export(thread.key.id):
        found.add(record)
    return found.digest == copy.digest


async def _is_remainder(worker: Worker, entry: Entry, driver: Driver, probe: Probe) -> bool:
    """Whether every item left upstream was there when the removal was decided."""
    copy = entry.thread.copy
    if copy is None or not entry.thread.copy_is_current:
        return probe.newest_item in (None, entry.sightings.newest_item)
    known = await asyncio.to_thread(worker.actor.archived_ids, copy)
    left = [record.id async for record in driver.export(entry.thread.key.id) if record.is_item]
    return known >= set(left)


async def _prove_gone(worker: Worker, entry: Entry, driver: Driver) -> None:
    """I4: DELETE and a read after it both say not found, where it was last seen alive."""
    key, intent = entry.thread.key, entry.intent
    access = worker.parts.projects[key.project].access
    if intent is None or intent.access != access:
        message = "not found, but asked with another credential or endpoint than saw it alive"
        raise UnsettledError(message)
    response_id = await _delete_again(driver, key.id)
    if response_id is None and await _is_alive(driver, key.id):
        raise UnsettledError("the server says both that it exists and that it does not")
    review = _review(worker, entry)
    await worker.actor.settle_deleted(review, reason="recovered", response_id=response_id)


async def _delete_again(driver: Driver, id: str) -> str | None:
    try:
        return await driver.delete(id, items_first=False)
    except GoneError:
        return None


async def _is_alive(driver: Driver, id: str) -> bool:
    try:
        await driver.probe(id)
    except GoneError:
        return False
    return True


def _review(worker: Worker, entry: Entry) -> Review:
    """The thread as it was when its removal was decided; items gone since are our own doing."""
    thread = replace(entry.thread, state=_state_before(entry.thread))
    decision = worker.reviewer.decide(thread, worker.parts.clock())
    if decision.policy is None and entry.intent is not None:
        decision = replace(decision, policy=entry.intent.policy)
    return Review(entry, thread, entry.sightings, decision, probed=False)


def _state_before(thread: Thread) -> State:
    if thread.soft_deleted_at is not None:
        return State.SOFT_DELETED
    return State.ARCHIVED if thread.copy_is_current else State.ACTIVE
