"""How threads enter the registry and leave it again: registration, import, export.

An operator's report may replace a baseline, which is how an unknown age becomes known. What an
application reports about a registered thread only adds. Each page of a file is committed together
with the place up to which the file was read, so that an interrupted import resumes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select

from janitor.errors import ConfigError
from janitor.kinds import is_id
from janitor.model import Key, Kind, Metadata, State
from janitor.policy.evaluate import KEEP_UNTIL, longer
from janitor.registry.database import (
    PAGE,
    Store,
    batches,
    find_rows,
    recount,
    relabel,
    set_meta,
    write,
)
from janitor.registry.mapping import REPORTED, Values, later
from janitor.registry.prepared import Prepared
from janitor.registry.records import Registered, Registration
from janitor.registry.tables import THREAD
from janitor.registry.threads import KEY, beyond
from janitor.texts import misfit


def fresh(registration: Registration) -> Values:
    """The row of a thread that was not registered before."""
    return {
        "project": registration.key.project,
        "kind": registration.key.kind,
        "id": registration.key.id,
        "state": State.ACTIVE,
        "source": registration.source,
        "vanished_at": None,
        "created_at": registration.created_at,
        "reported_at": registration.last_active_at,
        "touched_at": None,
        "last_active_at": None,
        "dated_before": None,
        "upstream_at": None,
        "baseline_at": None,
        "changed_at": None,
        "newest_item": None,
        "alive_at": None,
        "keep_until": registration.keep_until,
        "reported": None if registration.metadata is None else dict(registration.metadata),
        "upstream": None,
        "reported_before": None,
        "policy": None,
    }


def merged(row: Values, registration: Registration, *, adds_only: bool) -> Values:
    """A row after one more registration: times only move forward, and `None` clears nothing.

    Once the server has said when a thread was created, a reported creation time changes nothing. A
    thread that a source names has not vanished from it. With `adds_only`, as for an application, an
    unknown creation time or activity stays unknown; a known one can only become later.
    """
    if row["state"] is State.DELETED:
        return row
    changes: Values = {
        "keep_until": later(row["keep_until"], registration.keep_until),
        "reported": _reported(row["reported"], registration, overwrite=not adds_only),
    }
    if adds_only:
        changes |= touched(row, registration.last_active_at)
    else:
        changes["reported_at"] = later(row["reported_at"], registration.last_active_at)
    if changes["reported"] != row["reported"] and row["reported_before"] is None:
        changes["reported_before"] = row["reported"]
    if registration.source is not None:
        changes |= {"source": registration.source, "vanished_at": None}
    is_known, was_asked = row["created_at"] is not None, row["baseline_at"] is not None
    if (is_known and not was_asked) or not (is_known or adds_only):
        changes["created_at"] = later(row["created_at"], registration.created_at)
    return row | changes


def touched(row: Values, at: datetime | None) -> Values:
    """What an application's report of activity changes: nothing unless it is the latest."""
    known = later(row["reported_at"], row["touched_at"])
    return {} if at is None or later(known, at) == known else {"touched_at": at}


def _reported(
    known: Metadata | None, registration: Registration, *, overwrite: bool
) -> Metadata | None:
    new, about = registration.metadata, registration.speaks_of
    if new is None or known is None:
        return known if new is None else dict(new)
    if overwrite:
        rest = {} if about is None else {k: v for k, v in known.items() if k not in about}
        after = {**rest, **new}
    else:
        after = {**new, **known}
    if KEEP_UNTIL in known:  # whoever says it last only lengthens it
        after[KEEP_UNTIL] = longer(known[KEEP_UNTIL], new.get(KEEP_UNTIL, known[KEEP_UNTIL]))
    return after


_REPORTED = (
    *("created_at", "reported_at", "touched_at", "last_active_at", "dated_before"),
    *("keep_until", "review_at"),
    *("reported", "reported_before", "source", "vanished_at"),
)
_NEW = (
    *("project", "kind", "id", "source", "created_at", "reported_at", "touched_at"),
    *("last_active_at", "dated_before", "keep_until", "reported"),
)
_ADD = Prepared(insert(THREAD), *_NEW)
_NEW_VALUES = itemgetter(*_NEW)
_TOUCHED = ("touched_at", "last_active_at")
_PLACE = "place_"
Merged = tuple[Values | None, Values]
"""A row before and after a batch."""
_EXPORTED = (
    *KEY,
    *(THREAD.c[n] for n in ("created_at", "reported_at", "touched_at", "keep_until", "reported")),
)


class RefusedRegistration(ConfigError):  # noqa: N818  the caller's own word for it
    """A registration that must not enter; the message says why and quotes no metadata value."""


def check(registration: Registration) -> None:
    """Raises RefusedRegistration, with the reason, if a registration must not enter."""
    if not is_id(registration.key.id):
        raise RefusedRegistration(
            "the id must be 1 to 200 letters, digits, dots, colons, dashes or underscores"
        )
    if not is_id(registration.key.project):
        raise RefusedRegistration(f"{registration.key.id}: the project's name is not valid")
    for name, at in (
        ("created_at", registration.created_at),
        ("last_active_at", registration.last_active_at),
        ("keep_until", registration.keep_until),
    ):
        if at is not None and at.utcoffset() is None:
            raise RefusedRegistration(f"{registration.key.id}: {name} has no time zone")
    if registration.metadata:
        check_metadata(registration.key.id, registration.metadata)


def check_metadata(id: str, metadata: Mapping[str, str]) -> None:
    """Raises RefusedRegistration, with the reason, unless metadata is text of sane size."""
    if why := misfit(metadata):
        raise RefusedRegistration(f"{id}: {why}")


class Registrations:
    """Adds threads, records their reported activity, and exports what was reported."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, registrations: Iterable[Registration], now: datetime) -> Registered:
        """Adds threads and new facts about known ones; repeating it changes nothing.

        This is an operator's report: it may replace a baseline by an earlier time. Otherwise times
        never move backwards, `None` clears nothing and tombstones stay deleted. New and changed
        threads are up for review at `now`. Writes in transactions of 500; RefusedRegistration is
        raised before anything of its batch is written.
        """
        done = Registered()
        for batch in batches(registrations):
            for registration in batch:
                check(registration)
            with self._store.writing_alone() as connection:
                done += self.merge(connection, batch, now)
        return done

    def compare(self, registrations: Iterable[Registration]) -> Registered:
        """What `add` would do, without doing it.

        Raises:
            RefusedRegistration: A registration must not enter.
        """
        done = Registered()
        for batch in batches(registrations):
            for registration in batch:
                check(registration)
            with self._store.reading() as connection:
                known = find_rows(
                    connection, (registration.key for registration in batch), REPORTED, locked=False
                )
            done += self._judged(known, map(self._screened, batch), adds_only=False)[1]
        return done

    def touch(self, keys_at: Iterable[tuple[Key, datetime]]) -> int:
        """Records what an application reports as activity of known threads; how many changed."""
        changed = 0
        for batch in batches(keys_at):
            with self._store.writing() as connection:
                changed += self.merge_touches(connection, batch)
        return changed

    def enter(
        self,
        file: str,
        page: Sequence[Registration],
        now: datetime,
        place: Callable[[Registered], str],
    ) -> Registered:
        """Registers a page of a file and, in the same transaction, where the next page begins.

        `place` gets what the page did and returns that place. RefusedRegistration if one must not
        enter; nothing of the page is written then.
        """
        for registration in page:
            check(registration)
        with self._store.writing_alone() as connection:
            done = self.merge(connection, page, now)
            set_meta(connection, _PLACE + file, place(done))
        return done

    def place(self, file: str) -> str | None:
        """Where to resume a file that was interrupted; `None` to begin at its start."""
        return self._store.meta(_PLACE + file)

    def forget_place(self, file: str) -> None:
        """Forgets the place in a file that was read to its end: importing it again starts over."""
        with self._store.writing() as connection:
            set_meta(connection, _PLACE + file, None)

    def stream(
        self,
        *,
        project: str | None = None,
        kind: Kind | None = None,
        state: State | None = None,
    ) -> Iterator[Registration]:
        """What was reported about every thread that is not deleted, by key, streaming.

        The server's metadata and activity are left out, since it is asked again anyway. The
        creation time is the best one known.
        """
        wanted = {"project": project, "kind": kind, "state": state}
        clauses = [THREAD.c[name] == value for name, value in wanted.items() if value is not None]
        statement = select(*_EXPORTED).where(*clauses, THREAD.c.state != State.DELETED)
        statement = statement.order_by(*KEY).limit(PAGE)
        page = self._page_of(statement)
        while page:
            yield from page
            rest = statement.where(beyond(page[-1].key))
            page = self._page_of(rest) if len(page) == PAGE else []

    def _page_of(self, statement: Select[Any]) -> list[Registration]:
        with self._store.reading() as connection:
            rows = connection.execute(statement)
            return [_registration(row) for row in rows]

    def merge(
        self,
        connection: Connection,
        batch: Iterable[Registration],
        now: datetime,
        *,
        adds_only: bool = False,
    ) -> Registered:
        """`add` for one checked batch, in the caller's transaction.

        With `adds_only`, as for an application, it overwrites nothing.
        """
        batch = [self._screened(registration) for registration in batch]
        known = find_rows(connection, (registration.key for registration in batch), REPORTED)
        self._store.fence_screen(connection)
        changes, done = self._judged(known, batch, adds_only=adds_only)
        self._enter(connection, changes, now)
        return done

    def _judged(
        self, known: Mapping[Key, Values], batch: Iterable[Registration], *, adds_only: bool
    ) -> tuple[list[Merged], Registered]:
        """The rows that a batch adds or changes, with activity recomputed, and the counts."""
        rows, done = _after(known, batch, adds_only=adds_only)
        changes = [(known.get(key), row) for key, row in rows.items()]
        changes = [(was, row) for was, row in changes if row != was]
        earlier = 0
        for _, row in changes:
            before = row["last_active_at"]
            self._store.date(row)
            if before is not None and row["last_active_at"] < before:
                row["dated_before"] = later(row["dated_before"], before)
                earlier += 1
        return changes, replace(done, due_earlier=earlier)

    def _screened(self, registration: Registration) -> Registration:
        if registration.metadata is None or self._store.screen.is_open:
            return registration
        return replace(registration, metadata=self._store.screen.metadata(registration.metadata))

    def _enter(self, connection: Connection, changes: Sequence[Merged], now: datetime) -> None:
        new = [row for before, row in changes if before is None]
        _ADD.execute(
            connection,
            map(_NEW_VALUES, new),
            state=State.ACTIVE,
            registered_at=now,
            review_at=now,
            copy_is_current=False,
            attempts=0,
        )
        old = [row | {"review_at": now} for before, row in changes if before is not None]
        write(connection, _REPORTED, old)
        relabel(connection, changes)
        recount(connection, ((None, row) for row in new))

    def merge_touches(self, connection: Connection, batch: Iterable[tuple[Key, datetime]]) -> int:
        """`touch` for one batch, in the caller's transaction."""
        batch = list(batch)
        rows = find_rows(connection, (key for key, _ in batch))
        changed: dict[Key, Values] = {}
        for key, at in batch:
            row = rows.get(key)
            if row is None or row["state"] is State.DELETED:
                continue
            if change := touched(row, at):
                row |= change
                self._store.date(row)
                changed[key] = row
        write(connection, _TOUCHED, list(changed.values()))
        return len(changed)


def _after(
    known: Mapping[Key, Values], batch: Iterable[Registration], *, adds_only: bool
) -> tuple[dict[Key, Values], Registered]:
    """The rows after a batch, and what it did to them."""
    rows, added, updated, unchanged = dict(known), 0, 0, 0
    for registration in batch:
        before = rows.get(registration.key)
        if before is None:
            after = fresh(registration)
            added += 1
        elif (after := merged(before, registration, adds_only=adds_only)) == before:
            unchanged += 1
        else:
            updated += 1
        rows[registration.key] = after
    return rows, Registered(added, updated, unchanged)


def _registration(row: Row[Any]) -> Registration:
    # A touch alone dates nothing, but as an operator's report it would.
    active_at = None if row.reported_at is None else later(row.reported_at, row.touched_at)
    key = Key(row.project, row.kind, row.id)
    return Registration(key, row.created_at, active_at, row.keep_until, row.reported)
