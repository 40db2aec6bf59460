"""Writes the creation time into upstream metadata that lacks it, or reports what it would write.

The tag shows that a thread is under retention, and since when. Only one key is added: what the
application wrote stays, and if no key is free nothing is written.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice

from janitor.drivers import NoFreeKeyError
from janitor.engine.breaker import NOT_ASKED, Stop
from janitor.engine.context import RunContext
from janitor.engine.dry_looks import DryLooks
from janitor.engine.limits import Backlog
from janitor.engine.pauses import is_paused
from janitor.engine.redecide import under_approval
from janitor.engine.report import Report, close, open_run
from janitor.engine.review import Review, Reviewer
from janitor.engine.settlement import settlement
from janitor.engine.worker import Worker
from janitor.errors import ConfigError, RefusedError
from janitor.kinds import CATALOGUE, METADATA_PAIRS
from janitor.model import Kind, Metadata, Mode
from janitor.registry import Entry, RunRecord
from janitor.registry.claims import REVIEWED
from janitor.tracking.calls import CREATED_AT, stamp

PAGE = 200
CHUNK = 16
AGAIN = "janitor tag --dry-run"


class Tag(StrEnum):
    """What to do about a thread: write the tag if it is `missing` and there is room."""

    MISSING = "missing"
    THERE = "there"
    FULL = "full"


def tag_of(upstream: Metadata) -> Tag:
    """What to do about this upstream metadata."""
    if CREATED_AT in upstream:
        return Tag.THERE
    return Tag.FULL if len(upstream) >= METADATA_PAIRS else Tag.MISSING


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which threads to tag: of a project, of a kind, and how many at most."""

    project: str | None = None
    kind: Kind | None = None
    limit: int | None = None

    def covers(self, entry: Entry) -> bool:
        """Whether the thread is wanted, and lacks the tag as far as the registry knows."""
        kind = entry.thread.key.kind
        return (
            entry.thread.state in REVIEWED
            and CATALOGUE[kind].has_metadata
            and self.kind in (None, kind)
            and CREATED_AT not in (entry.thread.upstream or {})
        )


@dataclass(slots=True)
class Tagged:
    """How tagging went, and why the other threads have no tag.

    `tagged` counts replies (in a dry run, what would be written), `there` the threads that had the
    tag by now, `full` those without a free key, and `kept`, by reason, those not probed or not
    written now.
    """

    tagged: int = 0
    there: int = 0
    full: int = 0
    kept: Counter[str] = field(default_factory=Counter)

    def count(self, need: Tag) -> None:
        """Count a thread that was probed and, if the tag was missing, tagged."""
        self.tagged += need is Tag.MISSING
        self.there += need is Tag.THERE
        self.full += need is Tag.FULL


def check(context: RunContext, wanted: Wanted) -> None:
    """Refuse a project or kind that cannot be tagged.

    Raises:
        ConfigError: The project is not configured, or the kind has no metadata upstream.
    """
    if wanted.project is not None and wanted.project not in context.projects:
        known = ", ".join(context.projects)
        raise ConfigError(f"--project {wanted.project}: no such project; known: {known}")
    if wanted.kind is not None and not CATALOGUE[wanted.kind].has_metadata:
        raise ConfigError(f"--kind {wanted.kind}: the API has no metadata for this kind")


def untagged(context: RunContext, wanted: Wanted, done: Tagged) -> Iterator[Entry]:
    """The threads to probe, by key: they may lack the tag, have room, and are not resting."""
    now = context.clock()
    meant = filter(wanted.covers, context.registry.threads.select(project=wanted.project))
    return islice((entry for entry in meant if _is_open(entry, now, done)), wanted.limit)


def _is_open(entry: Entry, now: datetime, done: Tagged) -> bool:
    """Whether a call is worth it; the registry's facts alone decide about the others."""
    if entry.attempts and entry.review_at is not None and entry.review_at > now:
        done.kept["resting"] += 1
        return False
    is_full = tag_of(entry.thread.upstream or {}) is Tag.FULL
    done.full += is_full
    return not is_full


async def tag(context: RunContext, wanted: Wanted, stop: threading.Event, done: Tagged) -> Report:
    """Tag all wanted threads in a separate run; `done` counts the progress.

    The caller holds the run's lock alone. Called again, it continues with threads that lack the
    tag.

    Raises:
        ConfigError: The mode is audit, or `wanted` is not valid.
        StoreError: The registry failed; the run stays open and the next one closes it.
        LimitError: The policies approved last cannot be read.
    """
    if context.policies.mode is Mode.AUDIT:
        raise ConfigError("mode is audit: nothing is tagged upstream; set `mode: enforce` to act")
    check(context, wanted)
    context = under_approval(context)
    run = open_run(context, "tag")
    worker = _Tagger(context, run, stop, done)
    context.progress.begin("tagging", wanted.limit)
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

    def __init__(
        self, context: RunContext, run: RunRecord, stop: threading.Event, done: Tagged
    ) -> None:
        super().__init__(context, run, stop)
        self._done = done
        self.archive_error = None  # nothing is copied

    def claimed(self, wanted: Wanted) -> Iterator[Entry]:
        """The threads to probe, claimed for this run page by page."""
        entries = untagged(self.context, wanted, self._done)
        while page := [entry.thread.key for entry in islice(entries, PAGE)]:
            yield from self.context.registry.claims.take_keys(self.claimant, page)

    async def work(self, entry: Entry) -> None:
        """Look at one thread, tag it if it lacks the tag, and settle the result, whatever it is."""
        if not self.context.serves(entry.thread.key):
            self.keep_unsettled(entry, "not_served")
            return
        await self.missing_judge.over(entry.thread.key.project)
        if (reason := self._why_left(entry, entry.policy)) is not None:
            self.keep_unsettled(entry, reason)
        else:
            await self.settle_failures(entry, self._look_and_tag(entry))

    def _why_left(self, entry: Entry, *policies: str | None) -> str | None:
        if self.health.is_stopped(entry.thread.key.project):
            return "limit"
        return "paused" if is_paused(self.context, entry, *policies) else None

    async def _look_and_tag(self, entry: Entry) -> None:
        review = await self.reviewer.on_probe(entry, self.context.clock())
        self.context.watch.check()
        await self.missing_judge.answered(entry)
        need = tag_of(review.thread.upstream or {})
        if need is not Tag.MISSING:
            self._done.count(need)
            await self._settle_seen(review)
        elif (reason := self._why_left(entry, *review.decision.policies)) is not None:
            self.keep_unsettled(entry, reason)
        else:
            await self._tag(review)

    async def _tag(self, review: Review) -> None:
        thread, created_at = review.thread, review.thread.created_at
        if created_at is None:
            raise RefusedError(f"{thread.key.id}: no server has reported when it was created; kept")
        self.lease.check()
        driver = self.context.driver(review.entry.thread.key)
        try:
            upstream = await driver.write_metadata(thread.key.id, {CREATED_AT: stamp(created_at)})
        except NoFreeKeyError:  # because of keys that the registry does not store, or new ones
            self._done.count(Tag.FULL)
            await self._settle_seen(review)
        else:
            self._done.count(Tag.MISSING)
            seen = replace(review, thread=replace(thread, upstream=upstream))
            await self._settle_seen(seen, "tagged")

    async def _settle_seen(self, review: Review, *names: str) -> None:
        """Record what was seen and written; what is due is left to the next sweep."""
        if review.is_revived:
            review, names = await self.executor.unmark(review), (*names, "revived")
        now, decision = self.context.clock(), review.decision
        if decision.stages:
            decision = replace(decision, review_at=now)
        lines = tuple(self._event(review.entry, name, None) for name in names)
        await self._commit(replace(settlement(review, decision), events=lines))


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What stopped a dry run and, for each project without an answer, why and what to do."""

    stops: tuple[Stop, ...]
    troubles: tuple[str, ...]


async def foresee(
    context: RunContext, wanted: Wanted, stop: threading.Event, done: Tagged
) -> Foreseen:
    """Probe all wanted threads as `tag` would, and count in `done` what it would do.

    Raises:
        ConfigError: `wanted` is not valid.
        LimitError: The policies approved last cannot be read.
    """
    check(context, wanted)
    context.progress.begin("asking the server", wanted.limit)
    looker, entries = _Looker(under_approval(context)), untagged(context, wanted, done)
    while not stop.is_set() and (page := list(islice(entries, CHUNK))):
        for need in await asyncio.gather(*(looker.look(entry) for entry in page)):
            context.progress.advance()
            if isinstance(need, Tag):
                done.count(need)
            else:
                done.kept[need] += 1
    looks = looker.looks
    return Foreseen(tuple(looks.health.stops()), tuple(looks.troubles(looks.errors)))


class _Looker:
    """Probes threads and returns what would be done with each; no part of it changes anything."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._reviewer = Reviewer(context, context.registry.holds.recent(context.clock()))
        self.looks = DryLooks(context, AGAIN)

    async def look(self, entry: Entry) -> Tag | str:
        """What to do with the thread, or why nothing is done."""
        if not self._context.serves(entry.thread.key):
            return "not_served"
        if self.looks.health.is_stopped(entry.thread.key.project):
            return "limit"
        if is_paused(self._context, entry, entry.policy):
            return "paused"
        now = self._context.clock()
        review = await self.looks.of(entry, lambda: self._reviewer.on_probe(entry, now))
        if isinstance(review, str):
            return "limit" if review == NOT_ASKED else review
        return tag_of(review.thread.upstream or {})
