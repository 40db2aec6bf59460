"""Threads that the server did not know: noted one by one, believed only all together."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, func, select, tuple_, update

from janitor.model import LIVE, State
from janitor.registry.store import Store, add
from janitor.registry.tables import EVENT, THREAD

MISSING_EVENT = "missing"
_KEY = (THREAD.c.project, THREAD.c.kind, THREAD.c.id)
_GROUP = (THREAD.c.project, THREAD.c.kind, THREAD.c.state, THREAD.c.policy)


class Missing(Store):
    """Settles at a sweep's end what it could not find."""

    def confirm_missing(self, run: str, *, except_projects: Collection[str] = ()) -> int:
        """Turns what a run noted as missing into that state, and forgets the note elsewhere.

        `except_projects` were stopped: a wrong key looks exactly like an empty account, so
        nothing of theirs is believed. Returns how many threads are missing now.
        """
        believed = self._noted(run, THREAD.c.project.not_in(except_projects))
        doubted = self._noted(run, THREAD.c.project.in_(except_projects))
        with self._writing_alone() as connection:
            rows = select(*_GROUP, func.count()).where(*believed).group_by(*_GROUP)
            groups = connection.execute(rows).all()
            for project, kind, state, policy, n in groups:
                place = (project, kind, policy or "")
                before, after = (*place[:2], state, place[2]), (*place[:2], State.MISSING, place[2])
                add(connection, {before: -n, after: n})
            again = {"review_at": THREAD.c.missing_since, "missing_since": None}
            connection.execute(update(THREAD).where(*doubted).values(again))
            changed = update(THREAD).where(*believed).values(state=State.MISSING)
            return connection.execute(changed).rowcount

    @staticmethod
    def _noted(run: str, clause: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
        noted = select(EVENT.c.project, EVENT.c.kind, EVENT.c.id).where(
            EVENT.c.run == run, EVENT.c.name == MISSING_EVENT
        )
        return (tuple_(*_KEY).in_(noted), THREAD.c.state.in_(sorted(LIVE)), clause)
