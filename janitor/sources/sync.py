"""One reading of a source, page by page; only a complete reading moves its watermark."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from janitor.config import Source
from janitor.config.source_query import is_newer_alone
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
from janitor.sources.sql_reader import (
    BYTES,
    Foreign,
    TableReading,
    Values,
    check_columns,
    id_of,
    reported,
)
from janitor.sources.watermark import (
    InputMemory,
    Newest,
    Watermark,
    is_unordered,
    memories,
    moved,
    recent,
    remember,
    since,
    start_of,
    unread,
)
from janitor.texts import counted

FULL_EVERY = timedelta(days=1)
LEAST_VANISHED = 5
NAMED = 20
FEW = 5
MORE_THAN_ONE = (
    "holds times in more than one format, which the database does not put in order; let the query "
    "give one."
)
UNASKED = (
    "rows below the watermark may be newer, and were not looked for, because {why}. Fix the "
    "query, or write `watermark: null`"
)
NOBODY_GONE = (
    "Until then no thread counts as vanished, none of the source's threads is removed, and the "
    "whole table is read each time"
)
UNSEEN = (
    "No thread counts as vanished, because rows without a time cannot be selected here. "
    "{first}`watermark: null` and a query without the condition, which reads the whole table "
    "each time"
)
UNORDERED = (
    "has no time that can be ordered in {number} rows (such as {ids}), which are read each time. "
    "Let the query give every row a time in one format, with COALESCE where it may be NULL"
)
BLIND = (
    "does not find its newest row again: the condition compares something else (in WHERE a name is "
    "the table's column, not what AS names). Until this is fixed the whole table is read each "
    "time. Compare in WHERE the same expression that the query selects as the watermark"
)
NOTHING = (
    "No row was read. If the table is not empty, the condition does not work with a watermark "
    "below all rows: write it as {column} > :watermark`"
)
DRIFTED = f"{MORE_THAN_ONE} The whole table was read this once"
MIXED = f"{MORE_THAN_ONE} Until then a reading begins before the lowest and may read much again"


@dataclass(frozen=True, slots=True)
class Context:
    """What a reading needs: the projects, the clock, limits, and callbacks.

    `advance` gets the number of rows of each page; `is_stopped` tells the reading to end early.
    Without `changing` nothing is written, only reported what would be. `believes` accepts even a
    large number of vanished threads.
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
    """What a reading did, in rows; `refusals` lists the first that could not be registered.

    `odd_times` counts the rows with a time that is not used as written; `remarks` lists the first.
    `drift` is the warning if the watermark column does not put its rows in order; `unordered`
    counts the rows without a time that can be ordered, and `unordered_ids` lists the first.
    """

    source: str
    read: int = 0
    done: Registered = field(default_factory=Registered)
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    odd_times: int = 0
    remarks: list[str] = field(default_factory=list)
    drift: str | None = None
    unordered: int = 0
    unordered_ids: list[str] = field(default_factory=list)
    vanished: int = 0
    is_full: bool = False
    watermark: datetime | None = None
    seconds: float = 0.0


def sync(registry: Registry, source: Source, context: Context) -> Synced:
    """Read what is new in a source, or all of it to find what vanished.

    A caller that changes anything holds `registry.syncing`. A failure is remembered: the threads of
    the source are kept until a later reading succeeds.

    Raises:
        AccessError: Its database cannot be reached, refuses, or takes too long.
        ConfigError: Its secret, its query or its columns are wrong.
        LimitError: So many threads vanished at once that none of it is believed.
        FaultError: Anything unforeseen.
        StoppedError: It was asked to stop.
        StoreError: The registry failed, which is not the source's fault.
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
    where, text = f"source {name}", str(error)
    if not isinstance(error, AccessError | ConfigError | LimitError):
        return FaultError(where, error)
    return error if text.startswith(f"{where}: ") else type(error)(f"{where}: {text}")


class _Pass:
    """One reading of a source."""

    def __init__(self, registry: Registry, source: Source, context: Context) -> None:
        self._registry = registry
        self._source = source
        self._context = context
        self._foreign = Foreign(source.name, source.sql)
        self._began_at = context.now()
        self._newest = Newest(source.sql.watermark or "")
        self._done = Synced(source.name)
        self._round = f"source:{source.name}"
        self._refused_ids: list[str] = []  # of the current page
        self._unasked: str | None = None  # why there may be rows that were not looked for

    def run(self) -> Synced:
        known = self._known()
        self._done.is_full = self._is_full(known)
        if self._done.is_full and self._context.changing:
            self._registry.scans.end_round(self._round)  # of one that was cut short
        mark = self._read(known, behind=None if self._done.is_full else known.mark)
        if self._done.is_full and self._context.changing:
            self._settle_vanished()
        trouble = self._trouble()
        self._done.is_full = self._done.is_full and self._unasked is None
        self._done.watermark = None if mark is None else mark.at
        self._done.done = replace(self._done.done, unchanged=max(self._done.done.unchanged, 0))
        if self._context.changing:
            full_at = self._began_at if self._done.is_full else known.full_at
            remember(
                self._registry,
                self._source.name,
                lambda memory, at: memory.ended(at, self._identity, mark, full_at, trouble=trouble),
            )
        return self._done

    def _trouble(self) -> str | None:
        """Why a reading of the whole table counts as failed; `None` if it saw the whole table."""
        if self._unasked is None or not self._done.is_full:
            return None
        return f"source {self._source.name}: {UNASKED.format(why=self._unasked)}"

    @property
    def _identity(self) -> str:
        sql = self._source.sql
        text = "\n".join((sql.query, sql.watermark or "", self._foreign.fingerprint))
        return hashlib.sha256(text.encode()).hexdigest()

    def _known(self) -> InputMemory:
        """What is remembered, if it belongs to this query and database."""
        memory = memories(self._registry).get(self._source.name, InputMemory())
        return memory if memory.identity == self._identity else InputMemory()

    def _is_full(self, known: InputMemory) -> bool:
        if self._source.expire_after is None:
            return False
        all_is_read = self._source.sql.watermark is None or known.full_at is None
        return all_is_read or self._began_at - (known.full_at or self._began_at) >= FULL_EVERY

    def _read(
        self, known: InputMemory, behind: Watermark | None, *, was_drifted: bool = False
    ) -> Watermark | None:
        """Read the rows after a watermark, or all rows.

        Reads all rows, too, if newer ones may compare as older than the watermark.
        """
        sql = self._source.sql
        if self._source.expire_after is not None:
            self._foreign.require_all_rows()
        with self._foreign.read(lambda clock: self._tries(behind, clock)) as reading:
            check_columns(reading.columns, sql.watermark)
            for page in reading.pages:
                self._take(page)
            is_partial = behind is not None and reading.begins == self._start(behind, reading.clock)
            self._unasked = self._take_strays(behind if is_partial else None, reading)
            has_drifted = behind is not None and self._has_drifted(behind, reading)
            is_blind = not is_partial and not self._leads_back(reading)
        if has_drifted and is_partial:
            self._count_anew()
            return self._read(known, behind=None, was_drifted=True)
        mark = self._mark(known, reading)
        has_drifted = has_drifted or was_drifted
        is_mixed = mark is not None and bool(mark.beside)
        self._done.drift = self._told(
            has_drifted=has_drifted, is_mixed=is_mixed, is_blind=is_blind, is_whole=behind is None
        )
        return None if is_blind else mark

    def _leads_back(self, reading: TableReading) -> bool:
        """Whether the query finds rows after the next beginning, as it must find the newest row."""
        overlap = self._source.sql.overlap
        mark = moved(None, self._newest.seen, reading.clock, overlap)
        return mark is None or reading.gives(start_of(mark, reading.clock, overlap))

    def _take_strays(self, behind: Watermark | None, reading: TableReading) -> str | None:
        """Take in the rows below the beginning that were not read; returns why that failed."""
        if self._source.sql.watermark is None:
            return None
        overlap = self._source.sql.overlap
        where = None if behind is None else unread(behind, reading.clock, overlap)
        try:
            for page in reading.strays(where):
                self._take(page)
        except (AccessError, ConfigError) as error:
            return str(error).removeprefix(f"source {self._source.name}: ")
        return None

    def _told(
        self, *, has_drifted: bool, is_mixed: bool, is_blind: bool, is_whole: bool
    ) -> str | None:
        """The warning about a watermark column that does not put all of its rows in order."""
        column, done = f"`{self._source.sql.watermark}`", self._done
        is_odd = not is_newer_alone(self._source.sql.query, self._foreign.backend)
        told = [f"{column} {BLIND}"] if is_blind else []
        if is_odd and is_whole and not done.read:
            told.append(NOTHING.format(column=column[:-1]))
        if has_drifted or is_mixed:
            told.append(f"{column} {DRIFTED if has_drifted else MIXED}")
        if done.unordered:
            named = ", ".join(done.unordered_ids)
            told.append(f"{column} {UNORDERED.format(number=done.unordered, ids=named)}")
        if self._unasked is not None:
            told.append(UNASKED.format(why=self._unasked))
        if self._unasked is not None and done.is_full:
            told.append(NOBODY_GONE)
        if self._source.expire_after is not None and not self._foreign.sees_all:
            wanted = f"Write the condition as {column[:-1]} > :watermark`, or write "
            told.append(UNSEEN.format(first=wanted if is_odd else "Write "))
        return ". ".join(told) or None

    def _tries(self, behind: Watermark | None, clock: datetime) -> Sequence[object]:
        """Watermarks to read after: the known one's, then the beginning in each type."""
        if self._source.sql.watermark is None:
            return (None,)
        start = () if behind is None else (self._start(behind, clock),)
        return (*start, *self._foreign.beginning)

    def _start(self, behind: Watermark, clock: datetime) -> object:
        return start_of(behind, clock, self._source.sql.overlap)

    def _has_drifted(self, behind: Watermark, reading: TableReading) -> bool:
        """Whether a time has a new format, or a row has no usable time for the first time."""
        early = since(behind, reading.clock, self._source.sql.overlap)
        seen = {one: at for one, at in self._newest.seen.items() if one not in behind.layouts}
        is_first = bool(self._done.unordered) and not behind.has_unordered
        return is_first or any(recent(seen, early))

    def _count_anew(self) -> None:
        """Restart the counts, so that each row counts once; what was written stays counted."""
        before = self._done.done if self._context.changing else Registered()
        done = replace(before, unchanged=-before.added - before.updated)  # they come again
        self._done = Synced(self._source.name, done=done, is_full=self._done.is_full)
        self._newest = Newest(self._source.sql.watermark or "")

    def _take(self, page: Sequence[Values]) -> None:
        if self._context.is_stopped():
            raise StoppedError(f"source {self._source.name}: asked to stop; read again later")
        self._refused_ids.clear()
        registrations = list(self._registrations(page))
        self._done.read += len(page)
        self._done.done += self._register(registrations)
        if self._done.is_full and self._context.changing and self._refused_ids:
            self._registry.scans.mark_seen(self._round, self._source.name, self._refused_ids)
        self._context.advance(len(page))

    def _register(self, registrations: Sequence[Registration]) -> Registered:
        if not self._context.changing:
            return self._registry.registrations.compare(registrations)
        if self._done.is_full:
            cursor = self._began_at.isoformat()
            return self._registry.scans.take(
                self._round, registrations, self._began_at, cursor=cursor
            ).registered
        return self._registry.registrations.add(registrations, self._began_at)

    def _registrations(self, page: Sequence[Values]) -> Iterator[Registration]:
        column = self._source.sql.watermark
        for number, row in enumerate(page, self._done.read + 1):
            if column is not None:
                self._see(row["id"], number, row[column])
            try:
                registration = reported(row, self._source.project, self._context.projects)
            except (ValueError, RefusedRegistration) as error:
                self._refuse(row["id"], number, str(error))
            else:
                if column is not None and isinstance(row[column], BYTES):
                    told = f"{column} is not a time: a change of this row may not be noticed"
                    registration = replace(registration, remarks=(*registration.remarks, told))
                self._note(registration)
                yield replace(registration, source=self._source.name)

    def _see(self, id: object, number: int, value: object) -> None:
        """Record a row's watermark, and list the row if that cannot be ordered."""
        self._newest.see(value)
        if is_unordered(value):
            self._done.unordered += 1
            if len(self._done.unordered_ids) < FEW:
                self._done.unordered_ids.append(id_of(id) or f"row {number}")

    def _note(self, registration: Registration) -> None:
        self._done.odd_times += bool(registration.remarks)
        if registration.remarks and len(self._done.remarks) < NAMED:
            self._done.remarks.append(f"{registration.key.id}: {', '.join(registration.remarks)}")

    def _refuse(self, id: object, number: int, why: str) -> None:
        self._done.refused += 1
        its = id_of(id)
        if its is not None:
            self._refused_ids.append(its)
        if len(self._done.refusals) < NAMED:
            name = its or f"row {number}"
            self._done.refusals.append(f"{name}: {why.removeprefix(f'{name}: ')}")

    def _mark(self, known: InputMemory, reading: TableReading) -> Watermark | None:
        if self._source.sql.watermark is None:
            return None
        if known.mark is None:
            self._newest.require_times()
        overlap = self._source.sql.overlap
        mark = moved(known.mark, self._newest.seen, reading.clock, overlap)
        if mark is None:
            return None
        shapes = self._newest.all_shapes(known.mark.shapes if known.mark else ())
        return replace(mark, shapes=shapes, has_unordered=bool(self._done.unordered))

    def _settle_vanished(self) -> None:
        """Mark the threads whose rows are gone from the table, unless they are too many to believe.

        None is marked if there may be rows that were not, or cannot be, looked for.

        Raises:
            LimitError: There are too many.
        """
        registry, name = self._registry, self._source.name
        if self._unasked is not None or not self._foreign.sees_all:
            registry.scans.end_round(self._round)
            return
        missing, fed = registry.scans.vanishing(self._round, name, self._began_at)
        limit = self._context.max_missing_percent
        is_much = missing >= LEAST_VANISHED and missing * 100 > limit * fed
        if (is_much or (missing and not self._done.read)) and not self._context.believes:
            registry.scans.end_round(self._round)
            raise LimitError(
                f"{missing} of "
                f"{counted(fed, 'thread that it feeds is', 'threads that it feeds are')} no "
                f"longer in its table (limit {limit:g} %); none of them counts as gone. A wrong "
                "database or query, or an emptied table, looks exactly like this. If they are "
                f"gone: janitor sync --source {name} --accept-vanished"
            )
        self._done.vanished = registry.scans.vanish(
            self._round, name, self._began_at, self._began_at
        )
        registry.scans.end_round(self._round)
