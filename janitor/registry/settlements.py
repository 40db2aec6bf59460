"""What a sweep writes to rows: intents, results, next reviews, missing and expired threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, false, or_, update

from janitor.errors import StoreError
from janitor.model import Key, State
from janitor.registry.claims import REVIEWED, is_held
from janitor.registry.database import (
    Store,
    add,
    changed,
    counted,
    find_rows,
    recount,
    relabel,
    write,
)
from janitor.registry.mapping import Values, later, settled
from janitor.registry.records import Claimant, Entry, Event, Intent, Settlement, Witnessed
from janitor.registry.runs import record_events
from janitor.registry.tables import THREAD
from janitor.registry.threads import ProjectKind, noted_as_missing

PLACED = frozenset({State.ACTIVE, State.ARCHIVED})
"""The states in which a thread may have a place in a `keep_last` group."""

_SCHEDULED = tuple(
    THREAD.c[name]
    for name in (
        *("project", "kind", "id", "state", "copy_path"),
        *("review_at", "policy", "due_at"),
    )
)
"""What a new review time changes, and what the counts of rows go by."""

Rescheduling = tuple[Key, datetime | None, str | None, datetime | None]


class Settlements:
    """Writes intents, results and reviews, in the transaction that counts them.

    For a claimant, `intend` and `settle` write only what it still holds.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def intend(self, intents: Sequence[Intent], by: Claimant | None = None) -> frozenset[Key]:
        """Commits that these threads are about to be removed, and why; durable when it returns.

        Returns those whose claim `by` no longer holds: nothing is written for them. If one is no
        longer in a state to be removed, raises StoreError and writes nothing at all.
        """
        with self._store.writing() as connection:
            rows = find_rows(connection, (intent.key for intent in intents))
            lost = self._lost(connection, rows, by)
            if any(intent.look is not None for intent in intents):
                self._store.fence_screen(connection)
            after: dict[Key, Values] = {}
            for intent in intents:
                row = rows.get(intent.key)
                if row is not None and intent.look is not None:
                    row = settled(row, self._let_upstream_in(intent.look))
                    self._store.date(row)
                if row is None or row["state"] not in REVIEWED | {State.DELETING}:
                    raise StoreError(
                        f"{intent.key.project} {intent.key.id}: the registry says that it is "
                        "gone, or not ours to remove; nothing was sent. Run the sweep again"
                    )
                if intent.key not in lost:
                    after[intent.key] = row | _intended(intent)
            self._apply(connection, rows, after)
            return lost

    def settle(
        self, settlements: Sequence[Settlement], by: Claimant | None = None
    ) -> frozenset[Key]:
        """Writes the results of looks at threads: rows, labels, counts and events, all or nothing.

        Returns those whose claim `by` no longer holds: nothing is written for them.
        """
        with self._store.writing() as connection:
            rows = find_rows(connection, (settlement.key for settlement in settlements))
            lost = self._lost(connection, rows, by)
            kept = [settlement for settlement in settlements if settlement.key not in lost]
            self._store.fence_screen(connection)
            after: dict[Key, Values] = {}
            for settlement in map(self._let_upstream_in, kept):
                row = after.get(settlement.key) or rows.get(settlement.key)
                if row is not None:
                    after[settlement.key] = settled(row, settlement)
            for row in after.values():
                self._store.date(row)
            self._apply(connection, rows, after)
            record_events(connection, [event for settlement in kept for event in settlement.events])
            return lost

    def witness(self, seen: Sequence[Witnessed]) -> frozenset[Key]:
        """Records threads that were seen alive in looks made for others; their claims stay.

        Such a look is no activity and decides nothing; it may only add an unknown creation time.
        Always returns an empty set: no claim is needed.
        """
        with self._store.writing() as connection:
            rows = find_rows(connection, (one.key for one in seen))
            after: dict[Key, Values] = {}
            for one in seen:
                row = after.get(one.key) or rows.get(one.key)
                if row is not None and row["state"] in PLACED:
                    after[one.key] = row | {
                        "alive_at": later(row["alive_at"], one.at),
                        "created_at": row["created_at"] or one.created_at,
                        "missing_since": None,
                    }
            for row in after.values():
                self._store.date(row)
            self._apply(connection, rows, after)
        return frozenset()

    def note(self, settlements: Sequence[Settlement]) -> frozenset[Key]:
        """Records looks made for other threads that were not found or gave no answer.

        Only if the thread may still have a place in a group; its claim stays as it is.
        Always returns an empty set: no claim is needed.
        """
        with self._store.writing() as connection:
            rows = find_rows(connection, (settlement.key for settlement in settlements))
            after: dict[Key, Values] = {}
            lines: list[Event] = []
            for settlement in settlements:
                row = after.get(settlement.key) or rows.get(settlement.key)
                if row is not None and row["state"] in PLACED:
                    unclaimed = replace(settlement, keep_claim=True, keep_intent=True)
                    after[settlement.key] = settled(row, unclaimed)
                    lines += settlement.events
            self._apply(connection, rows, after)
            record_events(connection, lines)
        return frozenset()

    def _let_upstream_in(self, settlement: Settlement) -> Settlement:
        if settlement.upstream is None or self._store.screen.is_open:
            return settlement
        return replace(settlement, upstream=self._store.screen.metadata(settlement.upstream))

    def _lost(
        self, connection: Connection, rows: Mapping[Key, Values], by: Claimant | None
    ) -> frozenset[Key]:
        """The rows that `by` no longer holds; call it once the rows are locked."""
        if by is None:
            return frozenset()
        now = self._store.database.now(connection)
        return frozenset(key for key, row in rows.items() if not is_held(row, by, now))

    def reschedule(self, changes: Sequence[Rescheduling]) -> int:
        """Writes each key's review time, policy and due time if they differ; how many did."""
        names = ("review_at", "policy", "due_at")
        with self._store.writing() as connection:
            rows = find_rows(connection, (change[0] for change in changes), _SCHEDULED)
            after: dict[Key, Values] = {}
            for key, *values in changes:
                row = rows.get(key)
                new = dict(zip(names, values, strict=True))
                if row is not None and any(row[name] != new[name] for name in names):
                    after[key] = row | new
            pairs = [(rows[key], row) for key, row in after.items()]
            differing = [n for n in names if any(before[n] != row[n] for before, row in pairs)]
            write(connection, differing, list(after.values()))
            recount(connection, pairs)
        return len(after)

    def forgive(self, entries: Sequence[Entry]) -> int:
        """Takes back one failed attempt at each of these, with its backoff; how many it changed."""
        with self._store.writing() as connection:
            rows = find_rows(connection, (entry.thread.key for entry in entries))
            after: dict[Key, Values] = {}
            for entry in entries:
                row = rows.get(entry.thread.key)
                if row is not None and row["attempts"] == entry.attempts + 1:
                    names = ("attempts", "last_error", "last_outcome", "review_at")
                    before = {name: getattr(entry, name) for name in names}
                    after[entry.thread.key] = row | before
            self._apply(connection, rows, after)
        return len(after)

    def _apply(
        self, connection: Connection, before: Mapping[Key, Values], after: Mapping[Key, Values]
    ) -> None:
        changes = [(before[key], row) for key, row in after.items()]
        write(connection, changed(changes), list(after.values()))
        relabel(connection, changes)
        recount(connection, changes)

    def confirm_missing(
        self, run: str, *, believed: Collection[ProjectKind], doubted: Collection[ProjectKind] = ()
    ) -> int:
        """Sets the state of threads that a run noted as missing, and drops the doubted notes.

        A wrong key looks exactly like an empty account, so the caller says which projects and
        kinds are `believed`. Notes that are in neither stay as they are. Returns how many threads
        became missing.
        """
        noted = noted_as_missing(run)
        true, wrong = (*noted, _of(believed)), (*noted, _of(doubted))
        with self._store.writing_alone() as connection:
            for project, kind, state, policy, n, copies in connection.execute(counted(*true)).all():
                before = (project, kind, state, policy or "")
                after = (project, kind, State.MISSING, policy or "")
                add(connection, {before: (-n, -copies), after: (n, copies)})
            again = {"review_at": THREAD.c.missing_since, "missing_since": None}
            connection.execute(update(THREAD).where(*wrong).values(again))
            confirmed = update(THREAD).where(*true).values(state=State.MISSING)
            return connection.execute(confirmed).rowcount

    def expire_tombstones(self, before: datetime) -> int:
        """Drops tombstones of threads deleted before a time; returns how many.

        One that names a copy stays as long as the copy does: nothing else knows where the copy is.
        """
        old = (
            THREAD.c.deleted_at < before,
            THREAD.c.state == State.DELETED,
            THREAD.c.copy_path.is_(None),
        )
        with self._store.writing() as connection:
            groups = connection.execute(counted(*old))
            add(connection, {(p, k, s, name or ""): (-n, -c) for p, k, s, name, n, c in groups})
            return connection.execute(delete(THREAD).where(*old)).rowcount


def _intended(intent: Intent) -> Values:
    return {
        "state": State.DELETING,
        "intent_run": intent.run,
        "intent_at": intent.at,
        "intent_policy": intent.policy,
        "intent_alive_at": intent.alive_at,
        "intent_access": intent.access,
    }


def _of(pairs: Collection[ProjectKind]) -> ColumnElement[bool]:
    each = (and_(THREAD.c.project == project, THREAD.c.kind == kind) for project, kind in pairs)
    return or_(false(), *each)
