"""Scans of API lists and application tables: what they contain, their progress, what is absent.

A pass is a round of its own name. Each page is registered, noted as seen and left behind in one
transaction, so that a pass that is cut short goes on where it stopped, after a crash too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from janitor.model import LIVE, Key, Kind
from janitor.registry.database import PAGE, Store, batches, set_meta, write
from janitor.registry.mapping import entry_of, key_of, rows_of
from janitor.registry.records import Entry, Registered, Registration
from janitor.registry.registrations import Registrations, check
from janitor.registry.tables import SEEN, THREAD
from janitor.registry.threads import KEY, beyond

CURSOR = "cursor_"


@dataclass(frozen=True, slots=True)
class ScanPage:
    """What a page did; `again` counts those that the round had come by before."""

    registered: Registered
    again: int


@dataclass(frozen=True, slots=True)
class ScanScope:
    """The threads that a round should come by: a source's, or a project's of one kind."""

    source: str | None = None
    project: str | None = None
    kind: Kind | None = None

    @property
    def clauses(self) -> list[ColumnElement[bool]]:
        """The living rows among them."""
        named = {"source": self.source, "project": self.project, "kind": self.kind}
        clauses = [THREAD.c[name] == value for name, value in named.items() if value is not None]
        return [*clauses, THREAD.c.state.in_(sorted(LIVE))]


class Scans:
    """Registering by passes."""

    def __init__(self, store: Store, registrations: Registrations) -> None:
        self._store = store
        self._registrations = registrations

    def take(
        self, round: str, page: Sequence[Registration], now: datetime, *, cursor: str
    ) -> ScanPage:
        """Register a page of a round; the round goes on behind `cursor`.

        Raises:
            RefusedRegistration: One must not enter; nothing of the page was written.
        """
        for registration in page:
            check(registration)
        keys = list(dict.fromkeys(registration.key for registration in page))
        with self._store.writing_alone() as connection:
            known = self._seen(connection, round, keys)
            new = [{"round": round, **_place(key)} for key in keys if key not in known]
            if new:
                connection.execute(insert(SEEN), new)
            registered = self._registrations.merge(connection, page, now)
            set_meta(connection, CURSOR + round, cursor)
        return ScanPage(registered, len(page) - len(new))

    def mark_seen(self, round: str, source: str, ids: Sequence[str]) -> None:
        """Note rows that cannot be registered as seen: what a source feeds did not vanish there."""
        fed = ScanScope(source)
        with self._store.writing_alone() as connection:
            for chunk in batches(ids):
                named = select(THREAD).where(*fed.clauses, THREAD.c.id.in_(sorted(set(chunk))))
                rows = list(rows_of(connection.execute(named)))
                known = self._seen(connection, round, map(key_of, rows))
                new = [_place(key_of(row)) for row in rows if key_of(row) not in known]
                if new:
                    connection.execute(insert(SEEN), [{"round": round, **place} for place in new])
                back = [row | {"vanished_at": None} for row in rows if row["vanished_at"]]
                write(connection, ("vanished_at",), back)

    def _seen(self, connection: Connection, round: str, keys: Iterable[Key]) -> set[Key]:
        found: set[Key] = set()
        for chunk in batches(keys):
            named = SEEN.c.id.in_(sorted({key.id for key in chunk}))
            rows = connection.execute(
                select(SEEN.c.project, SEEN.c.kind, SEEN.c.id).where(SEEN.c.round == round, named)
            )
            found |= {Key(*row) for row in rows}
        return found

    def cursor(self, round: str) -> str | None:
        """Where a round that was cut short goes on; `None`: it begins."""
        return self._store.meta(CURSOR + round)

    def unseen(
        self, round: str, fed: ScanScope, before: datetime, after: Key | None = None
    ) -> list[Entry]:
        """A page by key of living threads registered before a time that a round has not come by."""
        with self._store.reading() as connection:
            statement = select(THREAD).where(*_lacking(round, fed, before))
            if after is not None:
                statement = statement.where(beyond(after))
            rows = rows_of(connection.execute(statement.order_by(*KEY).limit(PAGE)))
            return [entry_of(row, self._store.untrusted) for row in rows]

    def vanishing(self, round: str, source: str, before: datetime) -> tuple[int, int]:
        """How many `vanish` would mark, and how many the source feeds that did not vanish yet."""
        there, fed = THREAD.c.vanished_at.is_(None), ScanScope(source)
        with self._store.reading() as connection:
            counts = (
                connection.scalar(select(func.count()).select_from(THREAD).where(*clauses, there))
                for clauses in (_lacking(round, fed, before), fed.clauses)
            )
            lacking, known = (int(number or 0) for number in counts)
            return lacking, known

    def vanish(self, round: str, source: str, before: datetime, now: datetime) -> int:
        """Mark what a source named once and a complete round did not, for review; how many."""
        vanished = 0
        while page := self._vanish_page(round, source, before, now):
            vanished += page
        return vanished

    def _vanish_page(self, round: str, source: str, before: datetime, now: datetime) -> int:
        lacking = _lacking(round, ScanScope(source), before)
        page = select(THREAD).where(*lacking, THREAD.c.vanished_at.is_(None)).limit(PAGE)
        with self._store.writing_alone() as connection:
            rows = [
                row | {"vanished_at": now, "review_at": now}
                for row in rows_of(connection.execute(page))
            ]
            write(connection, ("vanished_at", "review_at"), rows)
        return len(rows)

    def end_round(self, round: str) -> None:
        """Forget what a round came by and where it stood; the next one begins anew."""
        with self._store.writing_alone() as connection:
            connection.execute(delete(SEEN).where(SEEN.c.round == round))
            set_meta(connection, CURSOR + round, None)


def _place(key: Key) -> dict[str, str]:
    return {"project": key.project, "kind": key.kind, "id": key.id}


def _lacking(round: str, fed: ScanScope, before: datetime) -> list[ColumnElement[bool]]:
    same = (SEEN.c[name] == THREAD.c[name] for name in ("project", "kind", "id"))
    seen = select(SEEN.c.id).where(SEEN.c.round == round, *same).exists()
    return [*fed.clauses, THREAD.c.registered_at < before, ~seen]
