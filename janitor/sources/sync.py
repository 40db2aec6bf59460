"""One reading of a source: rows come in by pages, and only a whole one moves its watermark."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from janitor.config import Source
from janitor.errors import (
    AccessError,
    ConfigError,
    FaultError,
    JanitorError,
    LimitError,
    LockedError,
    StoppedError,
    StoreError,
)
from janitor.registry import RefusedRegistration, Registered, Registration, Registry
from janitor.sources.foreign import Foreign, Reading, Values
from janitor.sources.memory import Memory, memories, remember
from janitor.sources.rows import BYTES, check_columns, id_of, reported
from janitor.sources.watermarks import Mark, Newest, hidden, moved, recent, since, start_of

FULL_EVERY = timedelta(days=1)
LEAST_VANISHED = 5
NAMED = 20
MORE_THAN_ONE = (
    "holds times in more than one format, which the database does not put in order; let the query "
    "give one."
)
DRIFTED = f"{MORE_THAN_ONE} The whole table was read this once"
MIXED = f"{MORE_THAN_ONE} Until then a reading begins before the lowest and may read much again"


@dataclass(frozen=True, slots=True)
class Context:
    """What a reading goes by: the projects, the clock, limits, and who watches.

    `advance` is told of each page's rows; `is_stopped` asks the reading to end early. Without
    `changing` nothing is written, and only said what would be. `believes` takes even a mass of
    vanished rows for true.
    """

    projects: tuple[str, ...]
    now: Callable[[], datetime]
    max_missing_percent: float
    changing: bool = True
    believes: bool = False
    advance: Callable[[int], None] = lambda _: None
    is_stopped: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class Synced:
    """What a reading did, in rows; `refusals` names the first that could not be registered.

    `odd_times` counts the rows with a time that is not taken as it was said; `remarks` names the
    first. `drift` says that the watermark's column holds more than one format, if it does.
    """

    source: str
    read: int = 0
    done: Registered = field(default_factory=Registered)
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    odd_times: int = 0
    remarks: list[str] = field(default_factory=list)
    drift: str | None = None
    vanished: int = 0
    is_full: bool = False
    watermark: datetime | None = None
    seconds: float = 0.0


def sync(registry: Registry, source: Source, context: Context) -> Synced:
    """Read what is new in a source, or all of it where what vanished is to be found.

    The caller holds `registry.syncing` where it changes anything. A failure is remembered: what
    the source feeds is kept until a later reading ends well.

    Raises:
        AccessError: Its database cannot be reached, refuses, or takes too long.
        ConfigError: Its secret, its query or its columns are wrong.
        LimitError: So much has vanished at once that nothing is believed.
        FaultError: Something that nobody foresaw.
        StoppedError: It was asked to stop.
        StoreError: The registry failed, which is no fault of the source's.
    """
    begun = time.monotonic()
    try:
        done = _Pass(registry, source, context).run()
    except (StoppedError, StoreError, LockedError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a source raises concerns that source
        named = _named(source.name, error)
        if context.changing:
            remember(registry, source.name, lambda memory, at: memory.failed(at, str(named)))
        raise named from named.__cause__
    done.seconds = time.monotonic() - begun
    return done


def _named(name: str, error: Exception) -> JanitorError:
    where, said = f"source {name}", str(error)
    if not isinstance(error, AccessError | ConfigError | LimitError):
        return FaultError(where, error)
    return error if said.startswith(f"{where}: ") else type(error)(f"{where}: {said}")


class _Pass:
    """A source on its way through one reading."""

    def __init__(self, registry: Registry, source: Source, context: Context) -> None:
        self._registry = registry
        self._source = source
        self._context = context
        self._foreign = Foreign(source.name, source.sql)
        self._began_at = context.now()
        self._newest = Newest(source.sql.watermark or "")
        self._done = Synced(source.name)
        self._round = f"source:{source.name}"
        self._refused_ids: list[str] = []  # of the page at hand

    def run(self) -> Synced:
        known = self._known()
        self._done.is_full = self._is_full(known)
        if self._done.is_full and self._context.changing:
            self._registry.end_round(self._round)  # of one that was cut short
        mark = self._read(known, behind=None if self._done.is_full else known.mark)
        if self._done.is_full and self._context.changing:
            self._settle_vanished()
        self._done.watermark = None if mark is None else mark.at
        self._done.done = replace(self._done.done, unchanged=max(self._done.done.unchanged, 0))
        if self._context.changing:
            full_at = self._began_at if self._done.is_full else known.full_at
            remember(
                self._registry,
                self._source.name,
                lambda memory, at: memory.ended(at, self._identity, mark, full_at),
            )
        return self._done

    @property
    def _identity(self) -> str:
        sql = self._source.sql
        said = "\n".join((sql.query, sql.watermark or "", self._foreign.fingerprint))
        return hashlib.sha256(said.encode()).hexdigest()

    def _known(self) -> Memory:
        """What is remembered, as far as it was of this query and this database."""
        memory = memories(self._registry).get(self._source.name, Memory())
        return memory if memory.identity == self._identity else Memory()

    def _is_full(self, known: Memory) -> bool:
        if self._source.expire_after is None:
            return False
        all_is_read = self._source.sql.watermark is None or known.full_at is None
        return all_is_read or self._began_at - (known.full_at or self._began_at) >= FULL_EVERY

    def _read(self, known: Memory, behind: Mark | None) -> Mark | None:
        """Read behind a mark, or all; all as well where rows may be newer and yet not behind it."""
        sql = self._source.sql
        with self._foreign.read(lambda clock: self._tries(behind, clock)) as reading:
            check_columns(reading.columns, sql.watermark)
            for page in reading.pages:
                self._take(page)
            has_drifted = behind is not None and self._has_drifted(behind, reading)
            is_partial = behind is not None and reading.begins == self._start(behind, reading.clock)
        if has_drifted and is_partial:
            self._count_anew()
            mark = self._read(known, behind=None)
        else:
            mark = self._mark(known, reading)
        if has_drifted or (mark is not None and mark.beside):
            self._done.drift = f"`{sql.watermark}` {DRIFTED if has_drifted else MIXED}"
        return mark

    def _tries(self, behind: Mark | None, clock: datetime) -> Sequence[object]:
        """Watermarks to read behind: that of a mark, then the beginning in any type."""
        if self._source.sql.watermark is None:
            return (None,)
        start = () if behind is None else (self._start(behind, clock),)
        return (*start, *self._foreign.beginning)

    def _start(self, behind: Mark, clock: datetime) -> object:
        return start_of(behind, clock, self._source.sql.overlap)

    def _has_drifted(self, behind: Mark, reading: Reading) -> bool:
        """Whether a time is spelled as none was of late: read now, or hiding below the mark."""
        overlap = self._source.sql.overlap
        seen = {one: at for one, at in self._newest.seen.items() if one not in behind.layouts}
        if any(recent(seen, since(behind, reading.clock, overlap))):
            return True
        spots = tuple(hidden(behind, reading.clock, overlap, mixes=self._foreign.mixes))
        return bool(spots) and reading.hides(spots)

    def _count_anew(self) -> None:
        """Begin to count again, so that each row counts once; what was written stays counted."""
        before = self._done.done if self._context.changing else Registered()
        done = replace(before, unchanged=-before.added - before.updated)  # they come once more
        self._done = Synced(self._source.name, done=done, is_full=self._done.is_full)
        self._newest = Newest(self._source.sql.watermark or "")

    def _take(self, page: Sequence[Values]) -> None:
        if self._context.is_stopped():
            raise StoppedError(f"source {self._source.name}: asked to stop; read again later")
        self._refused_ids.clear()
        said = list(self._registrations(page))
        self._done.read += len(page)
        self._done.done += self._register(said)
        if self._done.is_full and self._context.changing and self._refused_ids:
            self._registry.come_by(self._round, self._source.name, self._refused_ids)
        self._context.advance(len(page))

    def _register(self, said: Sequence[Registration]) -> Registered:
        if not self._context.changing:
            return self._registry.compare(said)
        if self._done.is_full:
            cursor = self._began_at.isoformat()
            return self._registry.take(self._round, said, self._began_at, cursor=cursor).registered
        return self._registry.register(said, self._began_at)

    def _registrations(self, page: Sequence[Values]) -> Iterator[Registration]:
        column = self._source.sql.watermark
        for number, row in enumerate(page, self._done.read + 1):
            if column is not None:
                self._newest.see(row[column])
            try:
                said = reported(row, self._source.project, self._context.projects)
            except (ValueError, RefusedRegistration) as error:
                self._refuse(row["id"], number, str(error))
            else:
                if column is not None and isinstance(row[column], BYTES):
                    told = f"{column} is no time: a change of this row may not be noticed"
                    said = replace(said, remarks=(*said.remarks, told))
                self._note(said)
                yield replace(said, source=self._source.name)

    def _note(self, said: Registration) -> None:
        self._done.odd_times += bool(said.remarks)
        if said.remarks and len(self._done.remarks) < NAMED:
            self._done.remarks.append(f"{said.key.id}: {', '.join(said.remarks)}")

    def _refuse(self, id: object, number: int, why: str) -> None:
        self._done.refused += 1
        its = id_of(id)
        if its is not None:
            self._refused_ids.append(its)
        if len(self._done.refusals) < NAMED:
            name = its or f"row {number}"
            self._done.refusals.append(f"{name}: {why.removeprefix(f'{name}: ')}")

    def _mark(self, known: Memory, reading: Reading) -> Mark | None:
        if self._source.sql.watermark is None:
            return None
        if known.mark is None:
            self._newest.require_times()
        overlap = self._source.sql.overlap
        return moved(known.mark, self._newest.seen, reading.clock, overlap)

    def _settle_vanished(self) -> None:
        """Mark what the whole table no longer holds, unless that is too much to be believed.

        Raises:
            LimitError: It is too much.
        """
        registry, name = self._registry, self._source.name
        missing, fed = registry.vanishing(self._round, name, self._began_at)
        limit = self._context.max_missing_percent
        is_much = missing >= LEAST_VANISHED and missing * 100 > limit * fed
        if (is_much or (missing and not self._done.read)) and not self._context.believes:
            registry.end_round(self._round)
            raise LimitError(
                f"{missing} of the {fed} threads that it feeds are no longer in its table (limit "
                f"{limit:g} %); none of them is believed to be gone. A wrong database or query, or "
                "an emptied table, looks exactly like this. If they are gone: janitor sync "
                f"--source {name} --accept-vanished"
            )
        self._done.vanished = registry.vanish(self._round, name, self._began_at, self._began_at)
        registry.end_round(self._round)
