"""Queries on threads, most by an index, in pages, with no transaction open between pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    TextClause,
    func,
    literal,
    select,
    text,
    tuple_,
)

from janitor.model import LIVE, Key, Kind, State
from janitor.registry.database import PAGE, Store, batches, bound, by_key
from janitor.registry.entries import COLUMNS, ReadRows, entry_of, fetch, read
from janitor.registry.mapping import rows_of
from janitor.registry.records import Cursor, Entry
from janitor.registry.tables import (
    COUNT,
    EVENT,
    FAILING,
    LABEL,
    RANKED,
    REVIEWABLE,
    THREAD,
    UNKNOWN_UPSTREAM,
    UNSETTLED,
)

KEY = (THREAD.c.project, THREAD.c.kind, THREAD.c.id)
ORDERED_PAGE = 5000  # no index serves these orders: each page is a scan
MISSING_EVENT = "missing"
ANSWERABLE = LIVE - {State.DELETING}
ProjectKind = tuple[str, Kind]
"""The threads of one project and kind, for which one canary can vouch."""
_LABEL_KEY = (LABEL.c.project, LABEL.c.kind, LABEL.c.id)
_ONE = select(*COLUMNS).where(*by_key())


def _past(columns: Sequence[Column[Any]], values: Sequence[object]) -> ColumnElement[bool]:
    # A tuple gives its members no type; without one a time in another zone would be misread.
    return tuple_(*columns) > tuple_(
        *(literal(value, column.type) for column, value in zip(columns, values, strict=True))
    )


def beyond(key: Key) -> ColumnElement[bool]:
    """Matches the rows after a key, in the order of keys."""
    return _past(KEY, (key.project, key.kind, key.id))


def due_statement(
    now: datetime, after: Cursor | None, limit: int, policy: str | None
) -> Select[tuple[object, ...]]:
    """A page of threads up for review; `ix_thread_review` alone must serve it."""
    order = (THREAD.c.review_at, *KEY)
    statement = select(THREAD).where(text(REVIEWABLE), THREAD.c.review_at <= now)
    if after is not None:
        key = after.key
        place = (after.review_at, key.project, key.kind, key.id)
        statement = statement.where(_past(order, place))
    if policy is not None:
        statement = statement.where(THREAD.c.policy == policy)
    return statement.order_by(*order).limit(limit)


def missing_statement(now: datetime) -> Select[tuple[object, ...]]:
    """Missing threads that are due for another look."""
    missing = (THREAD.c.state == State.MISSING, THREAD.c.review_at <= now)
    return select(THREAD).where(text(UNSETTLED), *missing)


def intent_statement() -> Select[tuple[object, ...]]:
    """Threads that are being deleted."""
    return select(THREAD).where(text(UNSETTLED), THREAD.c.state == State.DELETING)


def noted_as_missing(run: str) -> tuple[ColumnElement[bool], ...]:
    """Matches the live rows that a run noted as missing."""
    noted = select(EVENT.c.project, EVENT.c.kind, EVENT.c.id).where(
        EVENT.c.run == run, EVENT.c.name == MISSING_EVENT
    )
    return (tuple_(*KEY).in_(noted), THREAD.c.state.in_(sorted(LIVE)))


def rank_statement(
    per: str | None,
    value: str | None,
    after: tuple[datetime, Key] | None,
    limit: int = PAGE,
) -> Select[tuple[object, ...]]:
    """A page of a keep_last group, the most recently active first."""
    statement = select(THREAD).where(text(RANKED))
    if per is not None:
        member = select(LABEL).where(LABEL.c.key == per, LABEL.c.value == value).subquery()
        same = [THREAD.c[name] == member.c[name] for name in ("project", "kind", "id")]
        statement = statement.where(*same)
    if after is not None:
        at, key = after
        ties = (THREAD.c.id, THREAD.c.project, THREAD.c.kind)
        tied = _past(ties, (key.id, key.project, key.kind))
        statement = statement.where(
            THREAD.c.last_active_at <= at, (THREAD.c.last_active_at < at) | tied
        )
    order = (THREAD.c.last_active_at.desc(), THREAD.c.id, THREAD.c.project, THREAD.c.kind)
    return statement.order_by(*order).limit(limit)


@dataclass(frozen=True, slots=True)
class ThreadOrder:
    """The field to list threads by: one of `model.SORTABLE`; ties by key, unknown values last."""

    field: str
    descending: bool = False


def order_statement(
    statement: Select[tuple[object, ...]], order: ThreadOrder, after: tuple[object, Key] | None
) -> Select[tuple[object, ...]]:
    """A page of rows that have a value in the field, after the value and key in `after`."""
    column = THREAD.c[order.field]
    statement = statement.where(column.is_not(None))
    if after is not None:
        value, key = after
        further = column < value if order.descending else column > value
        statement = statement.where(further | ((column == value) & beyond(key)))
    by = column.desc() if order.descending else column.asc()
    return statement.order_by(by, *KEY).limit(ORDERED_PAGE)


class ThreadQueries:
    """Finds threads by key, due time and metadata, and those that are missing; counts them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _entries(self, statement: Select[tuple[object, ...]]) -> list[Entry]:
        return list(self._rows(statement).entries(self._store.untrusted))

    def _rows(self, statement: Select[tuple[object, ...]]) -> ReadRows:
        with self._store.reading() as connection:
            return read(connection, statement)

    def get(self, key: Key) -> Entry | None:
        """The entry of a thread, even a tombstone; `None` if the registry does not have it."""
        with self._store.reading() as connection:
            found = fetch(connection, _ONE, bound(key))
        return next(found.entries(self._store.untrusted), None)

    def find(self, id: str) -> list[Entry]:
        """Every entry with that id, in any project and of any kind."""
        with self._store.reading() as connection:
            places = connection.execute(select(COUNT.c.project, COUNT.c.kind).distinct()).all()
        found = (self.get(Key(project, kind, id)) for project, kind in sorted(places))
        return [entry for entry in found if entry is not None]

    def due(
        self, now: datetime, *, policy: str | None = None, page_size: int = PAGE
    ) -> Iterator[Entry]:
        """Every thread up for review at `now`, the longest waiting first, streaming in pages.

        Only in states in which something can still be done.
        """
        statement = due_statement(now, None, page_size, policy)
        while True:
            entry, rows = None, self._rows(statement)
            for entry in rows.entries(self._store.untrusted):
                yield entry
            if entry is None or len(rows) < page_size:
                return
            statement = due_statement(now, Cursor.of(entry), page_size, policy)

    def select(
        self,
        *,
        state: State | None = None,
        due_at_or_before: datetime | None = None,
        failed: bool = False,
        metadata: Mapping[str, str] | None = None,
        project: str | None = None,
        kind: Kind | None = None,
        active_at_or_before: datetime | None = None,
        items_above: int | None = None,
        unread: bool = False,
        order: ThreadOrder | None = None,
    ) -> Iterator[Entry]:
        """Every entry that matches all given clauses, by key or in another order, streaming.

        A `metadata` pair matches if the application reported it or the server has it. An unknown
        value is neither at or before a time nor above a number. `unread` selects threads that are
        not deleted and whose metadata is unknown on both sides; no index serves it.
        """
        places = ((THREAD.c.state, state), (THREAD.c.project, project), (THREAD.c.kind, kind))
        clauses: list[ColumnElement[bool] | TextClause]
        clauses = [column == value for column, value in places if value is not None]
        if failed:
            clauses.append(text(FAILING))
        if state in (State.DELETING, State.MISSING):
            clauses.append(text(UNSETTLED))
        if due_at_or_before is not None:
            clauses.append(THREAD.c.due_at <= due_at_or_before)
        if active_at_or_before is not None:
            clauses.append(THREAD.c.last_active_at <= active_at_or_before)
        if items_above is not None:
            clauses.append(THREAD.c["items"] > items_above)
        if unread:
            sides = (THREAD.c.reported.is_(None), THREAD.c.upstream.is_(None))
            clauses += [*sides, THREAD.c.state != State.DELETED]
        statement = select(THREAD).where(*clauses)
        asked = self._store.asked(metadata) if metadata else {}
        if order is not None:
            return self._in_order(statement, asked, order)
        return self._labelled(statement, asked) if asked else self._by_key(statement)

    def _in_order(
        self, statement: Select[tuple[object, ...]], asked: Mapping[str, str], order: ThreadOrder
    ) -> Iterator[Entry]:
        if asked:
            holders = select(*_LABEL_KEY).where(*_carrying(asked))
            statement = statement.where(tuple_(*KEY).in_(holders))
        column = THREAD.c[order.field]
        after: tuple[object, Key] | None = None
        while page := self._valued(order_statement(statement, order, after), order.field):
            yield from (entry for _, entry in page)
            value, last = page[-1]
            after = (value, last.thread.key)
        yield from self._by_key(statement.where(column.is_(None)))

    def _by_key(
        self, statement: Select[tuple[object, ...]], after: Key | None = None
    ) -> Iterator[Entry]:
        paged = statement.order_by(*KEY).limit(PAGE)
        page = paged if after is None else paged.where(beyond(after))
        while True:
            entry, rows = None, self._rows(page)
            for entry in rows.entries(self._store.untrusted):
                yield entry
            if entry is None or len(rows) < PAGE:
                return
            page = paged.where(beyond(entry.thread.key))

    def _labelled(
        self, statement: Select[tuple[object, ...]], metadata: Mapping[str, str]
    ) -> Iterator[Entry]:
        # Walk the index of labels, never the table: a person's threads are few among many.
        last: Key | None = None
        while keys := self._holders(metadata, last):
            for key in keys:
                yield from self._entries(statement.where(*(c == v for c, v in _parts(key))))
            last = keys[-1]

    def count_labelled(self, metadata: Mapping[str, str]) -> int:
        """How many threads have all of these pairs, on either side; reads only the label index."""
        asked = _carrying(self._store.asked(metadata))
        carrying = select(func.count()).select_from(LABEL).where(*asked)
        with self._store.reading() as connection:
            return connection.execute(carrying).scalar_one()

    def values_of_keys(self) -> Mapping[str, tuple[int, int]]:
        """For each metadata key, how many threads have it and how many values are distinct."""
        owned = select(LABEL.c.key, *_LABEL_KEY).distinct().subquery()
        number = func.count(LABEL.c.value.distinct()).label("number")
        values = select(LABEL.c.key, number).group_by(LABEL.c.key).subquery()
        counted = (
            select(owned.c.key, func.count(), values.c.number)
            .join(values, values.c.key == owned.c.key)
            .group_by(owned.c.key, values.c.number)
        )
        with self._store.reading() as connection:
            return {key: (n, distinct) for key, n, distinct in connection.execute(counted)}

    def _holders(self, metadata: Mapping[str, str], after: Key | None) -> list[Key]:
        statement = select(*_LABEL_KEY).where(*_carrying(metadata))
        if after is not None:
            place = (after.project, after.kind, after.id)
            statement = statement.where(_past(_LABEL_KEY, place))
        with self._store.reading() as connection:
            rows = connection.execute(statement.order_by(*_LABEL_KEY).limit(PAGE))
            return [Key(*row) for row in rows]

    def group(
        self, per: str | None = None, value: str | None = None, *, page_size: int = PAGE
    ) -> Iterator[Entry]:
        """The active and archived threads of a keep_last group, last activity first, then by id.

        `per` is a metadata key and `value` its value on either side; without `per`, all threads.
        Threads of unknown activity take no place and are left out. It streams, so stop when you
        have enough; the first page has `page_size` rows.
        """
        if per is not None and value is not None:
            value = self._store.asked({per: value})[per]
        after: tuple[datetime, Key] | None = None
        while page := self._valued(rank_statement(per, value, after, page_size), "last_active_at"):
            yield from (entry for _, entry in page)
            at, entry = page[-1]
            after, page_size = (at, entry.thread.key), PAGE

    def _valued(self, statement: Select[tuple[object, ...]], field: str) -> list[tuple[Any, Entry]]:
        """The entries of a page, each with its row's value in a column."""
        with self._store.reading() as connection:
            rows = rows_of(connection.execute(statement))
            return [(row[field], entry_of(row, self._store.untrusted)) for row in rows]

    def living(self, after: Key | None = None) -> Iterator[Entry]:
        """Every live entry beyond a key, by key, streaming: for a pass that decides all again."""
        return self._by_key(select(THREAD).where(THREAD.c.state.in_(sorted(LIVE))), after)

    def with_copies(self, after: Key | None = None) -> Iterator[Entry]:
        """Every entry with a copy beyond a key, deleted ones too, by key, streaming."""
        return self._by_key(select(THREAD).where(THREAD.c.copy_path.is_not(None)), after)

    def open_intents(self, after: Key | None = None, limit: int = PAGE) -> list[Entry]:
        """A page, by key, of threads being deleted: at a run's start, those a dead janitor left."""
        deleting = THREAD.c.state == State.DELETING
        statement = select(THREAD).where(text(UNSETTLED), deleting)
        if after is not None:
            statement = statement.where(beyond(after))
        return self._entries(statement.order_by(*KEY).limit(limit))

    def canaries(
        self, pair: ProjectKind, limit: int, *, seen_by: datetime | None = None
    ) -> list[Entry]:
        """Live threads that are not suspected to be missing, most recently seen alive first.

        Those that were never looked at come last; with `seen_by`, only those that were first seen
        by then. Scans all threads of the project and kind: for rare cases.
        """
        project, kind = pair
        alike = (THREAD.c.project == project, THREAD.c.kind == kind)
        living = (THREAD.c.state.in_(sorted(ANSWERABLE)), THREAD.c.missing_since.is_(None))
        seen = () if seen_by is None else (THREAD.c.baseline_at <= seen_by,)
        order = (THREAD.c.alive_at.is_(None), THREAD.c.alive_at.desc(), THREAD.c.id)
        page = select(THREAD).where(*alike, *living, *seen).order_by(*order).limit(limit)
        return self._entries(page)

    def unknown_upstream(
        self, project: str | None = None, kind: Kind | None = None, *, everything: bool = False
    ) -> Iterator[Entry]:
        """Every thread that the server did not know at the last look, by key, streaming.

        With `everything`, every thread that is not deleted, whether it was ever looked at or not.
        """
        statement = select(THREAD).where(THREAD.c.state != State.DELETED)
        if not everything:
            statement = statement.where(text(UNKNOWN_UPSTREAM))
        if project is not None:
            statement = statement.where(THREAD.c.project == project)
        if kind is not None:
            statement = statement.where(THREAD.c.kind == kind)
        return self._by_key(statement)

    def due_missing(self, now: datetime) -> Iterator[Entry]:
        """Every missing thread that is due for another look, by key, streaming."""
        return self._by_key(missing_statement(now))

    def noted_missing(self, run: str) -> Mapping[ProjectKind, int]:
        """How many live threads of each project and kind a run noted as missing."""
        pair = (THREAD.c.project, THREAD.c.kind)
        noted = select(*pair, func.count()).where(*noted_as_missing(run))
        noted = noted.group_by(*pair).order_by(*pair)
        with self._store.reading() as connection:
            return {(project, kind): n for project, kind, n in connection.execute(noted)}

    def states_of(self, project: str, kind: Kind, ids: Iterable[str]) -> dict[str, State]:
        """The state of each of these that is registered, tombstones included; changes nothing."""
        place = (THREAD.c.project == project, THREAD.c.kind == kind)
        found: dict[str, State] = {}
        with self._store.reading() as connection:
            for chunk in batches(sorted(set(ids))):
                named = select(THREAD.c.id, THREAD.c.state).where(*place, THREAD.c.id.in_(chunk))
                found.update((row.id, row.state) for row in connection.execute(named))
        return found

    def states(self) -> Mapping[tuple[str, Kind, State], int]:
        """How many rows each project, kind and state has."""
        place = (COUNT.c.project, COUNT.c.kind, COUNT.c.state)
        n = func.sum(COUNT.c.n)
        with self._store.reading() as connection:
            rows = connection.execute(select(*place, n).group_by(*place).having(n > 0))
            return {(project, kind, state): int(count) for project, kind, state, count in rows}

    def population(self) -> Mapping[str, int]:
        """How many live rows each policy governs; rows that no policy governs are left out."""
        n = func.sum(COUNT.c.n)
        governed = select(COUNT.c.policy, n).where(
            COUNT.c.state.in_(sorted(LIVE)), COUNT.c.policy != ""
        )
        with self._store.reading() as connection:
            rows = connection.execute(governed.group_by(COUNT.c.policy).having(n > 0))
            return {policy: int(count) for policy, count in rows}

    def unread(self) -> frozenset[tuple[str, Kind]]:
        """Each project and kind with a live thread whose metadata is unread; scans the table."""
        sides = (THREAD.c.reported.is_(None), THREAD.c.upstream.is_(None))
        pairs = select(THREAD.c.project, THREAD.c.kind).distinct()
        living = pairs.where(*sides, THREAD.c.state.in_(sorted(LIVE)))
        with self._store.reading() as connection:
            return frozenset((project, kind) for project, kind in connection.execute(living))


def _carrying(metadata: Mapping[str, str]) -> Iterator[ColumnElement[bool]]:
    """Matches the labels of the first pair whose threads also have all the others."""
    (name, value), *others = metadata.items()
    yield from (LABEL.c.key == name, LABEL.c.value == value)
    for other in others:
        too = LABEL.alias()
        same = [too.c[column.name] == column for column in _LABEL_KEY]
        pair = (too.c.key == other[0], too.c.value == other[1])
        yield select(too.c.id).where(*same, *pair).exists()


def _parts(key: Key) -> Iterator[tuple[ColumnElement[object], object]]:
    return zip(KEY, (key.project, key.kind, key.id), strict=True)
