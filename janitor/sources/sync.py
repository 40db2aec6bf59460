"""One reading of a source: rows come in by pages, and only a whole one moves its watermark."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from janitor.catalogue import is_id
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
from janitor.sources.rows import check_columns, reported
from janitor.sources.watermarks import Mark, Newest, moved, start_of

FULL_EVERY = timedelta(days=1)
LEAST_VANISHED = 5
NAMED = 20


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
    first.
    """

    source: str
    read: int = 0
    done: Registered = field(default_factory=Registered)
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    odd_times: int = 0
    remarks: list[str] = field(default_factory=list)
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
        with self._foreign.read(lambda clock: self._tries(known, clock)) as reading:
            check_columns(reading.columns, self._source.sql.watermark)
            for page in reading.pages:
                self._take(page)
            mark = self._mark(known, reading)
        if self._done.is_full and self._context.changing:
            self._settle_vanished()
        self._done.watermark = None if mark is None else mark.at
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

    def _tries(self, known: Memory, clock: datetime) -> Sequence[object]:
        """Watermarks to read behind: the remembered one, then the beginning in any type."""
        if self._source.sql.watermark is None:
            return (None,)
        beginning = self._foreign.beginning
        if known.mark is None or self._done.is_full:
            return beginning
        return (start_of(known.mark, clock, self._source.sql.overlap), *beginning)

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
                self._note(said)
                yield replace(said, source=self._source.name)

    def _note(self, said: Registration) -> None:
        self._done.odd_times += bool(said.remarks)
        if said.remarks and len(self._done.remarks) < NAMED:
            self._done.remarks.append(f"{said.key.id}: {', '.join(said.remarks)}")

    def _refuse(self, id: object, number: int, why: str) -> None:
        self._done.refused += 1
        named = str(id) if id is not None and is_id(str(id)) else None
        if named is not None:
            self._refused_ids.append(named)
        if len(self._done.refusals) < NAMED:
            name = named or f"row {number}"
            self._done.refusals.append(f"{name}: {why.removeprefix(f'{name}: ')}")

    def _mark(self, known: Memory, reading: Reading) -> Mark | None:
        if self._source.sql.watermark is None:
            return None
        if known.mark is None:
            self._newest.require_times()
        return moved(known.mark, self._newest.mark, reading.clock)

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
