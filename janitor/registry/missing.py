"""Threads that the server did not know: noted one by one, believed only all together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, text, tuple_, update

from janitor.model import LIVE, Kind, State
from janitor.registry.claiming import missing_statement
from janitor.registry.entries import Entry
from janitor.registry.reading import beyond
from janitor.registry.rows import entry_of, rows_of
from janitor.registry.store import PAGE, Store, add, counted
from janitor.registry.tables import EVENT, THREAD, UNKNOWN_UPSTREAM

MISSING_EVENT = "missing"
ANSWERABLE = LIVE - {State.DELETING}
_KEY = (THREAD.c.project, THREAD.c.kind, THREAD.c.id)

Herd = tuple[str, Kind]
"""The threads of one project and kind: what one canary speaks for."""


class Missing(Store):
    """Settles at a sweep's end what it could not find, and knows who else might be asked."""

    def canaries(self, herd: Herd, limit: int, *, seen_by: datetime | None = None) -> list[Entry]:
        """Living threads that nothing speaks against, those last seen alive first.

        Those that nobody has ever looked at come last; with `seen_by` only those that were first
        seen by then. Scans the herd: for the rare case.
        """
        project, kind = herd
        alike = (THREAD.c.project == project, THREAD.c.kind == kind)
        living = (THREAD.c.state.in_(sorted(ANSWERABLE)), THREAD.c.missing_since.is_(None))
        seen = () if seen_by is None else (THREAD.c.baseline_at <= seen_by,)
        order = (THREAD.c.alive_at.is_(None), THREAD.c.alive_at.desc(), THREAD.c.id)
        page = select(THREAD).where(*alike, *living, *seen).order_by(*order).limit(limit)
        with self._reading() as connection:
            return [entry_of(row, self._untrusted) for row in rows_of(connection.execute(page))]

    def unknown_upstream(
        self, project: str | None = None, kind: Kind | None = None, *, everything: bool = False
    ) -> Iterator[Entry]:
        """Every thread that the server did not know when it was asked last, by key, streaming.

        With `everything` every thread that is not deleted, whether it was ever asked for or not.
        """
        statement = select(THREAD).where(THREAD.c.state != State.DELETED)
        if not everything:
            statement = statement.where(text(UNKNOWN_UPSTREAM))
        if project is not None:
            statement = statement.where(THREAD.c.project == project)
        if kind is not None:
            statement = statement.where(THREAD.c.kind == kind)
        page = self._page(statement)
        while page:
            yield from page
            page = self._page(statement.where(beyond(page[-1].thread.key)))

    def due_missing(self, now: datetime) -> Iterator[Entry]:
        """Every missing thread that is to be asked for once more, by key, streaming."""
        statement = missing_statement(now)
        page = self._page(statement)
        while page:
            yield from page
            page = self._page(statement.where(beyond(page[-1].thread.key)))

    def _page(self, statement: Select[tuple[object, ...]]) -> list[Entry]:
        with self._reading() as connection:
            rows = rows_of(connection.execute(statement.order_by(*_KEY).limit(PAGE)))
            return [entry_of(row, self._untrusted) for row in rows]

    def noted_missing(self, run: str) -> Mapping[Herd, int]:
        """How many living threads of each project and kind a run noted as missing."""
        herd = (THREAD.c.project, THREAD.c.kind)
        noted = select(*herd, func.count()).where(*_noted(run)).group_by(*herd).order_by(*herd)
        with self._reading() as connection:
            return {(project, kind): n for project, kind, n in connection.execute(noted)}

    def confirm_missing(
        self, run: str, *, believed: Collection[Herd], doubted: Collection[Herd] = ()
    ) -> int:
        """Turns what a run noted as missing into that state, and forgets the doubted notes.

        A wrong key looks exactly like an empty account, so who calls says which are `believed`.
        What is neither stays noted as it is. Returns how many threads are missing now.
        """
        true, wrong = _noted(run, _of(believed)), _noted(run, _of(doubted))
        with self._writing_alone() as connection:
            for project, kind, state, policy, n, copies in connection.execute(counted(*true)).all():
                before = (project, kind, state, policy or "")
                after = (project, kind, State.MISSING, policy or "")
                add(connection, {before: (-n, -copies), after: (n, copies)})
            again = {"review_at": THREAD.c.missing_since, "missing_since": None}
            connection.execute(update(THREAD).where(*wrong).values(again))
            changed = update(THREAD).where(*true).values(state=State.MISSING)
            return connection.execute(changed).rowcount


def _of(herds: Collection[Herd]) -> ColumnElement[bool]:
    each = (and_(THREAD.c.project == project, THREAD.c.kind == kind) for project, kind in herds)
    return or_(false(), *each)


def _noted(run: str, *clauses: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    noted = select(EVENT.c.project, EVENT.c.kind, EVENT.c.id).where(
        EVENT.c.run == run, EVENT.c.name == MISSING_EVENT
    )
    return (tuple_(*_KEY).in_(noted), THREAD.c.state.in_(sorted(LIVE)), *clauses)
