"""Looking things up: by an index, in pages, with no transaction open between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, func, literal, select, text, tuple_

from janitor.model import LIVE, Key, State
from janitor.registry.entries import Cursor, Entry
from janitor.registry.rows import entry_of, rows_of
from janitor.registry.store import PAGE, Store
from janitor.registry.tables import COUNT, FAILING, LABEL, RANKED, REVIEWABLE, THREAD, UNSETTLED

KEY = (THREAD.c.project, THREAD.c.kind, THREAD.c.id)
_LABEL_KEY = (LABEL.c.project, LABEL.c.kind, LABEL.c.id)


def _past(columns: Sequence[Column[Any]], values: Sequence[object]) -> ColumnElement[bool]:
    # A tuple lends its members no type: without it a time in another zone would be misread.
    return tuple_(*columns) > tuple_(
        *(literal(value, column.type) for column, value in zip(columns, values, strict=True))
    )


def beyond(key: Key) -> ColumnElement[bool]:
    """The rows after a key, in the order of keys."""
    return _past(KEY, (key.project, key.kind, key.id))


def due_statement(
    now: datetime, after: Cursor | None, limit: int, policy: str | None
) -> Select[tuple[object, ...]]:
    """A page of what is up for review; `ix_thread_review` alone must serve it."""
    order = (THREAD.c.review_at, *KEY)
    statement = select(THREAD).where(text(REVIEWABLE), THREAD.c.review_at <= now)
    if after is not None:
        key = after.key
        place = (after.review_at, key.project, key.kind, key.id)
        statement = statement.where(_past(order, place))
    if policy is not None:
        statement = statement.where(THREAD.c.policy == policy)
    return statement.order_by(*order).limit(limit)


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


class Reading(Store):
    """Entries by key, by what is due and by what was said of them."""

    def _entries(self, statement: Select[tuple[object, ...]]) -> list[Entry]:
        with self._reading() as connection:
            rows = rows_of(connection.execute(statement))
            return [entry_of(row, self._untrusted) for row in rows]

    def get(self, key: Key) -> Entry | None:
        """What is known of a thread, tombstones included; `None` where it was never registered."""
        found = self._entries(select(THREAD).where(*(c == v for c, v in _parts(key))))
        return found[0] if found else None

    def find(self, id: str) -> list[Entry]:
        """Every entry of that id, in any project and of any kind."""
        with self._reading() as connection:
            places = connection.execute(select(COUNT.c.project, COUNT.c.kind).distinct()).all()
        found = (self.get(Key(project, kind, id)) for project, kind in sorted(places))
        return [entry for entry in found if entry is not None]

    def due(
        self,
        now: datetime,
        *,
        after: Cursor | None = None,
        limit: int = PAGE,
        policy: str | None = None,
    ) -> list[Entry]:
        """A page of what is up for review at `now`, the longest waiting first.

        Only states from which something may still be done; `Cursor.of` the last entry of a page
        leads to the next one.
        """
        return self._entries(due_statement(now, after, limit, policy))

    def select(
        self,
        *,
        state: State | None = None,
        due_at_or_before: datetime | None = None,
        failed: bool = False,
        metadata: Mapping[str, str] | None = None,
        project: str | None = None,
        unread: bool = False,
    ) -> Iterator[Entry]:
        """Every entry that all given clauses hold for, by key, streaming.

        `metadata` pairs hold where the application or the server says so. `unread` are those not
        deleted of whose metadata nobody has said anything; no index serves it.
        """
        clauses = [text(FAILING)] if failed else []
        statement = select(THREAD).where(*clauses)
        if state is not None:
            statement = statement.where(THREAD.c.state == state)
            if state in (State.DELETING, State.MISSING):
                statement = statement.where(text(UNSETTLED))
        if due_at_or_before is not None:
            statement = statement.where(THREAD.c.due_at <= due_at_or_before)
        if project is not None:
            statement = statement.where(THREAD.c.project == project)
        if unread:
            sides = (THREAD.c.reported.is_(None), THREAD.c.upstream.is_(None))
            statement = statement.where(*sides, THREAD.c.state != State.DELETED)
        if not metadata:
            return self._by_key(statement)
        return self._labelled(statement, self._asked(metadata))

    def _by_key(self, statement: Select[tuple[object, ...]]) -> Iterator[Entry]:
        page = self._entries(statement.order_by(*KEY).limit(PAGE))
        while page:
            yield from page
            rest = statement.where(beyond(page[-1].thread.key))
            page = self._entries(rest.order_by(*KEY).limit(PAGE)) if len(page) == PAGE else []

    def _labelled(
        self, statement: Select[tuple[object, ...]], metadata: Mapping[str, str]
    ) -> Iterator[Entry]:
        # The index of labels is walked, never the table: a person's threads are few among many.
        last: Key | None = None
        while keys := self._holders(metadata, last):
            for key in keys:
                yield from self._entries(statement.where(*(c == v for c, v in _parts(key))))
            last = keys[-1]

    def count_labelled(self, metadata: Mapping[str, str]) -> int:
        """How many threads carry all of these pairs on either side, told by the index alone."""
        asked = _carrying(self._asked(metadata))
        carrying = select(func.count()).select_from(LABEL).where(*asked)
        with self._reading() as connection:
            return connection.execute(carrying).scalar_one()

    def values_of_keys(self) -> Mapping[str, tuple[int, int]]:
        """Of each metadata key how many pairs of threads carry it, and how many values it has."""
        values = func.count(LABEL.c.value.distinct())
        counted = select(LABEL.c.key, func.count(), values).group_by(LABEL.c.key)
        with self._reading() as connection:
            return {key: (n, distinct) for key, n, distinct in connection.execute(counted)}

    def _holders(self, metadata: Mapping[str, str], after: Key | None) -> list[Key]:
        statement = select(*_LABEL_KEY).where(*_carrying(metadata))
        if after is not None:
            place = (after.project, after.kind, after.id)
            statement = statement.where(_past(_LABEL_KEY, place))
        with self._reading() as connection:
            rows = connection.execute(statement.order_by(*_LABEL_KEY).limit(PAGE))
            return [Key(*row) for row in rows]

    def group(
        self, per: str | None = None, value: str | None = None, *, page_size: int = PAGE
    ) -> Iterator[Entry]:
        """The active and archived threads of a keep_last group, last activity first, then id.

        `per` is a metadata key and `value` what either side says of it; no `per`: all threads.
        Unknown activity takes no place and is left out. Streams, so stop after enough; the first
        page has `page_size` rows.
        """
        if per is not None and value is not None:
            value = self._asked({per: value})[per]
        after: tuple[datetime, Key] | None = None
        while page := self._ranked(rank_statement(per, value, after, page_size)):
            yield from (entry for _, entry in page)
            at, entry = page[-1]
            after, page_size = (at, entry.thread.key), PAGE

    def _ranked(self, statement: Select[tuple[object, ...]]) -> list[tuple[datetime, Entry]]:
        with self._reading() as connection:
            rows = rows_of(connection.execute(statement))
            return [(r["last_active_at"], entry_of(r, self._untrusted)) for r in rows]

    def reviewable(self, after: Key | None = None, limit: int = PAGE) -> list[Entry]:
        """A page of all live entries by key, for a pass that decides every one anew."""
        statement = select(THREAD).where(THREAD.c.state.in_(sorted(LIVE)))
        if after is not None:
            statement = statement.where(beyond(after))
        return self._entries(statement.order_by(*KEY).limit(limit))

    def open_intents(self, after: Key | None = None, limit: int = PAGE) -> list[Entry]:
        """A page by key of what is being deleted: what a dead janitor left, at a run's start."""
        deleting = THREAD.c.state == State.DELETING
        statement = select(THREAD).where(text(UNSETTLED), deleting)
        if after is not None:
            statement = statement.where(beyond(after))
        return self._entries(statement.order_by(*KEY).limit(limit))


def _carrying(metadata: Mapping[str, str]) -> Iterator[ColumnElement[bool]]:
    """The labels of the first pair whose threads carry all the others, too."""
    (name, value), *others = metadata.items()
    yield from (LABEL.c.key == name, LABEL.c.value == value)
    for other in others:
        too = LABEL.alias()
        same = [too.c[column.name] == column for column in _LABEL_KEY]
        pair = (too.c.key == other[0], too.c.value == other[1])
        yield select(too.c.id).where(*same, *pair).exists()


def _parts(key: Key) -> Iterator[tuple[ColumnElement[object], object]]:
    return zip(KEY, (key.project, key.kind, key.id), strict=True)
