"""Copies: how many and where, and pruning those of deleted threads that are past their date."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Select, func, literal, select, text, tuple_

from janitor.model import Key, State
from janitor.policy.copy_retention import KeptCopy
from janitor.registry.database import (
    PAGE,
    Store,
    batches,
    changed,
    find_rows,
    recount,
    set_meta,
    write,
)
from janitor.registry.mapping import Values, kept_copy_of, rows_of
from janitor.registry.records import Event
from janitor.registry.runs import record_events
from janitor.registry.tables import COUNT, PRUNABLE, THREAD
from janitor.registry.threads import KEY

WAITS = "prune_waits"
"""Set by the migration: older versions dated these copies but never removed any."""

_JUDGED = "prune_judged_at"
_ORDER = (THREAD.c.archive_keep_until, *KEY)
FORGOTTEN: Values = dict.fromkeys(
    (
        *(c.name for c in THREAD.c if c.name.startswith("copy_")),
        *("copied_at", "archive_keep_until", "archive_terms", "prune_run"),
    )
) | {"copy_is_current": False}


class PrunedCopy(NamedTuple):
    """A copy that is no longer in the archive, and the event that records this."""

    copy: KeptCopy
    line: Event


class Copies:
    """Counts and locates copies, finds those past their date, and forgets those that are gone."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def count(self) -> int:
        """How many threads, deleted ones too, have a copy in the archive."""
        with self._store.reading() as connection:
            return int(connection.scalar(select(func.sum(COUNT.c.copies))) or 0)

    def unnamed(self, objects: Iterable[tuple[Key, str]]) -> Iterator[tuple[Key, str]]:
        """Those objects, given with their threads, that no row names, not even as an older one."""
        columns = (*KEY, THREAD.c.copy_path, THREAD.c.copy_older)
        for some in batches(objects):
            with self._store.reading() as connection:
                keys = {key for key, _ in some}
                rows = find_rows(connection, keys, columns, locked=False)
            for key, path in some:
                row = rows.get(key)
                if row is None or path not in (row["copy_path"], *(row["copy_older"] or ())):
                    yield key, path

    def is_being_pruned(self, key: Key) -> bool:
        """Whether a run has committed that it is about to remove this thread's copy."""
        columns = (*KEY, THREAD.c.prune_run)
        with self._store.reading() as connection:
            row = find_rows(connection, [key], columns, locked=False).get(key)
        return row is not None and row["prune_run"] is not None

    def archive_url(self) -> str | None:
        """The URL of the archive that has been used so far; `None` if there is none yet."""
        return self._store.meta("archive_url")

    def set_archive_url(self, url: str) -> None:
        """Records the URL of the archive in use."""
        with self._store.writing_alone() as connection:
            set_meta(connection, "archive_url", url)

    def past(
        self,
        now: datetime,
        *,
        after: KeptCopy | None = None,
        limit: int = PAGE,
        policy: str | None = None,
    ) -> list[KeptCopy]:
        """A page of the copies of deleted threads whose recorded date has passed, oldest first."""
        with self._store.reading() as connection:
            rows = rows_of(connection.execute(past_statement(now, after, limit, policy)))
            return [kept_copy_of(row) for row in rows]

    def intend_prune(self, run: str, copies: Sequence[KeptCopy]) -> frozenset[Key]:
        """Commits that a run is about to remove these copies; durable when it returns.

        Returns those that may be removed: the thread is still deleted, its row still names these
        objects, and no other row names any of them.
        """
        with self._store.writing() as connection:
            rows = self._still(connection, copies)
            named = _named_by_others(connection, copies)
            free = [key for key in rows if key not in named]
            changes = [(rows[key], rows[key] | {"prune_run": run}) for key in free]
            write(connection, changed(changes), [after for _, after in changes])
        return frozenset(free)

    def settle_prune(
        self, gone: Sequence[PrunedCopy], kept: Sequence[KeptCopy] = ()
    ) -> frozenset[Key]:
        """Forgets the copies in `gone`, records their events, and withdraws the intent for `kept`.

        Returns those that were forgotten: what another janitor has settled stays as it is.
        """
        with self._store.writing() as connection:
            rows = self._still(connection, [*(one.copy for one in gone), *kept])
            forgotten = [one for one in gone if one.copy.key in rows]
            back = [rows[one.key] for one in kept if one.key in rows]
            changes = [(row, row | {"prune_run": None}) for row in back]
            changes += [(rows[one.copy.key], rows[one.copy.key] | FORGOTTEN) for one in forgotten]
            write(connection, changed(changes), [after for _, after in changes])
            recount(connection, changes)
            record_events(connection, [one.line for one in forgotten])
        return frozenset(one.copy.key for one in forgotten)

    def _still(self, connection: Connection, copies: Iterable[KeptCopy]) -> dict[Key, Values]:
        """The rows that are still tombstones and still name the same objects."""
        asked = {copy.key: copy.paths for copy in copies}
        rows = find_rows(connection, asked)
        return {
            key: row
            for key, row in rows.items()
            if row["state"] is State.DELETED
            and row["copy_path"] is not None
            and kept_copy_of(row).paths == asked[key]
        }

    def prune_waits(self) -> bool:
        """Whether an older version dated copies, and pruning waits for a person to start it."""
        return self._store.meta(WAITS) is not None

    def prune_judged_at(self) -> datetime | None:
        """When the copies past their date were last counted against the limits."""
        stored = self._store.meta(_JUDGED)
        return None if stored is None else datetime.fromisoformat(stored)

    def note_prune(self, now: datetime, *, begun: bool = True) -> None:
        """Records that they were counted at `now`; with `begun`, pruning waits for nobody."""
        with self._store.writing() as connection:
            set_meta(connection, _JUDGED, now.isoformat())
            if begun:
                set_meta(connection, WAITS, None)


def past_statement(
    now: datetime, after: KeptCopy | None, limit: int, policy: str | None
) -> Select[tuple[object, ...]]:
    """A page of tombstones whose copy is past its date; served by `ix_thread_prunable` alone."""
    past = (text(PRUNABLE), THREAD.c.archive_keep_until <= now)
    dead = (THREAD.c.state == State.DELETED, THREAD.c.copy_path.is_not(None))
    statement = select(THREAD).where(*past, *dead)
    if after is not None:
        place = (after.until, after.key.project, after.key.kind, after.key.id)
        values = (literal(value, one.type) for value, one in zip(place, _ORDER, strict=True))
        statement = statement.where(tuple_(*_ORDER) > tuple_(*values))
    if policy is not None:
        statement = statement.where(THREAD.c.policy == policy)
    return statement.order_by(*_ORDER).limit(limit)


def _named_by_others(connection: Connection, copies: Collection[KeptCopy]) -> frozenset[Key]:
    """The copies that have an object which another row references too."""
    owners: dict[str, set[Key]] = defaultdict(set)
    for copy in copies:
        for path in copy.paths:
            owners[path].add(copy.key)
    named: set[Key] = set()
    for paths in batches(sorted(owners)):
        naming = select(THREAD.c.copy_path, *KEY).where(THREAD.c.copy_path.in_(paths))
        for path, *key in connection.execute(naming):
            named |= owners[path] - {Key(*key)}
    return frozenset(named)
