"""How threads enter, and what anybody may report of them later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, insert

from janitor.catalogue import is_id
from janitor.errors import ConfigError
from janitor.model import Key, State
from janitor.registry.entries import Registered, Registration
from janitor.registry.merging import fresh, merged, touched
from janitor.registry.rows import SAID, Values, later
from janitor.registry.store import Store, batches, write
from janitor.registry.tables import THREAD
from janitor.texts import misfit

_REPORTED = (
    *("created_at", "reported_at", "touched_at", "last_active_at", "dated_before"),
    *("keep_until", "review_at"),
    *("reported", "reported_before", "source", "vanished_at"),
)
_NEW = (
    *("project", "kind", "id", "state", "source", "created_at", "reported_at", "touched_at"),
    *("last_active_at", "dated_before", "keep_until", "review_at", "reported"),
)
_TOUCHED = ("touched_at", "last_active_at")


class RefusedRegistration(ConfigError):  # noqa: N818  the caller's own word for it
    """A registration that must not enter; the message says why and quotes no metadata value."""


def check(said: Registration) -> None:
    """Whether a registration may enter; RefusedRegistration says why it may not."""
    if not is_id(said.key.id):
        raise RefusedRegistration(
            "the id must be 1 to 200 letters, digits, dots, colons, dashes or underscores"
        )
    if not is_id(said.key.project):
        raise RefusedRegistration(f"{said.key.id}: the project's name is no name")
    for name in ("created_at", "last_active_at", "keep_until"):
        at = getattr(said, name)
        if at is not None and at.utcoffset() is None:
            raise RefusedRegistration(f"{said.key.id}: {name} has no time zone")
    check_metadata(said.key.id, said.metadata or {})


def check_metadata(id: str, metadata: Mapping[str, str]) -> None:
    """Whether metadata is text of sane size; RefusedRegistration says why it is not."""
    if why := misfit(metadata):
        raise RefusedRegistration(f"{id}: {why}")


class Registering(Store):
    """Adding threads and reporting their activity."""

    def register(self, registrations: Iterable[Registration], now: datetime) -> Registered:
        """Adds threads and what was newly said of known ones; saying it again changes nothing.

        This is an operator's word: it may replace a mere baseline by an earlier time. Otherwise
        times never move backwards, `None` clears nothing and tombstones stay dead. What is new or
        changed is up for review at `now`. Written in transactions of 500; RefusedRegistration
        before anything of its batch is written.
        """
        done = Registered()
        for batch in batches(registrations):
            for said in batch:
                check(said)
            with self._writing_alone() as connection:
                done += self._register(connection, batch, now)
        return done

    def compare(self, registrations: Iterable[Registration]) -> Registered:
        """What `register` would do, without doing it.

        Raises:
            RefusedRegistration: One must not enter.
        """
        done = Registered()
        for batch in batches(registrations):
            for said in batch:
                check(said)
            with self._reading() as connection:
                known = self._rows(connection, (said.key for said in batch), SAID, locked=False)
            done += self._judged(known, map(self._screened, batch), adds_only=False)[1]
        return done

    def touch(self, keys_at: Iterable[tuple[Key, datetime]]) -> int:
        """An application's report of activity of known threads; how many rows changed."""
        changed = 0
        for batch in batches(keys_at):
            with self._writing() as connection:
                changed += self._touch(connection, batch)
        return changed

    def _register(
        self,
        connection: Connection,
        batch: Iterable[Registration],
        now: datetime,
        *,
        adds_only: bool = False,
    ) -> Registered:
        batch = [self._screened(said) for said in batch]
        known = self._rows(connection, (said.key for said in batch), SAID)
        self._fence_screen(connection)
        changed, done = self._judged(known, batch, adds_only=adds_only)
        self._enter(connection, known, changed, now)
        return done

    def _judged(
        self, known: Mapping[Key, Values], batch: Iterable[Registration], *, adds_only: bool
    ) -> tuple[dict[Key, Values], Registered]:
        """The rows that a batch adds or changes, dated anew, and what it did to all."""
        rows, done = _after(known, batch, adds_only=adds_only)
        changed = {key: row for key, row in rows.items() if row != known.get(key)}
        earlier = 0
        for row in changed.values():
            before = row["last_active_at"]
            self._date(row)
            if before is not None and row["last_active_at"] < before:
                row["dated_before"] = later(row["dated_before"], before)
                earlier += 1
        return changed, replace(done, due_earlier=earlier)

    def _screened(self, said: Registration) -> Registration:
        if said.metadata is None or self.screen.is_open:
            return said
        return replace(said, metadata=self.screen.metadata(said.metadata))

    def _enter(
        self,
        connection: Connection,
        known: Mapping[Key, Values],
        changed: Mapping[Key, Values],
        now: datetime,
    ) -> None:
        for row in changed.values():
            row["review_at"] = now
        new = [_complete(row, now) for key, row in changed.items() if key not in known]
        if new:
            connection.execute(insert(THREAD), new)
        write(connection, _REPORTED, [row for key, row in changed.items() if key in known])
        self._relabel(connection, ((known.get(key), row) for key, row in changed.items()))
        self._recount(connection, ((None, row) for row in new))

    def _touch(self, connection: Connection, batch: Iterable[tuple[Key, datetime]]) -> int:
        batch = list(batch)
        rows = self._rows(connection, (key for key, _ in batch))
        changed: dict[Key, Values] = {}
        for key, at in batch:
            row = rows.get(key)
            if row is None or row["state"] is State.DELETED:
                continue
            if change := touched(row, at):
                row |= change
                self._date(row)
                changed[key] = row
        write(connection, _TOUCHED, list(changed.values()))
        return len(changed)


def _after(
    known: Mapping[Key, Values], batch: Iterable[Registration], *, adds_only: bool
) -> tuple[dict[Key, Values], Registered]:
    """The rows after a batch, and what it did to them."""
    rows, done = dict(known), Registered()
    for said in batch:
        before = rows.get(said.key)
        after = fresh(said) if before is None else merged(before, said, adds_only=adds_only)
        rows[said.key] = after
        done += Registered(before is None, before not in (None, after), before == after)
    return rows, done


def _complete(row: Values, now: datetime) -> Values:
    """A new row; what is not named is NULL."""
    rest = {"registered_at": now, "policy": None, "copy_is_current": False, "attempts": 0}
    return {name: row[name] for name in _NEW} | rest
