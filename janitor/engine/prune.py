"""Removes the archive's copies of deleted threads once they are past their date.

Only copies named by rows of this registry are looked at, never anything else in the archive. Each
removal is recorded as an intent in the registry first and settled afterwards, so that the next run
continues where a dead one stopped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime

import orjson

from janitor.archive import ArchiveDamagedError
from janitor.engine.clock import look_at_clock
from janitor.engine.context import RunContext, RunNotice
from janitor.engine.limits import Backlog
from janitor.engine.redecide import under_approval
from janitor.engine.report import Pruned, Report, close, open_run
from janitor.engine.worker import Worker
from janitor.errors import ArchiveError, ConfigError
from janitor.kinds import CATALOGUE
from janitor.model import Key, Mode
from janitor.policy.copy_retention import KeptCopy, Retention, holder, needs_reading, over_limit
from janitor.registry import Event, PrunedCopy, Registry

PAGE = 500
CHUNK = 50
COMMAND = "archive prune"
PRUNED, GONE = "pruned", "archive_gone"
"""Events of copies that we removed, and of copies that were already gone."""


async def prune(
    worker: Worker, *, policy: str | None = None, is_asked_for: bool = False, yes: int | None = None
) -> Pruned:
    """Remove the copies past their date as part of a run, and count them.

    `policy` restricts it to copies of threads that this policy deleted. Copies left by earlier
    versions are removed only if a person has asked for it.

    Raises:
        StoreError: The registry failed.
        ClaimLostError: This janitor's lease ran out; others continue.
    """
    context, registry = worker.context, worker.context.registry
    has_none = context.archive is None and context.archive_error is None
    if has_none or context.policies.mode is Mode.AUDIT or context.watch.trouble is not None:
        return Pruned()
    now, pruner = context.clock(), Pruner(context, policy)
    if not registry.copies.past(now, limit=1):
        await asyncio.to_thread(registry.copies.note_prune, now)
        return Pruned()
    if worker.is_over:
        return Pruned(is_cut_short=True)
    pruned = await asyncio.to_thread(pruner.survey, now)
    if await asyncio.to_thread(
        _may_begin, registry, pruned, now, is_asked_for=is_asked_for, yes=yes
    ):
        await pruner.remove(worker, pruned, now)
    return pruned


def _may_begin(
    registry: Registry, pruned: Pruned, now: datetime, *, is_asked_for: bool, yes: int | None
) -> bool:
    """Whether the counted copies may be removed; records that they were counted."""
    if pruned.error is not None:
        return False
    if registry.copies.prune_waits() and not is_asked_for:
        pruned.waiting = pruned.due + pruned.gone
        return False
    if yes == pruned.due:
        pruned.tripped = None
    registry.copies.note_prune(now, begun=pruned.tripped is None)
    return pruned.tripped is None


def foresee_pruning(context: RunContext, now: datetime) -> Pruned:
    """Count the copies that a sweep would find past their date; compare with the limit. Blocks."""
    pruned = Pruner(context).survey(now)
    if context.registry.copies.prune_waits():
        pruned.waiting = pruned.due + pruned.gone
    return pruned


async def prune_archive(
    context: RunContext, stop: threading.Event, *, yes: int | None = None
) -> Report:
    """Remove the copies past their date in a separate run; the caller holds the run's lock alone.

    `yes` is the number of copies that a person agrees to remove although it is over the limit.

    Raises:
        ConfigError: The mode is audit.
        LimitError: The policies approved last cannot be read.
        StoreError: The registry failed; the run stays open and the next one closes it.
    """
    if context.policies.mode is Mode.AUDIT:
        raise ConfigError(
            "mode is audit: nothing is removed from the archive. See `janitor archive prune "
            "--dry-run`; to remove, set `mode: enforce`"
        )
    context = under_approval(context)
    await look_at_clock(context.watch, context.registry, context.drivers)
    run = open_run(context, COMMAND)
    worker = Worker(context, run, stop)
    async with worker.lease.kept():
        pruned = await prune(worker, is_asked_for=True, yes=yes)
        worker.lease.check()
        complete = not pruned.is_cut_short
        return await close(worker, run, Backlog(), complete=complete, pruned=pruned)


class Pruner:
    """Judges the copies that are past their recorded date, and removes those that may go."""

    def __init__(self, context: RunContext, policy: str | None = None) -> None:
        self._context = context
        self._policy = policy
        self._retention = Retention(context.sides)

    def survey(self, now: datetime) -> Pruned:
        """Count what may be removed, and compare it with the limit, before removing any. Blocks."""
        pruned = Pruned()
        for page in self._pages(now):
            for copy in page:
                self._count(pruned, copy, now)
        if pruned.error is not None:
            return pruned
        registry = self._context.registry
        last = registry.copies.prune_judged_at()
        pruned.tripped = over_limit(
            self._context.policies,
            due=pruned.due,
            held=registry.copies.count(),
            since_last=None if last is None or last > now else now - last,
        )
        return pruned

    def going(self, now: datetime) -> Iterator[KeptCopy]:
        """Stream the copies that would be removed. Blocks."""
        for page in self._pages(now):
            for copy in page:
                pruned = Pruned()
                self._count(pruned, copy, now)
                if pruned.due:
                    yield copy

    def _pages(self, now: datetime) -> Iterator[list[KeptCopy]]:
        after = None
        while page := self._context.registry.copies.past(
            now, after=after, limit=PAGE, policy=self._policy
        ):
            yield page
            after = page[-1]

    def _count(self, pruned: Pruned, copy: KeptCopy, now: datetime) -> None:
        try:
            reason = self.why_kept(copy, now)
            if reason is not None:
                pruned.kept[reason] += 1
            elif copy.run is not None or self._context.store.stands(copy.key, copy.paths):
                pruned.due += 1
            else:
                pruned.gone += 1
        except ArchiveDamagedError as error:
            pruned.fail(_damage(copy, error))
        except ArchiveError as error:
            pruned.error = error

    def why_kept(self, copy: KeptCopy, now: datetime) -> str | None:
        """Why a copy past its recorded date stays, or `None`; reads everything again. Blocks.

        Raises `ArchiveDamagedError` and `ArchiveError` if a hold may name its thread and the object
        cannot be read.
        """
        until = self._retention.until(copy)
        if until is None or until > now:
            return "not_due"
        if self._retention.is_audited(copy):
            return "audit"
        pauses = self._context.registry.pauses.in_force(now)
        names = copy.policies or (None,)
        if any(pause.covers(copy.key.project, name) for pause in pauses for name in names):
            return "paused"
        return None if copy.run is not None and self.is_gone(copy) else self._held(copy, now)

    def is_gone(self, copy: KeptCopy) -> bool:
        """Whether none of its objects exists. Blocks; raises what `Archive.stands` raises."""
        return not self._context.store.stands(copy.key, copy.paths)

    def _held(self, copy: KeptCopy, now: datetime) -> str | None:
        grace = self._context.policies.release_grace
        holds = self._context.registry.holds.recent(now)
        values: Mapping[str, str] | None = None
        if needs_reading(copy, holds, grace, now) and not self.is_gone(copy):
            values = self._metadata(copy)
        return None if holder(copy, holds, grace, now, values) is None else "hold"

    def _metadata(self, copy: KeptCopy) -> dict[str, str]:
        """The metadata in the newest object, as the registry would store it."""
        body = orjson.loads(self._context.store.container(copy.key, copy.paths[-1]).body)
        stored = body.get("metadata") or {}
        if not CATALOGUE[copy.key.kind].has_metadata:
            return {}
        if not isinstance(stored, dict) or not all(
            isinstance(value, str) for value in stored.values()
        ):
            raise ArchiveDamagedError(copy.paths[-1], "its metadata is not a map of strings")
        return self._context.registry.screen.metadata(stored)

    async def remove(self, worker: Worker, pruned: Pruned, now: datetime) -> None:
        """Remove the copies that may go, chunk by chunk, and count them again in `pruned`."""
        pruned.kept.clear()
        pruned.failures.clear()
        pruned.failed = pruned.gone = 0
        progress = worker.context.progress
        progress.begin("removing archive copies past their date", pruned.due, noun="copies")
        for page in self._pages(now):
            for start in range(0, len(page), CHUNK):
                if worker.is_over or pruned.error is not None:
                    pruned.is_cut_short = pruned.error is None
                    return
                chunk = page[start : start + CHUNK]
                await _Chunk(self, worker, pruned).work(chunk)
                progress.advance(len(chunk))


class _Chunk:
    """A few copies whose intents and settlements are each committed together."""

    def __init__(self, pruner: Pruner, worker: Worker, pruned: Pruned) -> None:
        self._pruner = pruner
        self._worker = worker
        self._pruned = pruned
        self._registry = worker.context.registry
        self._gone: list[PrunedCopy] = []
        self._kept: list[KeptCopy] = []
        self._ours: set[Key] = set()

    async def work(self, copies: list[KeptCopy]) -> None:
        """Judge each copy again, commit the intents, remove, and settle what is gone."""
        going = [copy for copy in copies if await asyncio.to_thread(self._may_go, copy)]
        self._worker.lease.check()
        free = await asyncio.to_thread(self._registry.copies.intend_prune, self._worker.run, going)
        for copy in going:
            if copy.key not in free:
                self._pruned.kept["changed"] += 1
            elif not self._worker.is_over and self._pruned.error is None:
                await self._remove(copy)
            else:
                self._kept.append(copy)
        await self._settle()

    def _may_go(self, copy: KeptCopy) -> bool:
        """Whether a copy is to be removed now; one that is gone already is only settled."""
        pruner, pruned = self._pruner, self._pruned
        try:
            if (reason := pruner.why_kept(copy, self._worker.context.clock())) is not None:
                pruned.kept[reason] += 1
                if copy.run is not None:
                    self._kept.append(copy)
                return False
            if copy.run is None and pruner.is_gone(copy):
                self._gone.append(self._line(copy, GONE))
                return False
        except ArchiveDamagedError as error:
            pruned.fail(_damage(copy, error))
            return False
        except ArchiveError as error:
            pruned.error = error
            return False
        return True

    async def _remove(self, copy: KeptCopy) -> None:
        context = self._worker.context
        self._worker.lease.check()
        try:
            reason = await asyncio.to_thread(self._pruner.why_kept, copy, context.clock())
            if reason is not None:
                self._pruned.kept[reason] += 1
                self._kept.append(copy)
                return
            await context.store.prune(copy.key, copy.paths)
        except ArchiveDamagedError as error:
            self._pruned.fail(_damage(copy, error))
            self._kept.append(copy)
        except ArchiveError as error:
            self._pruned.error = error
        else:
            self._ours.add(copy.key)
            self._gone.append(self._line(copy, PRUNED))

    def _line(self, copy: KeptCopy, name: str) -> PrunedCopy:
        message = None if copy.until is None else f"kept until {copy.until:%Y-%m-%d %H:%M} UTC"
        now = self._worker.context.clock()
        return PrunedCopy(
            copy, Event(self._worker.run, now, copy.key, name, None, None, copy.policy, message)
        )

    async def _settle(self) -> None:
        if not (self._gone or self._kept):
            return
        settle = self._registry.copies.settle_prune
        forgotten = await asyncio.to_thread(settle, self._gone, self._kept)
        for gone in self._gone:
            if gone.copy.key in forgotten:
                self._pruned.removed += gone.copy.key in self._ours
                self._pruned.gone += gone.copy.key not in self._ours
                self._worker.context.notify(RunNotice(gone.line))


def _damage(copy: KeptCopy, error: ArchiveDamagedError) -> str:
    return (
        f"archive: the copy of {copy.key.id} (project {copy.key.project}) is past its keep_for, "
        f"but stays: {error.path}: {error.what}"
    )
