"""A sweep's way through a row: claim, intend, settle; and what the dead left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, delete, insert

from janitor.errors import StoreError
from janitor.model import Key, State
from janitor.registry.claiming import REVIEWED, Claiming, is_held
from janitor.registry.entries import Claimant, Entry, Event, Intent, Settlement, Witnessed
from janitor.registry.rows import Values, later, settled
from janitor.registry.store import add, changed, counted, write
from janitor.registry.tables import EVENT, THREAD

PLACED = frozenset({State.ACTIVE, State.ARCHIVED})
"""The states of those that may have a place in a `keep_last` group."""

Rescheduling = tuple[Key, datetime | None, str | None, datetime | None]


class Sweeping(Claiming):
    """Intents, results and the next review."""

    def intend(self, intents: Sequence[Intent], by: Claimant | None = None) -> frozenset[Key]:
        """Commits that these threads are about to be removed; durable when it returns.

        Returns those whose claim `by` holds no longer: nothing of theirs is written. StoreError,
        and nothing written at all, where one is no longer there to be removed.
        """
        with self._writing() as connection:
            rows = self._rows(connection, (intent.key for intent in intents))
            lost = self._lost(connection, rows, by)
            after: dict[Key, Values] = {}
            for intent in intents:
                row = rows.get(intent.key)
                if row is None or row["state"] not in REVIEWED | {State.DELETING}:
                    raise StoreError(
                        f"{intent.key.project} {intent.key.id}: the registry says that it is gone "
                        "or not ours to remove; nothing was sent, run the sweep again"
                    )
                if intent.key not in lost:
                    after[intent.key] = row | _intended(intent)
            self._apply(connection, rows, after)
            return lost

    def settle(
        self, settlements: Sequence[Settlement], by: Claimant | None = None
    ) -> frozenset[Key]:
        """Writes what looks at threads changed: rows, labels, counts and events, all or nothing.

        Returns those whose claim `by` holds no longer: nothing of theirs is written.
        """
        with self._writing() as connection:
            rows = self._rows(connection, (said.key for said in settlements))
            lost = self._lost(connection, rows, by)
            kept = [said for said in settlements if said.key not in lost]
            self._fence_screen(connection)
            after: dict[Key, Values] = {}
            for said in map(self._let_upstream_in, kept):
                row = after.get(said.key) or rows.get(said.key)
                if row is not None:
                    after[said.key] = settled(row, said)
            for row in after.values():
                self._date(row)
            self._apply(connection, rows, after)
            record_events(connection, [event for said in kept for event in said.events])
            return lost

    def witness(self, seen: Sequence[Witnessed]) -> frozenset[Key]:
        """Writes who was seen alive for the sake of others; whoever holds their claims keeps them.

        Such a look dates nothing and decides nothing. Returns none: no claim is asked for.
        """
        with self._writing() as connection:
            rows = self._rows(connection, (one.key for one in seen))
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
                self._date(row)
            self._apply(connection, rows, after)
        return frozenset()

    def note(self, settlements: Sequence[Settlement]) -> frozenset[Key]:
        """Writes what asking for the sake of others came by: not found, or no answer.

        Only where the thread still may have a place in a group; whoever holds its claim keeps it.
        Returns none: no claim is asked for.
        """
        with self._writing() as connection:
            rows = self._rows(connection, (said.key for said in settlements))
            after: dict[Key, Values] = {}
            lines: list[Event] = []
            for said in settlements:
                row = after.get(said.key) or rows.get(said.key)
                if row is not None and row["state"] in PLACED:
                    unclaimed = replace(said, keep_claim=True, keep_intent=True)
                    after[said.key] = settled(row, unclaimed)
                    lines += said.events
            self._apply(connection, rows, after)
            record_events(connection, lines)
        return frozenset()

    def _let_upstream_in(self, said: Settlement) -> Settlement:
        if said.upstream is None or self.screen.is_open:
            return said
        return replace(said, upstream=self.screen.metadata(said.upstream))

    def _lost(
        self, connection: Connection, rows: Mapping[Key, Values], by: Claimant | None
    ) -> frozenset[Key]:
        """The rows that are no longer `by`'s; judged once the rows are kept from other writers."""
        if by is None:
            return frozenset()
        now = self._database.now(connection)
        return frozenset(key for key, row in rows.items() if not is_held(row, by, now))

    def record(self, events: Sequence[Event]) -> None:
        """Appends events that change no thread."""
        with self._writing() as connection:
            record_events(connection, events)

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

    def forgive(self, entries: Sequence[Entry]) -> int:
        """Takes back what one failed attempt at each of these counted, and how long it rests."""
        with self._writing() as connection:
            rows = self._rows(connection, (entry.thread.key for entry in entries))
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
        self._relabel(connection, changes)
        self._recount(connection, changes)

    def expire_tombstones(self, before: datetime) -> int:
        """Drops tombstones of deletions before a time; how many.

        One that names a copy stays as long as the copy does: nothing else knows where it is.
        """
        old = (
            THREAD.c.deleted_at < before,
            THREAD.c.state == State.DELETED,
            THREAD.c.copy_path.is_(None),
        )
        with self._writing() as connection:
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


def record_events(connection: Connection, events: Sequence[Event]) -> None:
    """Appends events, in the transaction of what they tell."""
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
