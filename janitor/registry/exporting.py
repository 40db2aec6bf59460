"""What was registered, as an import would say it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row, Select, select

from janitor.model import Key, Kind, State
from janitor.registry.entries import Registration
from janitor.registry.reading import KEY, beyond
from janitor.registry.rows import later
from janitor.registry.store import PAGE, Store
from janitor.registry.tables import THREAD

_SAID = (
    *KEY,
    *(THREAD.c[n] for n in ("created_at", "reported_at", "touched_at", "keep_until", "reported")),
)


class Exporting(Store):
    """Writing the registry back out."""

    def registrations(
        self,
        *,
        project: str | None = None,
        kind: Kind | None = None,
        state: State | None = None,
    ) -> Iterator[Registration]:
        """What was said of every thread that is not deleted, by key, streaming.

        Only what somebody reported: what the server says of metadata and activity is left out,
        since it is asked again anyway. A creation time is the best that is known.
        """
        wanted = {"project": project, "kind": kind, "state": state}
        clauses = [THREAD.c[name] == value for name, value in wanted.items() if value is not None]
        statement = select(*_SAID).where(*clauses, THREAD.c.state != State.DELETED)
        statement = statement.order_by(*KEY).limit(PAGE)
        page = self._said(statement)
        while page:
            yield from page
            rest = statement.where(beyond(page[-1].key))
            page = self._said(rest) if len(page) == PAGE else []

    def _said(self, statement: Select[Any]) -> list[Registration]:
        with self._reading() as connection:
            rows = connection.execute(statement)
            return [_registration(row) for row in rows]


def _registration(row: Row[Any]) -> Registration:
    # A touch alone dates nothing, and as an operator's word it would.
    active_at = None if row.reported_at is None else later(row.reported_at, row.touched_at)
    key = Key(row.project, row.kind, row.id)
    return Registration(key, row.created_at, active_at, row.keep_until, row.reported)
