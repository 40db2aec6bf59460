"""Claims: which janitor works on which thread, so that several can share one sweep.

An owner claims a row for a run until its lease ends. Once settled or passed by, the row has no
owner but still names the run, which is done with it: that run never claims it again, due or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)

from janitor.model import Key, State
from janitor.registry.database import PAGE, Store, bound, by_key, find_rows
from janitor.registry.entries import entry_of, read
from janitor.registry.mapping import Values, key_of
from janitor.registry.records import Claimant, Cursor, Entry
from janitor.registry.tables import CLAIMED, THREAD
from janitor.registry.threads import (
    KEY,
    beyond,
    due_statement,
    intent_statement,
    missing_statement,
)

REVIEWED = frozenset({State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED})

_FREE: Values = dict.fromkeys(("claim_run", "claim_owner", "claim_until"))
_CLAIM = (
    update(THREAD)
    .where(*by_key())
    .values({name: bindparam(name) for name in ("claim_run", "claim_owner", "claim_until")})
)
_PASS_BY = (
    update(THREAD)
    .where(*by_key(), THREAD.c.claim_owner == bindparam("by_owner"))
    .values(claim_owner=None, claim_until=None)
)
_BRING_BACK = _PASS_BY.values(claim_run=bindparam("claim_run"))
_PUT_OFF = _PASS_BY.values(claim_run=None)


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A borrowed row: its entry, the run that claimed it last, and whether it was already ours."""

    entry: Entry
    run: str | None
    was_ours: bool


class Claims:
    """Claims threads, renews the claims, and gives them back."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claimant(self, run: str) -> Claimant:
        """A claimant with a new owner id, for a janitor that works on this run."""
        return Claimant(run, uuid4().hex)

    def take(
        self,
        by: Claimant,
        now: datetime,
        *,
        after: Cursor | None = None,
        limit: int = PAGE,
        policy: str | None = None,
    ) -> list[Entry]:
        """Claims the next page of threads that were up for review at `now`, the start of the run.

        Threads that another janitor holds are skipped until its lease ends, and so are those
        that this run is done with.
        """
        return self._take_page(by, due_statement(now, after, limit, policy))

    def take_missing(
        self, by: Claimant, now: datetime, *, after: Key | None = None, limit: int = PAGE
    ) -> list[Entry]:
        """Claims the next page, by key, of missing threads that are due for another look."""
        return self._take_page(by, _paged(missing_statement(now), after, limit))

    def take_intents(
        self, by: Claimant, *, after: Key | None = None, tried: bool = True, limit: int = PAGE
    ) -> list[Entry]:
        """Claims the next page, by key, of threads whose janitor died while deleting them.

        With `tried=False`, only those that nobody has tried and failed to settle since.
        """
        intents = intent_statement() if tried else intent_statement().where(THREAD.c.attempts == 0)
        return self._take_page(by, _paged(intents, after, limit))

    def take_keys(
        self, by: Claimant, keys: Iterable[Key], states: frozenset[State] = REVIEWED
    ) -> list[Entry]:
        """Claims these threads, due or not; those that it cannot claim are left out."""
        with self._store.writing() as connection:
            rows = find_rows(connection, keys).values()
            now = self._store.database.now(connection)
            free = [row for row in rows if row["state"] in states and _is_free(row, by, now)]
            entries = [entry_of(row, self._store.untrusted) for row in free]
            return self._hold(connection, by, entries)

    def borrow(self, by: Claimant, keys: Iterable[Key]) -> dict[Key, ClaimedRow]:
        """Claims these threads for a while, even if this run is done with them.

        For threads that are removed together with a claimed one. Threads that another janitor
        holds, and deleted ones, are left out; `bring_back` ends the loan.
        """
        with self._store.writing() as connection:
            rows, now = find_rows(connection, keys), self._store.database.now(connection)
            free = [row for row in rows.values() if _is_borrowable(row, by, now)]
            loans = {
                key_of(row): ClaimedRow(
                    entry_of(row, self._store.untrusted), row["claim_run"], is_held(row, by, now)
                )
                for row in free
                if row["state"] is not State.DELETED
            }
            self._hold(connection, by, [loan.entry for loan in loans.values()])
            return loans

    def bring_back(self, by: Claimant, loans: Iterable[ClaimedRow]) -> None:
        """Ends the loans: rows that `by` claimed only for this are free and name the old run."""
        back = [
            bound(loan.entry.thread.key) | {"by_owner": by.owner, "claim_run": loan.run}
            for loan in loans
            if not loan.was_ours
        ]
        if back:
            with self._store.writing() as connection:
                connection.execute(_BRING_BACK, back)

    def _take_page(self, by: Claimant, page: Select[tuple[object, ...]]) -> list[Entry]:
        with self._store.writing() as connection:
            free = page.where(claimable(by.run, self._store.database.now(connection)))
            locked = free.with_for_update(skip_locked=True)
            entries = list(read(connection, locked).entries(self._store.untrusted))
            return self._hold(connection, by, entries)

    def _hold(self, connection: Connection, by: Claimant, entries: list[Entry]) -> list[Entry]:
        until = self._store.database.lease_end(self._store.database.now(connection))
        claim = {"claim_run": by.run, "claim_owner": by.owner, "claim_until": until}
        if entries:
            connection.execute(_CLAIM, [bound(entry.thread.key) | claim for entry in entries])
        return entries

    def renew(self, by: Claimant) -> int:
        """Renews this janitor's claims for one more lease; returns how many it still held."""
        with self._store.writing() as connection:
            now = self._store.database.now(connection)
            held = (THREAD.c.claim_owner == by.owner, THREAD.c.claim_until > now)
            locked = select(*KEY).where(text(CLAIMED), *held).order_by(*KEY).with_for_update()
            connection.execute(locked).all()
            renewed = update(THREAD).where(text(CLAIMED), *held)
            until = self._store.database.lease_end(now)
            return connection.execute(renewed.values(claim_until=until)).rowcount

    def pass_by(self, by: Claimant, keys: Iterable[Key]) -> frozenset[Key]:
        """Gives these back unsettled: nothing else changes, and the run is done with them.

        Always returns an empty set: a thread that `by` no longer holds is left to its owner.
        """
        with self._store.writing() as connection:
            connection.execute(_PASS_BY, [bound(key) | {"by_owner": by.owner} for key in keys])
        return frozenset()

    def put_off(self, by: Claimant, keys: Iterable[Key]) -> frozenset[Key]:
        """Gives these back unsettled, to be claimed again in this run; returns an empty set."""
        with self._store.writing() as connection:
            connection.execute(_PUT_OFF, [bound(key) | {"by_owner": by.owner} for key in keys])
        return frozenset()

    def release(self, by: Claimant) -> int:
        """Gives back everything that this janitor holds, for others to claim in the same run."""
        mine = update(THREAD).where(text(CLAIMED), THREAD.c.claim_owner == by.owner)
        with self._store.writing() as connection:
            return connection.execute(mine.values(_FREE)).rowcount

    def release_abandoned(self) -> int:
        """Frees the claims of dead owners; call it only while holding the run's lock exclusively.

        Where claims have leases, only expired ones are freed.
        """
        with self._store.writing() as connection:
            freed = update(THREAD).where(text(CLAIMED))
            if self._store.database.has_leases:
                freed = freed.where(THREAD.c.claim_until <= self._store.database.now(connection))
            return connection.execute(freed.values(_FREE)).rowcount

    def claimed_for(self) -> timedelta:
        """How long any claim is still valid; zero where claims have no leases."""
        latest = select(func.max(THREAD.c.claim_until)).where(text(CLAIMED))
        with self._store.reading() as connection:
            until = connection.scalar(latest) if self._store.database.has_leases else None
            now = self._store.database.now(connection)
            return timedelta() if until is None else max(until - now, timedelta())

    def is_exhausted(self, run: str, now: datetime, policy: str | None = None) -> bool:
        """Whether a run that began at `now` has nothing left to claim and nobody holds a claim."""
        held = select(func.count()).select_from(THREAD).where(text(CLAIMED))
        with self._store.reading() as connection:
            if connection.execute(held).scalar_one():
                return False
            free = claimable(run, self._store.database.now(connection))
            places = (due_statement(now, None, 1, policy), missing_statement(now).limit(1))
            pages = (*places, intent_statement().limit(1))
            return not any(connection.execute(page.where(free)).first() for page in pages)


def claimable(run: str, now: datetime) -> ColumnElement[bool]:
    """Matches rows that nobody holds any more and that this run is not done with."""
    ownerless = THREAD.c.claim_owner.is_(None)
    undone = or_(THREAD.c.claim_run.is_(None), THREAD.c.claim_run != run)
    return or_(and_(ownerless, undone), THREAD.c.claim_until <= now)


def is_held(row: Values, by: Claimant, now: datetime) -> bool:
    """Whether this janitor still holds a row."""
    return bool(row["claim_owner"] == by.owner and row["claim_until"] > now)


def _is_borrowable(row: Values, by: Claimant, now: datetime) -> bool:
    return row["claim_owner"] in (None, by.owner) or bool(row["claim_until"] <= now)


def _paged(
    statement: Select[tuple[object, ...]], after: Key | None, limit: int
) -> Select[tuple[object, ...]]:
    if after is not None:
        statement = statement.where(beyond(after))
    return statement.order_by(*KEY).limit(limit)


def _is_free(row: Values, by: Claimant, now: datetime) -> bool:
    if row["claim_owner"] is not None:
        return bool(row["claim_until"] <= now)
    return bool(row["claim_run"] != by.run)
