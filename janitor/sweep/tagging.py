"""Writes the creation time into the metadata upstream of what lacks it.

Whoever finds a thread there knows by it that it is under retention, and since when. Only a key is
added: what the application wrote stays, and where no key is free nothing is written.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice

from janitor.catalogue import CATALOGUE, METADATA_PAIRS
from janitor.drivers import NoFreeKeyError
from janitor.errors import ConfigError, RefusedError
from janitor.model import Kind, Metadata, Mode
from janitor.policy import policies_digest
from janitor.registry import Entry, RunRecord
from janitor.registry.claiming import REVIEWED
from janitor.sweep.approval import under_approval
from janitor.sweep.backlog import Backlog
from janitor.sweep.parts import Parts
from janitor.sweep.paused import is_paused
from janitor.sweep.report import Report, close, close_dead
from janitor.sweep.review import Review
from janitor.sweep.settle import settlement
from janitor.sweep.work import Worker
from janitor.tracking.tags import CREATED_AT, stamp

PAGE = 200


class Tag(StrEnum):
    """What is to be done about a thread: write the tag where it is `missing` and has room."""

    MISSING = "missing"
    THERE = "there"
    FULL = "full"


def tag_of(upstream: Metadata) -> Tag:
    """What is to be done about metadata as it is upstream."""
    if CREATED_AT in upstream:
        return Tag.THERE
    return Tag.FULL if len(upstream) >= METADATA_PAIRS else Tag.MISSING


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which threads are meant: of a project, of a kind, and so many to be asked for at most."""

    project: str | None = None
    kind: Kind | None = None
    limit: int | None = None

    def covers(self, entry: Entry) -> bool:
        """Whether it is meant, and lacks the tag as far as the registry knows."""
        kind = entry.thread.key.kind
        return (
            entry.thread.state in REVIEWED
            and CATALOGUE[kind].has_metadata
            and self.kind in (None, kind)
            and CREATED_AT not in (entry.thread.upstream or {})
        )


@dataclass(slots=True)
class Tagged:
    """How tagging went, and why the others are without a tag.

    `tagged` counts replies (in a dry run what would be written), `there` what had the tag by now,
    `full` what has no free key, and `kept`, by reason, what was not asked for or not written now.
    """

    tagged: int = 0
    there: int = 0
    full: int = 0
    kept: Counter[str] = field(default_factory=Counter)

    def count(self, found: Tag) -> None:
        """Take one in, after it was asked for and, where the tag was missing, written."""
        self.tagged += found is Tag.MISSING
        self.there += found is Tag.THERE
        self.full += found is Tag.FULL


def check(parts: Parts, wanted: Wanted) -> None:
    """Refuse what cannot be meant.

    Raises:
        ConfigError: The project is not configured, or the kind has no metadata upstream.
    """
    if wanted.project is not None and wanted.project not in parts.projects:
        known = ", ".join(parts.projects)
        raise ConfigError(f"--project {wanted.project}: there is no such project; known: {known}")
    if wanted.kind is not None and not CATALOGUE[wanted.kind].has_metadata:
        raise ConfigError(f"--kind {wanted.kind}: the API keeps no metadata for this kind")


def untagged(parts: Parts, wanted: Wanted, done: Tagged) -> Iterator[Entry]:
    """What is to be asked for, by key: it may lack the tag, has room, and does not rest."""
    now = parts.clock()
    meant = filter(wanted.covers, parts.registry.select(project=wanted.project))
    return islice((one for one in meant if _is_open(one, now, done)), wanted.limit)


def _is_open(entry: Entry, now: datetime, done: Tagged) -> bool:
    """Whether a call is worth it; the registry's facts alone tell of the others."""
    if entry.attempts and entry.review_at is not None and entry.review_at > now:
        done.kept["resting"] += 1
        return False
    is_full = tag_of(entry.thread.upstream or {}) is Tag.FULL
    done.full += is_full
    return not is_full


async def tag(parts: Parts, wanted: Wanted, stop: threading.Event, done: Tagged) -> Report:
    """Tag everything that is meant, in a run of its own; `done` tells how far it came.

    The caller holds the run's lock alone. Called again, it goes on with what lacks the tag.

    Raises:
        ConfigError: The mode is audit, or `wanted` cannot be meant.
        StoreError: The registry failed; the run stays open and the next one closes it.
        LimitError: The policies approved last cannot be read.
    """
    if parts.policies.mode is Mode.AUDIT:
        raise ConfigError("mode is audit: nothing is tagged upstream; set `mode: enforce` to act")
    check(parts, wanted)
    parts, registry = under_approval(parts), parts.registry
    registry.release_claims()
    close_dead(registry, parts.clock())
    digest = policies_digest(parts.policies)
    run = registry.open_run("tag", parts.policies.mode, digest, parts.clock())
    worker = _Tagger(parts, run, stop, done)
    async with worker.lease.kept():
        complete = await worker.work_all(worker.claimed(wanted))
        worker.lease.check()
        report = await close(worker, run, Backlog(), complete=complete)
    done.kept.update(report.kept)
    for (_, _, outcome), number in report.outcomes.items():
        done.kept[outcome] += number
    return report


class _Tagger(Worker):
    """Looks at threads and writes nothing but the tag, whatever else is due."""

    def __init__(self, parts: Parts, run: RunRecord, stop: threading.Event, done: Tagged) -> None:
        super().__init__(parts, run, stop)
        self._done = done
        self.archive_error = None  # nothing is copied

    def claimed(self, wanted: Wanted) -> Iterator[Entry]:
        """What is to be asked for, claimed for this run, by pages."""
        entries = untagged(self.parts, wanted, self._done)
        while page := [entry.thread.key for entry in islice(entries, PAGE)]:
            yield from self.parts.registry.claim_keys(self.claimant, page)

    async def work(self, entry: Entry) -> None:
        """Look at one thread and tag it; settle however that ends."""
        if not self.reviewer.serves(entry):
            self.keep_unsettled(entry, "not_served")
            return
        await self.inquest.over(entry.thread.key.project)
        if (reason := self._why_left(entry, entry.policy)) is not None:
            self.keep_unsettled(entry, reason)
        else:
            await self.settle_failures(entry, self._look_and_tag(entry))

    def _why_left(self, entry: Entry, policy: str | None) -> str | None:
        if self.standing.is_stopped(entry.thread.key.project):
            return "limit"
        return "paused" if is_paused(self.parts, entry, policy) else None

    async def _look_and_tag(self, entry: Entry) -> None:
        review = await self.reviewer.on_probe(entry, self.parts.clock())
        self.parts.watch.check()
        await self.inquest.answered(entry)
        found = tag_of(review.thread.upstream or {})
        if found is not Tag.MISSING:
            self._done.count(found)
            await self._settle_seen(review)
        elif (reason := self._why_left(entry, review.decision.policy)) is not None:
            self.keep_unsettled(entry, reason)
        else:
            await self._tag(review)

    async def _tag(self, review: Review) -> None:
        thread, created_at = review.thread, review.thread.created_at
        if created_at is None:
            raise RefusedError(f"{thread.key.id}: no server has said when it was created; kept")
        self.lease.check()
        driver = self.reviewer.driver(review.entry)
        try:
            upstream = await driver.write_metadata(thread.key.id, {CREATED_AT: stamp(created_at)})
        except NoFreeKeyError:  # by keys of which the registry stores nothing, or new ones
            self._done.count(Tag.FULL)
            await self._settle_seen(review)
        else:
            self._done.count(Tag.MISSING)
            seen = replace(review, thread=replace(thread, upstream=upstream))
            await self._settle_seen(seen, "tagged")

    async def _settle_seen(self, review: Review, *names: str) -> None:
        """Record what was seen and written; what is due is left to the next sweep."""
        if review.is_revived:
            review, names = await self.actor.unmark(review), (*names, "revived")
        now, decision = self.parts.clock(), review.decision
        if decision.stages:
            decision = replace(decision, review_at=now)
        lines = tuple(self._event(review.entry, name, None) for name in names)
        await self._commit(replace(settlement(review, decision), events=lines))
