"""One sweep: recover, re-decide, count against the limits, then work what is due."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

from janitor.model import State
from janitor.policy import policies_digest
from janitor.registry import Cursor, Entry
from janitor.sweep.backlog import Backlog, count, due_entries
from janitor.sweep.parts import Parts
from janitor.sweep.recover import recover
from janitor.sweep.redecide import redecide
from janitor.sweep.report import Report, close
from janitor.sweep.review import Reviewer
from janitor.sweep.work import Worker

PAGE = 500


@dataclass(frozen=True, slots=True)
class Orders:
    """What one sweep was asked for: all that is due, one policy's, or so many threads at most."""

    policy: str | None = None
    limit: int | None = None


async def sweep(parts: Parts, orders: Orders, stop: threading.Event) -> Report:
    """Do one sweep and close its run. The caller holds the run lock.

    `stop` ends it early: calls in flight finish and settle, nothing new is begun, and the run
    closes as partial.

    Raises:
        StoreError: The registry failed; the run stays open and the next one takes it over.
    """
    registry, now = parts.registry, parts.clock()
    registry.release_claims()
    digest = policies_digest(parts.policies)
    run = registry.open_run("sweep", parts.policies.mode, digest, now)
    worker = Worker(parts, run.id, stop)
    await recover(worker)
    await asyncio.to_thread(redecide, parts, now)
    backlog = await asyncio.to_thread(_count, parts, now, orders.policy)
    worker.forbidden = frozenset(backlog.tripped)
    entries = chain(_claimed(worker, now, orders.policy), _missing(parts, now))
    complete = await worker.work_all(islice(entries, orders.limit))
    registry.expire_tombstones(now - parts.tombstones_keep_for)
    return close(worker, run, backlog, complete=complete)


def _claimed(worker: Worker, now: datetime, policy: str | None) -> Iterator[Entry]:
    """What is up for review, claimed for this run by pages."""
    registry, after = worker.parts.registry, None
    lease = worker.lease_until(now)
    while page := registry.claim(
        worker.run, now, lease_until=lease, limit=PAGE, after=after, policy=policy
    ):
        yield from page
        after = Cursor.of(page[-1])


def _missing(parts: Parts, now: datetime) -> Iterator[Entry]:
    """What was missing before and is to be asked for once more."""
    for entry in parts.registry.select(state=State.MISSING):
        if entry.review_at is not None and entry.review_at <= now:
            yield entry


def _count(parts: Parts, now: datetime, policy: str | None) -> Backlog:
    reviewer = Reviewer(parts, parts.registry.holds(now))
    return count(parts, reviewer, due_entries(parts.registry, now, policy), now)
