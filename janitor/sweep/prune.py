"""Removes the archive's copies of deleted threads once they are past their date.

Only what rows of this registry name is looked at, never what the archive holds beside. Each removal
is intended in the registry first and settled after it, so that a run that died is taken up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime

import orjson

from janitor.archive import Archive, ArchiveDamagedError
from janitor.catalogue import CATALOGUE
from janitor.errors import ArchiveError
from janitor.model import Key, Mode
from janitor.policy.retention import KeptCopy, Retention, holder, needs_reading, over_limit
from janitor.registry import Event, Gone, Registry
from janitor.sweep.parts import Notice, Parts
from janitor.sweep.pruned import Pruned
from janitor.sweep.work import Worker

PAGE = 500
CHUNK = 50
PRUNED, GONE = "pruned", "archive_gone"
"""Events of copies that we removed, and of those that somebody else had."""


async def prune(
    worker: Worker, *, policy: str | None = None, is_asked_for: bool = False, yes: int | None = None
) -> bool:
    """Remove what is past its date as a part of a run; whether nothing was left for want of time.

    What it did is counted in `worker.pruned`. `policy` restricts it to what that one deleted. What
    earlier versions left is only removed where a person has asked for it.

    Raises:
        StoreError: The registry failed.
        ClaimLostError: This janitor's lease ran out; others go on.
    """
    parts, registry = worker.parts, worker.parts.registry
    is_closed = parts.archive is None and parts.archive_error is None  # nothing was past its date
    if is_closed or parts.policies.mode is Mode.AUDIT or parts.watch.trouble is not None:
        return True
    now, pruner = parts.clock(), Pruner(parts, policy)
    if not registry.copies_past(now, limit=1):
        await asyncio.to_thread(registry.note_prune, now)
        return True
    if worker.is_over:
        return False
    worker.pruned = found = await asyncio.to_thread(pruner.survey, now)
    may_begin = await asyncio.to_thread(
        _may_begin, registry, found, now, is_asked_for=is_asked_for, yes=yes
    )
    return await pruner.remove(worker, now) if may_begin else True


def _may_begin(
    registry: Registry, found: Pruned, now: datetime, *, is_asked_for: bool, yes: int | None
) -> bool:
    """Whether what was counted may be removed; that it was counted is remembered."""
    if found.error is not None:
        return False
    if registry.prune_waits() and not is_asked_for:
        found.waiting = found.due + found.gone
        return False
    if yes == found.due:
        found.tripped = None
    registry.note_prune(now, begun=found.tripped is None)
    return found.tripped is None


def foresee_pruning(parts: Parts, now: datetime) -> Pruned:
    """What a sweep would find past its date, counted and held against the limit. Blocks."""
    found = Pruner(parts).survey(now)
    if parts.registry.prune_waits():
        found.waiting = found.due + found.gone
    return found


class Pruner:
    """Judges the copies that are past their recorded date, and removes those that may go."""

    def __init__(self, parts: Parts, policy: str | None = None) -> None:
        self._parts = parts
        self._policy = policy
        self._retention = Retention(parts.sides)

    def survey(self, now: datetime) -> Pruned:
        """Count what may be removed, before anything is, and hold it against the limit. Blocks."""
        found = Pruned()
        for page in self._pages(now):
            for copy in page:
                self._count(found, copy, now)
        if found.error is not None:
            return found
        registry = self._parts.registry
        last = registry.prune_judged_at()
        found.tripped = over_limit(
            self._parts.policies,
            due=found.due,
            held=registry.copies(),
            since_last=None if last is None or last > now else now - last,
        )
        return found

    def going(self, now: datetime) -> Iterator[KeptCopy]:
        """The copies that would be removed, streaming. Blocks."""
        for page in self._pages(now):
            for copy in page:
                found = Pruned()
                self._count(found, copy, now)
                if found.due:
                    yield copy

    def _pages(self, now: datetime) -> Iterator[list[KeptCopy]]:
        after = None
        while page := self._parts.registry.copies_past(
            now, after=after, limit=PAGE, policy=self._policy
        ):
            yield page
            after = page[-1]

    def _count(self, found: Pruned, copy: KeptCopy, now: datetime) -> None:
        try:
            reason = self.why_kept(copy, now)
            if reason is not None:
                found.kept[reason] += 1
            elif copy.run is not None or self.archive().stands(copy.key, copy.paths):
                found.due += 1
            else:
                found.gone += 1
        except ArchiveDamagedError as error:
            found.fail(_damage(copy, error))
        except ArchiveError as error:
            found.error = error

    def archive(self) -> Archive:
        """The archive; raises why it does not serve."""
        if self._parts.archive is None:
            raise self._parts.archive_error or ArchiveError("the archive is not open")
        return self._parts.archive

    def why_kept(self, copy: KeptCopy, now: datetime) -> str | None:
        """Why a copy past its recorded date stays, or `None`; everything is read anew. Blocks.

        Raises `ArchiveDamagedError` and `ArchiveError`, where a hold may name its thread and the
        object cannot be read.
        """
        until = self._retention.until(copy)
        if until is None or until > now:
            return "not_due"
        if self._retention.is_audited(copy):
            return "audit"
        pauses = self._parts.registry.pauses(now)
        names = copy.policies or (None,)
        if any(pause.covers(copy.key.project, name) for pause in pauses for name in names):
            return "paused"
        return None if copy.run is not None and self.is_gone(copy) else self._held(copy, now)

    def is_gone(self, copy: KeptCopy) -> bool:
        """Whether none of its objects is there. Blocks; raises what `Archive.stands` does."""
        return not self.archive().stands(copy.key, copy.paths)

    def _held(self, copy: KeptCopy, now: datetime) -> str | None:
        grace, holds = self._parts.policies.release_grace, self._parts.registry.holds(now)
        said: Mapping[str, str] | None = None
        if needs_reading(copy, holds, grace, now) and not self.is_gone(copy):
            said = self._metadata(copy)
        return None if holder(copy, holds, grace, now, said) is None else "hold"

    def _metadata(self, copy: KeptCopy) -> dict[str, str]:
        """What the newest object says of metadata, as the registry would store it."""
        body = orjson.loads(self.archive().container(copy.key, copy.paths[-1]).body)
        said = body.get("metadata") or {}
        if not CATALOGUE[copy.key.kind].has_metadata:
            return {}
        if not isinstance(said, dict) or not all(isinstance(one, str) for one in said.values()):
            raise ArchiveDamagedError(copy.paths[-1], "its metadata is not a map of strings")
        return self._parts.registry.screen.metadata(said)

    async def remove(self, worker: Worker, now: datetime) -> bool:
        """Remove what may go, chunk by chunk; whether nothing was left for want of time."""
        found = worker.pruned
        found.kept.clear()
        found.failures.clear()
        found.failed = found.gone = 0
        for page in self._pages(now):
            for start in range(0, len(page), CHUNK):
                if worker.is_over or found.error is not None:
                    return found.error is not None
                await _Chunk(self, worker, found).work(page[start : start + CHUNK])
        return True


class _Chunk:
    """A few copies whose intents and ends are committed together."""

    def __init__(self, pruner: Pruner, worker: Worker, found: Pruned) -> None:
        self._pruner = pruner
        self._worker = worker
        self._found = found
        self._registry = worker.parts.registry
        self._gone: list[Gone] = []
        self._kept: list[KeptCopy] = []
        self._ours: set[Key] = set()

    async def work(self, copies: list[KeptCopy]) -> None:
        """Judge each anew, commit what is intended, remove, and settle what is gone."""
        going = [copy for copy in copies if await asyncio.to_thread(self._may_go, copy)]
        self._worker.lease.check()
        free = await asyncio.to_thread(self._registry.intend_prune, self._worker.run, going)
        for copy in going:
            if copy.key not in free:
                self._found.kept["changed"] += 1
            elif not self._worker.is_over and self._found.error is None:
                await self._remove(copy)
            else:
                self._kept.append(copy)
        await self._settle()

    def _may_go(self, copy: KeptCopy) -> bool:
        """Whether a copy is to be removed now; one that is gone already is only settled."""
        pruner, found = self._pruner, self._found
        try:
            if (reason := pruner.why_kept(copy, self._worker.parts.clock())) is not None:
                found.kept[reason] += 1
                if copy.run is not None:
                    self._kept.append(copy)
                return False
            if copy.run is None and pruner.is_gone(copy):
                self._gone.append(self._line(copy, GONE))
                return False
        except ArchiveDamagedError as error:
            found.fail(_damage(copy, error))
            return False
        except ArchiveError as error:
            found.error = error
            return False
        return True

    async def _remove(self, copy: KeptCopy) -> None:
        parts = self._worker.parts
        self._worker.lease.check()
        try:
            reason = await asyncio.to_thread(self._pruner.why_kept, copy, parts.clock())
            if reason is not None:
                self._found.kept[reason] += 1
                self._kept.append(copy)
                return
            await self._pruner.archive().prune(copy.key, copy.paths)
        except ArchiveDamagedError as error:
            self._found.fail(_damage(copy, error))
            self._kept.append(copy)
        except ArchiveError as error:
            self._found.error = error
        else:
            self._ours.add(copy.key)
            self._gone.append(self._line(copy, PRUNED))

    def _line(self, copy: KeptCopy, name: str) -> Gone:
        said = None if copy.until is None else f"kept until {copy.until:%Y-%m-%d %H:%M} UTC"
        now = self._worker.parts.clock()
        return Gone(
            copy, Event(self._worker.run, now, copy.key, name, None, None, copy.policy, said)
        )

    async def _settle(self) -> None:
        if not (self._gone or self._kept):
            return
        settle = self._registry.settle_prune
        forgotten = await asyncio.to_thread(settle, self._gone, self._kept)
        for one in self._gone:
            if one.copy.key in forgotten:
                self._found.removed += one.copy.key in self._ours
                self._found.gone += one.copy.key not in self._ours
                self._worker.parts.notify(Notice(one.line))


def _damage(copy: KeptCopy, error: ArchiveDamagedError) -> str:
    return (
        f"archive: the copy of {copy.key.id} (project {copy.key.project}) is past its keep_for and "
        f"stays: {error.path}: {error.what}"
    )
