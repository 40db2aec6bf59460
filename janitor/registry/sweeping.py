"""A sweep's way through a row: claim, intend, settle; and what the dead left behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, text, update

from janitor.errors import StoreError
from janitor.model import Key, State
from janitor.registry.entries import Cursor, Entry, Event, Intent, Settlement
from janitor.registry.reading import due_statement
from janitor.registry.rows import Values, entry_of, rows_of, settled
from janitor.registry.store import PAGE, Store, add, bound, by_key, changed, write
from janitor.registry.tables import CLAIMED, EVENT, THREAD

Rescheduling = tuple[Key, datetime | None, str | None, datetime | None]

REVIEWED = frozenset({State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED})

_CLAIM = (
    update(THREAD)
    .where(*by_key())
    .values(claim_run=bindparam("run"), claim_until=bindparam("until"))
)


class Sweeping(Store):
    """Claims, intents, results and the next review."""

    def claim(
        self,
        run: str,
        now: datetime,
        *,
        lease_until: datetime,
        limit: int = PAGE,
        after: Cursor | None = None,
        policy: str | None = None,
    ) -> list[Entry]:
        """Claims the next page of what is up for review, for this run alone until it settles.

        What another run holds is left out until its lease is over.
        """
        lapsed = (THREAD.c.claim_run != run) & (THREAD.c.claim_until <= now)
        free = or_(THREAD.c.claim_run.is_(None), lapsed)
        statement = due_statement(now, after, limit, policy).where(free)
        with self._writing() as connection:
            found = connection.execute(statement.with_for_update(skip_locked=True))
            entries = [entry_of(row, self._untrusted) for row in rows_of(found)]
            _take(connection, run, lease_until, entries)
        return entries

    def claim_keys(
        self, run: str, keys: Iterable[Key], now: datetime, *, lease_until: datetime
    ) -> list[Entry]:
        """Claims these threads whether they are due or not; those it could not get are left out."""
        with self._writing() as connection:
            rows = self._rows(connection, keys).values()
            free = [row for row in rows if row["state"] in REVIEWED and _is_free(row, run, now)]
            entries = [entry_of(row, self._untrusted) for row in free]
            _take(connection, run, lease_until, entries)
        return entries

    def release_claims(self) -> int:
        """Frees every claim; for whoever holds the run's lock, so that all owners are dead."""
        freed = update(THREAD).where(text(CLAIMED)).values(claim_run=None, claim_until=None)
        with self._writing() as connection:
            return connection.execute(freed).rowcount

    def intend(self, intents: Sequence[Intent]) -> None:
        """Commits that these threads are about to be removed; durable when it returns.

        StoreError, and nothing written, where one of them is no longer there to be removed.
        """
        with self._writing() as connection:
            rows = self._rows(connection, (intent.key for intent in intents))
            after: dict[Key, Values] = {}
            for intent in intents:
                row = rows.get(intent.key)
                if row is None or row["state"] not in REVIEWED | {State.DELETING}:
                    raise StoreError(
                        f"{intent.key.project} {intent.key.id}: the registry says that it is gone "
                        "or not ours to remove; nothing was sent, run the sweep again"
                    )
                after[intent.key] = row | _intended(intent)
            self._apply(connection, rows, after)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Writes what looks at threads changed: rows, labels, counts and events, all or nothing."""
        with self._writing() as connection:
            rows = self._rows(connection, (said.key for said in settlements))
            after: dict[Key, Values] = {}
            for said in settlements:
                row = after.get(said.key) or rows.get(said.key)
                if row is not None:
                    after[said.key] = settled(row, said)
            for row in after.values():
                self._date(row)
            self._apply(connection, rows, after)
            _record(connection, [event for said in settlements for event in said.events])

    def record(self, events: Sequence[Event]) -> None:
        """Appends events that change no thread."""
        with self._writing() as connection:
            _record(connection, events)

    def reschedule(self, changes: Sequence[Rescheduling]) -> int:
        """Writes review time, policy and due time of each key where they differ; how many did."""
        names = ("review_at", "policy", "due_at")
        with self._writing() as connection:
            rows = self._rows(connection, (change[0] for change in changes))
            after: dict[Key, Values] = {}
            for key, *values in changes:
                row = rows.get(key)
                new = dict(zip(names, values, strict=True))
                if row is not None and any(row[name] != new[name] for name in names):
                    after[key] = row | new
            self._apply(connection, rows, after)
        return len(after)

    def _apply(
        self, connection: Connection, before: Mapping[Key, Values], after: Mapping[Key, Values]
    ) -> None:
        changes = [(before[key], row) for key, row in after.items()]
        write(connection, changed(changes), list(after.values()))
        self._relabel(connection, changes)
        self._recount(connection, changes)

    def forget_copies(self, keys: Iterable[Key]) -> int:
        """Records that the archive no longer holds copies of these; how many rows changed."""
        names = tuple(
            c.name for c in THREAD.c if c.name.startswith("copy_") or c.name == "copied_at"
        )
        gone: Values = dict.fromkeys((*names, "archive_keep_until")) | {"copy_is_current": False}
        with self._writing() as connection:
            rows = [row | gone for row in self._rows(connection, keys).values()]
            write(connection, tuple(gone), rows)
        return len(rows)

    def expire_tombstones(self, before: datetime) -> int:
        """Drops tombstones of deletions before a time; how many.

        One whose archive copy still has to be pruned stays until `forget_copies`.
        """
        old = (
            THREAD.c.deleted_at < before,
            THREAD.c.state == State.DELETED,
            THREAD.c.archive_keep_until.is_(None),
        )
        group = (THREAD.c.project, THREAD.c.kind, THREAD.c.state, THREAD.c.policy)
        with self._writing() as connection:
            counted = connection.execute(select(*group, func.count()).where(*old).group_by(*group))
            add(connection, {(p, k, state, policy or ""): -n for p, k, state, policy, n in counted})
            return connection.execute(delete(THREAD).where(*old)).rowcount


def _take(connection: Connection, run: str, until: datetime, entries: Sequence[Entry]) -> None:
    if entries:
        lease = {"run": run, "until": until}
        connection.execute(_CLAIM, [bound(entry.thread.key) | lease for entry in entries])


def _is_free(row: Values, run: str, now: datetime) -> bool:
    held = row["claim_run"]
    return held is None or (held != run and row["claim_until"] <= now)


def _intended(intent: Intent) -> Values:
    return {
        "state": State.DELETING,
        "intent_run": intent.run,
        "intent_at": intent.at,
        "intent_policy": intent.policy,
        "intent_alive_at": intent.alive_at,
        "intent_access": intent.access,
    }


def _record(connection: Connection, events: Sequence[Event]) -> None:
    if events:
        connection.execute(insert(EVENT), [_line(event) for event in events])


def _line(event: Event) -> Values:
    return {
        "run": event.run,
        "at": event.at,
        "project": event.key.project,
        "kind": event.key.kind,
        "id": event.key.id,
        "name": event.name,
        "stage": event.stage,
        "outcome": event.outcome,
        "policy": event.policy,
        "reason": event.reason,
        "response_id": event.response_id,
    }
