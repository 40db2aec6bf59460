"""Scans of API lists and application tables: what they contain, their progress, what is absent.

Each scan has a name, its `round`. A page is registered, marked as seen and its cursor stored in one
transaction, so that an interrupted scan resumes where it stopped, even after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from janitor.model import LIVE, Key, Kind
from janitor.registry.database import PAGE, Store, batches, set_meta, write
from janitor.registry.entries import read
from janitor.registry.mapping import key_of, rows_of
from janitor.registry.records import Entry, Registered, Registration
from janitor.registry.registrations import Registrations, check
from janitor.registry.tables import SEEN, THREAD
from janitor.registry.threads import KEY, beyond

CURSOR = "cursor_"


@dataclass(frozen=True, slots=True)
class ScanPage:
    """What a page did; `again` counts registrations of threads that the scan had already seen."""

    registered: Registered
    again: int


@dataclass(frozen=True, slots=True)
class ScanScope:
    """The threads that a scan should see: those of a source, or of a project and kind."""

    source: str | None = None
    project: str | None = None
    kind: Kind | None = None

    @property
    def clauses(self) -> list[ColumnElement[bool]]:
        """Matches the live rows among them."""
        named = {"source": self.source, "project": self.project, "kind": self.kind}
        clauses = [THREAD.c[name] == value for name, value in named.items() if value is not None]
        return [*clauses, THREAD.c.state.in_(sorted(LIVE))]


class Scans:
    """Registers threads page by page, and tracks which threads a scan has seen."""

    def __init__(self, store: Store, registrations: Registrations) -> None:
        self._store = store
        self._registrations = registrations

    def take(
        self, round: str, page: Sequence[Registration], now: datetime, *, cursor: str
    ) -> ScanPage:
        """Registers a page of a scan, which continues after `cursor`.

        Raises:
            RefusedRegistration: A registration must not enter; nothing of the page was written.
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
        """Marks threads as seen whose source rows cannot be registered: they have not vanished."""
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
        """Where to resume a scan that was interrupted; `None` to begin at its start."""
        return self._store.meta(CURSOR + round)

    def unseen(
        self, round: str, fed: ScanScope, before: datetime, after: Key | None = None
    ) -> list[Entry]:
        """A page, by key, of live threads registered before a time that the scan has not seen."""
        with self._store.reading() as connection:
            statement = select(THREAD).where(*_lacking(round, fed, before))
            if after is not None:
                statement = statement.where(beyond(after))
            page = statement.order_by(*KEY).limit(PAGE)
            return list(read(connection, page).entries(self._store.untrusted))

    def vanishing(self, round: str, source: str, before: datetime) -> tuple[int, int]:
        """How many `vanish` would mark, and how many of the source have not vanished yet."""
        there, fed = THREAD.c.vanished_at.is_(None), ScanScope(source)
        with self._store.reading() as connection:
            counts = (
                connection.scalar(select(func.count()).select_from(THREAD).where(*clauses, there))
                for clauses in (_lacking(round, fed, before), fed.clauses)
            )
            lacking, known = (int(number or 0) for number in counts)
            return lacking, known

    def vanish(self, round: str, source: str, before: datetime, now: datetime) -> int:
        """Marks threads that a complete scan of their source lacked, for review; how many."""
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
        """Forgets what a scan has seen and its cursor; the next one starts over."""
        with self._store.writing_alone() as connection:
            connection.execute(delete(SEEN).where(SEEN.c.round == round))
            set_meta(connection, CURSOR + round, None)


def _place(key: Key) -> dict[str, str]:
    return {"project": key.project, "kind": key.kind, "id": key.id}


def _lacking(round: str, fed: ScanScope, before: datetime) -> list[ColumnElement[bool]]:
    same = (SEEN.c[name] == THREAD.c[name] for name in ("project", "kind", "id"))
    seen = select(SEEN.c.id).where(SEEN.c.round == round, *same).exists()
    return [*fed.clauses, THREAD.c.registered_at < before, ~seen]
