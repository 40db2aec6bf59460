"""What every part of the registry stands on: one engine, and transactions that explain failures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from janitor.errors import ConfigError
from janitor.model import Key, Metadata, State
from janitor.policy.activity import last_activity
from janitor.policy.screen import OPEN, Screen
from janitor.registry.database import WRITES, Database
from janitor.registry.rows import Values, key_of, labels_of, rows_of, sightings_of
from janitor.registry.tables import LABEL, META, THREAD

T = TypeVar("T")

SCREEN = "screen"
ID = "id"

BATCH = 500
PAGE = 1000

Counted = tuple[str, Any, State, str]
Change = tuple[Values | None, Values | None]


def spelled(screen: Screen) -> str:
    """A screen without its secret, of which it names the fingerprint."""
    keys = None if screen.keys is None else sorted(screen.keys)
    said = {"keys": keys, "hash": sorted(screen.hashed), "key": screen.fingerprint}
    return orjson.dumps(said).decode()


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def by_key() -> tuple[ColumnElement[bool], ...]:
    """Which row each set of `bound` parameters of an executemany means."""
    return tuple(THREAD.c[name] == bindparam(f"b_{name}") for name in ("project", "kind", "id"))


def bound(key: Key) -> Values:
    """The parameters of `by_key`."""
    return {"b_project": key.project, "b_kind": key.kind, "b_id": key.id}


class Store:
    """One database; safe to be used from several threads. `id` tells it from all others."""

    id: str

    def __init__(self, database: Database, untrusted: frozenset[str]) -> None:
        self._database = database
        self._untrusted = untrusted
        self._screen: Screen | None = OPEN
        self._turn = Lock()
        self._last_run: str | None = None

    @property
    def name(self) -> str:
        """How messages call the database: its file or its address, without a password."""
        return self._database.name

    @property
    def screen(self) -> Screen:
        """What is stored of metadata; ConfigError where the registry was opened without that."""
        if self._screen is None:
            raise ConfigError(
                f"{self._database.name} hides metadata by `registry.hash`: no metadata enters, or "
                "is asked for, without the configuration"
            )
        return self._screen

    def _fence_screen(self, connection: Connection) -> None:
        """Keep metadata out where another janitor has changed since what is stored of it."""
        said = orjson.loads(read_meta(connection, SCREEN) or "null")
        recorded = spelled(OPEN) if said is None else said["screen"]
        if recorded != spelled(self.screen):
            raise ConfigError(
                f"{self._database.name} keeps other metadata by now (`registry: {{keys, hash}}`): "
                "start this janitor again, with the configuration of the one that changed it"
            )

    def _asked(self, metadata: Metadata) -> Metadata:
        """Pairs to look for, as they are stored; ConfigError where a key is not."""
        for key in metadata:
            if not self.screen.keeps(key):
                raise ConfigError(f"metadata {key!r} is not stored: see `registry.keys`")
        return self.screen.metadata(metadata)

    @property
    def _engine(self) -> Engine:
        return self._database.engine

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        database = self._database
        database.check_in_place()
        with database.explained(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        # Threads take turns here: SQLite's own waiting polls, and a turn is short.
        self._database.check_in_place()
        with self._turn, self._database.explained(), self._engine.connect() as plain:
            connection = plain.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _writing_alone(self) -> Iterator[Connection]:
        """For what reads first whether something is there, and adds it where it is not."""
        with self._writing() as connection:
            self._database.alone(connection)
            yield connection

    def _rows(
        self,
        connection: Connection,
        keys: Iterable[Key],
        columns: Iterable[Column[Any]] = THREAD.c,
        *,
        locked: bool = True,
    ) -> dict[Key, Values]:
        """The rows of these keys, `locked` from other writers until the transaction ends."""
        # SQLite scans the table for `(a, b, c) IN (...)`; one column of a fixed prefix it seeks.
        groups: dict[tuple[str, Any], set[str]] = defaultdict(set)
        for key in keys:
            groups[key.project, key.kind].add(key.id)
        found: dict[Key, Values] = {}
        # Two writers that take rows in the same order wait for each other, but not for ever.
        for (project, kind), ids in sorted(groups.items()):
            for chunk in batches(sorted(ids)):
                place = (THREAD.c.project == project, THREAD.c.kind == kind)
                named = select(*columns).where(*place, THREAD.c.id.in_(chunk))
                statement = named.order_by(THREAD.c.id)
                statement = statement.with_for_update() if locked else statement
                found |= {key_of(row): row for row in rows_of(connection.execute(statement))}
        return found

    def _date(self, row: Values) -> None:
        trusted = row["project"] not in self._untrusted
        row["last_active_at"] = last_activity(
            row["created_at"], sightings_of(row), trust_reported=trusted
        )

    @staticmethod
    def _relabel(connection: Connection, changes: Iterable[Change]) -> None:
        gone: list[Values] = []
        new: list[Values] = []
        for before, after in changes:
            was, now = labels_of(before), labels_of(after)
            if was == now:
                continue
            row = after or before or {}
            key = {name: row[name] for name in ("project", "kind", "id")}
            new += [{**key, "key": name, "value": value} for name, value in now - was]
            gone += [_prefixed({**key, "key": name, "value": value}) for name, value in was - now]
        if gone:
            connection.execute(_UNLABEL, gone)
        if new:
            connection.execute(insert(LABEL), new)

    @staticmethod
    def _recount(connection: Connection, changes: Iterable[Change]) -> None:
        rows: Counter[Counted] = Counter()
        copies: Counter[Counted] = Counter()
        for before, after in changes:
            for row, sign in ((before, -1), (after, 1)):
                if row is not None:
                    rows[_counted(row)] += sign
                    copies[_counted(row)] += sign * (row.get("copy_path") is not None)
        add(connection, {key: (n, copies[key]) for key, n in rows.items() if n or copies[key]})

    def _meta(self, name: str) -> str | None:
        with self._reading() as connection:
            return read_meta(connection, name)

    @staticmethod
    def _set_meta(connection: Connection, name: str, value: str | None) -> None:
        connection.execute(delete(META).where(META.c.key == name))
        if value is not None:
            connection.execute(insert(META), {"key": name, "value": value})


def read_meta(connection: Connection, name: str) -> str | None:
    """A single fact about the registry itself."""
    return connection.scalar(select(META.c.value).where(META.c.key == name))


_COUNT = text(
    "INSERT INTO count (project, kind, state, policy, n, copies) "
    "VALUES (:project, :kind, :state, :policy, :n, :copies) "
    "ON CONFLICT (project, kind, state, policy) "
    "DO UPDATE SET n = count.n + excluded.n, copies = count.copies + excluded.copies"
)
_COLUMNS = tuple(column.name for column in THREAD.c if not column.primary_key)
_UNLABEL = delete(LABEL).where(*(column == bindparam(f"b_{column.name}") for column in LABEL.c))


def _prefixed(values: Values) -> Values:
    return {f"b_{name}": value for name, value in values.items()}


def _counted(row: Values) -> Counted:
    return row["project"], row["kind"], row["state"], row["policy"] or ""


def add(connection: Connection, deltas: Mapping[Counted, tuple[int, int]]) -> None:
    """Moves the count table by rows and copies; call it in the transaction that moves the rows."""
    for (project, kind, state, policy), (n, copies) in sorted(deltas.items()):
        place = {"project": project, "kind": kind, "state": state, "policy": policy}
        connection.execute(_COUNT, {**place, "n": n, "copies": copies})


def counted(*clauses: ColumnElement[bool]) -> Select[Any]:
    """Of rows that some clauses choose: how many there are in each place of the count table."""
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
    """Writes the named columns of rows that are there, in one executemany."""
    if not rows or not names:
        return
    statement = update(THREAD).where(*by_key()).values({name: bindparam(name) for name in names})
    connection.execute(
        statement,
        [bound(key_of(row)) | {name: row[name] for name in names} for row in rows],
    )
