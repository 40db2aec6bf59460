"""What the parts of the registry share: one database engine, and transactions on it.

Statements are the same on all engines; opening, settings, locks and error messages are not.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol, TypeVar

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Select,
    Update,
    bindparam,
    create_engine,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from janitor.errors import ConfigError, StoreError
from janitor.model import Key, Metadata, State
from janitor.policy.activity import last_activity
from janitor.policy.stored_metadata import OPEN, MetadataFilter
from janitor.registry.mapping import Values, key_of, labels_of, rows_of, sightings_of
from janitor.registry.prepared import LOOK_UP, Prepared, registered
from janitor.registry.tables import LABEL, META, RUN, THREAD

WRITES = "janitor_writes"
"""The execution option of a transaction that writes."""


Tell = Callable[[str], None]
"""Called once with the holder of a lock that has to be waited for."""


def tell_nobody(_holder: str) -> None:
    """Ignores the holder: for waiting without a message."""


Lock = AbstractContextManager[object, None]
"""A lock, held while entered; entering raises LockedError if it is not free in time."""


class Database(Protocol):
    """One engine. `name` is the database's name in messages; it never contains a password.

    `has_leases` tells whether claims expire by a clock; otherwise they last as long as the run's
    lock.
    """

    name: str
    engine: Engine
    has_leases: bool

    def explained(self) -> AbstractContextManager[None]:
        """Turns the engine's failure into a JanitorError that says what to do."""

    def pin(self) -> None:
        """Remember which database this is; from now on `check_in_place` compares with it."""

    def check_in_place(self) -> None:
        """Raises StoreError if the name no longer leads to the database that was pinned."""

    def afresh(self) -> AbstractContextManager[Connection]:
        """A connection that sees what a new process would see."""

    def close(self) -> None:
        """Releases files and connections."""

    def looking(self) -> AbstractContextManager[Connection | None]:
        """A transaction in which nothing can be written; `None` if the database is still empty."""

    def now(self, connection: Connection, /) -> datetime:
        """The clock that leases are judged by."""

    def lease_end(self, now: datetime, /) -> datetime:
        """When a claim made at `now` expires."""

    def alone(self, connection: Connection, /) -> None:
        """Keeps out other transactions that call this until this one ends."""

    def lock(self, wait: timedelta, *, shared: bool, tell: Tell = tell_nobody) -> Lock:
        """The run's lock; `shared` if several janitors may work on one sweep together.

        `tell` is called with the holder if the lock has to be waited for.
        """

    def opening(self, wait: timedelta, /) -> Lock:
        """The lock under which a sweep is opened, joined and closed; LockedError after `wait`."""

    def syncing(self, wait: timedelta, /, tell: Tell = tell_nobody) -> Lock:
        """The lock under which sources are read; LockedError after `wait`. `tell` as for `lock`."""

    def walking(self, name: str, wait: timedelta, /) -> Lock:
        """The lock under which the list of that name is walked; LockedError after `wait`."""

    def working(self, run: str) -> Lock:
        """A mark that a living janitor works on this run; any number of janitors may set it."""

    def workers(self, run: str) -> int:
        """How many such marks there are."""

    def bytes_of(self, column: Column[Any], /) -> ColumnElement[bytes]:
        """A column's text as bytes, whatever an application has written there."""

    def scrub(self) -> None:
        """Removes the traces of overwritten data, as far as a client can."""


def new_engine(url: Any, **options: Any) -> Engine:  # noqa: ANN401  handed through to SQLAlchemy
    """An engine that never shows parameters and encodes JSON like the rest of the program."""
    return create_engine(
        url,
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode(),
        json_deserializer=orjson.loads,
        **options,
    )


T = TypeVar("T")

SCREEN = "screen"
ID = "id"

_PLACE = select(
    select(META.c.value).where(META.c.key == ID).scalar_subquery(),
    select(RUN.c.number).where(RUN.c.id == bindparam("run")).exists(),
)
"""The registry's id, and whether it has a run."""

BATCH = LOOK_UP
FEW = 50
"""So many rows are looked for at once; of more, first which of them there are."""
PAGE = 1000

Counted = tuple[str, Any, State, str]
Change = tuple[Values | None, Values | None]
Label = tuple[str, Any, str, str, str]


def spelled(screen: MetadataFilter) -> str:
    """A metadata filter as JSON, with the fingerprint of its secret instead of the secret."""
    keys = None if screen.keys is None else sorted(screen.keys)
    document = {"keys": keys, "hash": sorted(screen.hashed), "key": screen.fingerprint}
    return orjson.dumps(document).decode()


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def by_key() -> tuple[ColumnElement[bool], ...]:
    """Matches the row whose key is given as `bound` parameters, for an executemany."""
    return tuple(THREAD.c[name] == bindparam(f"b_{name}") for name in ("project", "kind", "id"))


def bound(key: Key) -> Values:
    """The parameters of `by_key`."""
    return {"b_project": key.project, "b_kind": key.kind, "b_id": key.id}


WHAT_NOW = (
    "Nothing is removed until that is fixed: put the registry back where it was, or restart this "
    "process if the new one is right"
)


class _OpenTransaction(threading.local):
    """The transaction that a thread reads in, if it reads several things at once."""

    connection: Connection | None = None


class Store:
    """What the parts of a registry share: one database, and how it is read and written.

    Safe to use from several threads. `id` is unique to the registry; `untrusted` are the projects
    whose reported times are not used to date activity; `last_run` is the run that this process
    opened last.
    """

    id: str

    def __init__(self, database: Database, untrusted: frozenset[str]) -> None:
        self.database = database
        self.untrusted = untrusted
        self.last_run: str | None = None
        self._screen: MetadataFilter | None = OPEN
        self._turn = threading.Lock()
        self._open = _OpenTransaction()

    @property
    def name(self) -> str:
        """The database's name in messages: its file or its address, without a password."""
        return self.database.name

    @property
    def screen(self) -> MetadataFilter:
        """The metadata filter; ConfigError if the registry was opened without one."""
        if self._screen is None:
            raise ConfigError(
                f"{self.database.name} stores hashed metadata (`registry.hash`): pass --config, "
                "so that the same hash is used"
            )
        return self._screen

    @screen.setter
    def screen(self, screen: MetadataFilter | None) -> None:
        self._screen = screen

    def fence_screen(self, connection: Connection) -> None:
        """Raises ConfigError if another janitor has changed the metadata filter since."""
        self.check_screen(read_meta(connection, SCREEN))

    def check_screen(self, record: str | None) -> None:
        """Raises ConfigError if the record of the metadata filter names another one than ours.

        Rows and the labels of holds may then be stored in different forms, and not match.
        """
        document = orjson.loads(record or "null")
        recorded = spelled(OPEN) if document is None else document["screen"]
        if recorded != spelled(self.screen):
            raise ConfigError(
                f"{self.database.name} now keeps other metadata (`registry: {{keys, hash}}`): "
                "restart this janitor with the configuration that changed it"
            )

    def asked(self, metadata: Metadata) -> Metadata:
        """Pairs to look for, in the form they are stored; ConfigError if a key is not stored."""
        for key in metadata:
            if not self.screen.keeps(key):
                raise ConfigError(f"metadata {key!r} is not stored: see `registry.keys`")
        return self.screen.metadata(metadata)

    def check_in_place(self, run: str | None = None) -> None:
        """Checks that the address still leads to the registry that was opened.

        It looks as a new process would. `run` must be in the registry (by default, the run opened
        last by this process); if it is not, an older state has been restored.

        Raises:
            StoreError: It does not; the message says what to do.
        """
        database, last = self.database, run or self.last_run
        database.check_in_place()
        with database.explained(), database.afresh() as connection:
            found, knows_run = connection.execute(_PLACE, {"run": last}).one()
            if found != self.id:
                what = "another registry" if found else "no registry"
                raise StoreError(f"{self.name} contains {what}, not the one in use. {WHAT_NOW}")
            if last is not None and not knows_run:
                message = f"{self.name} was restored while in use: it does not know run {last}"
                raise StoreError(f"{message}. {WHAT_NOW}")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; engine failures become errors that say what to do."""
        if self._open.connection is not None:
            yield self._open.connection
            return
        database = self.database
        database.check_in_place()
        with database.explained(), database.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let all that this thread reads in the block be one transaction."""
        with self.reading() as connection:
            outer, self._open.connection = self._open.connection, connection
            try:
                yield
            finally:
                self._open.connection = outer

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; it commits, durably, if the body raises nothing."""
        # Threads take turns here: SQLite itself polls while it waits, and a turn is short.
        self.database.check_in_place()
        with self._turn, self.database.explained(), self.database.engine.connect() as plain:
            connection = plain.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def writing_alone(self) -> Iterator[Connection]:
        """A write that excludes others like it, for code that adds what it found to be missing."""
        with self.writing() as connection:
            self.database.alone(connection)
            yield connection

    def date(self, row: Values) -> None:
        """Recomputes a row's last activity from everything known about it."""
        trusted = row["project"] not in self.untrusted
        row["last_active_at"] = last_activity(
            row["created_at"], sightings_of(row), trust_reported=trusted
        )

    def meta(self, name: str) -> str | None:
        """A single fact about the registry itself."""
        with self.reading() as connection:
            return read_meta(connection, name)


def find_rows(
    connection: Connection,
    keys: Iterable[Key],
    columns: Iterable[Column[Any]] = THREAD.c,
    *,
    locked: bool = True,
) -> dict[Key, Values]:
    """The rows of these keys, by default `locked` until the transaction ends."""
    # SQLite scans the table for `(a, b, c) IN (...)`, but seeks one column after a fixed prefix.
    groups: dict[tuple[str, Any], set[str]] = defaultdict(set)
    for key in keys:
        groups[key.project, key.kind].add(key.id)
    found: dict[Key, Values] = {}
    # Writers that lock rows in the same order cannot deadlock.
    for (project, kind), ids in sorted(groups.items()):
        for chunk in batches(sorted(ids)):
            if len(chunk) > FEW and not (chunk := registered(connection, project, kind, chunk)):
                continue
            named = {"project": project, "kind": kind, "ids": chunk}
            read = connection.execute(_named(tuple(columns), locked=locked), named)
            found |= {key_of(row): row for row in rows_of(read)}
    return found


@lru_cache(16)
def _named(columns: tuple[Column[Any], ...], *, locked: bool) -> Select[Any]:
    """Selects the columns of rows named by `project`, `kind` and `ids`, in the order of `ids`."""
    place = (THREAD.c.project == bindparam("project"), THREAD.c.kind == bindparam("kind"))
    ids = THREAD.c.id.in_(bindparam("ids", expanding=True))
    statement = select(*columns).where(*place, ids).order_by(THREAD.c.id)
    return statement.with_for_update() if locked else statement


_FACT = select(META.c.value).where(META.c.key == bindparam("name"))


def read_meta(connection: Connection, name: str) -> str | None:
    """A single fact about the registry itself."""
    return connection.scalar(_FACT, {"name": name})


def set_meta(connection: Connection, name: str, value: str | None) -> None:
    """Writes a single fact about the registry itself; `None` deletes it."""
    connection.execute(delete(META).where(META.c.key == name))
    if value is not None:
        connection.execute(insert(META), {"key": name, "value": value})


_COUNT = text(
    "INSERT INTO count (project, kind, state, policy, n, copies) "
    "VALUES (:project, :kind, :state, :policy, :n, :copies) "
    "ON CONFLICT (project, kind, state, policy) "
    "DO UPDATE SET n = count.n + excluded.n, copies = count.copies + excluded.copies"
)
_COLUMNS = tuple(column.name for column in THREAD.c if not column.primary_key)
_ADD_LABELS = Prepared(insert(LABEL), *LABEL.c.keys())
_UNLABELLED = tuple(f"b_{column.name}" for column in LABEL.c)
_UNLABEL = delete(LABEL).where(*(column == bindparam(f"b_{column.name}") for column in LABEL.c))


def _counted(row: Values) -> Counted:
    return row["project"], row["kind"], row["state"], row["policy"] or ""


def _has_copy(row: Values | None) -> bool:
    return row is not None and row.get("copy_path") is not None


def add(connection: Connection, deltas: Mapping[Counted, tuple[int, int]]) -> None:
    """Adds to the counts of rows and copies, in the transaction that changes the rows."""
    names = ("project", "kind", "state", "policy", "n", "copies")
    ordered = sorted(deltas.items())
    if ordered:
        rows = [dict(zip(names, (*place, *both), strict=True)) for place, both in ordered]
        connection.execute(_COUNT, rows)


def relabel(connection: Connection, changes: Iterable[Change]) -> None:
    """Updates the labels of rows that changed."""
    gone: list[Label] = []
    new: list[Label] = []
    for before, after in changes:
        was, now = labels_of(before), labels_of(after)
        if was == now:
            continue
        row = after or before or {}
        key = (row["project"], row["kind"], row["id"])
        new += [(*key, *pair) for pair in now - was]
        gone += [(*key, *pair) for pair in was - now]
    if gone:
        connection.execute(_UNLABEL, [dict(zip(_UNLABELLED, one, strict=True)) for one in gone])
    _ADD_LABELS.execute(connection, new)


def recount(connection: Connection, changes: Iterable[Change]) -> None:
    """Updates the count table for rows that were added, removed or changed."""
    befores, afters = zip(*changes, strict=True) if (changes := list(changes)) else ((), ())
    rows: Counter[Counted] = Counter(map(_counted, filter(None, afters)))
    rows.subtract(map(_counted, filter(None, befores)))
    copies: Counter[Counted] = Counter(map(_counted, filter(_has_copy, afters)))
    copies.subtract(map(_counted, filter(_has_copy, befores)))
    add(connection, {key: (n, copies[key]) for key, n in rows.items() if n or copies[key]})


def counted(*clauses: ColumnElement[bool]) -> Select[Any]:
    """Counts the rows and copies that match, grouped as in the count table."""
    place = (THREAD.c.project, THREAD.c.kind, THREAD.c.state, THREAD.c.policy)
    return (
        select(*place, func.count(), func.count(THREAD.c.copy_path))
        .where(*clauses)
        .group_by(*place)
    )


def changed(changes: Sequence[Change]) -> list[str]:
    """The columns that differ in any of the changes.

    SQLite rewrites the index of every column that a statement sets, changed or not.
    """
    return [
        name
        for name in _COLUMNS
        if any((before or {})[name] != (after or {})[name] for before, after in changes)
    ]


def write(connection: Connection, names: Sequence[str], rows: Sequence[Values]) -> None:
    """Writes the named columns of existing rows, in one executemany."""
    if not rows or not names:
        return
    connection.execute(
        _update(tuple(names)),
        [bound(key_of(row)) | {name: row[name] for name in names} for row in rows],
    )


@lru_cache(64)
def _update(names: tuple[str, ...]) -> Update:
    return update(THREAD).where(*by_key()).values({name: bindparam(name) for name in names})
