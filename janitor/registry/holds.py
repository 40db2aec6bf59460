"""Legal holds: set by a person, in force at once for every janitor, and on record for good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, RowMapping, func, insert, or_, select, update

from janitor.errors import ConfigError
from janitor.model import Hold
from janitor.registry.database import Store
from janitor.registry.tables import HOLD

ENDED_LONG_AGO = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A hold with who set it and when, and who released it and why, if anybody did."""

    hold: Hold
    added_at: datetime
    actor: str
    released_by: str | None = None
    release_reason: str | None = None


class Holds:
    """Sets and releases holds; a row stays after its hold has ended."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def recent(self, now: datetime, *, grace: timedelta = ENDED_LONG_AGO) -> tuple[Hold, ...]:
        """Holds in force at `now` or ended less than `grace` ago, in the order they were added.

        Ended ones are included because policies grant a grace after them.
        """
        horizon = now - grace
        recent = [
            or_(HOLD.c[name].is_(None), HOLD.c[name] > horizon) for name in ("until", "released_at")
        ]
        with self._store.reading() as connection:
            rows = connection.execute(select(HOLD).where(*recent).order_by(HOLD.c.number))
            return tuple(_hold_of(row) for row in rows.mappings())

    def records(self) -> list[HoldRecord]:
        """Every hold that was ever set, in the order they were added."""
        with self._store.reading() as connection:
            rows = connection.execute(select(HOLD).order_by(HOLD.c.number)).mappings()
            return [_record_of(row) for row in rows]

    def in_force(self, name: str, now: datetime) -> Hold | None:
        """The hold of that name that is neither released nor expired, or `None`."""
        with self._store.reading() as connection:
            found = connection.execute(select(HOLD).where(*_in_force(name, now))).mappings().first()
            return None if found is None else _hold_of(found)

    def count_in_force(self, now: datetime) -> int:
        """How many holds are neither released nor expired."""
        with self._store.reading() as connection:
            count = select(func.count()).select_from(HOLD).where(*_in_force(None, now))
            return connection.execute(count).scalar_one()

    def add(self, hold: Hold, now: datetime, *, actor: str = "") -> Hold:
        """Adds a hold and returns it as it is stored.

        ConfigError if one of that name is in force, or if its metadata keys are not stored.
        """
        hold = replace(hold, metadata=self._store.asked(hold.metadata))
        with self._store.writing_alone() as connection:
            self._store.fence_screen(connection)
            if connection.execute(select(HOLD).where(*_in_force(hold.name, now))).first():
                raise ConfigError(
                    f"hold {hold.name!r} already exists: release it or choose another name"
                )
            row = {
                "name": hold.name,
                "reason": hold.reason,
                "ids": sorted(hold.ids),
                "labels": dict(hold.metadata),
                "until": hold.until,
                "added_at": now,
                "added_by": actor,
            }
            connection.execute(insert(HOLD), row)
        return hold

    def release(self, name: str, now: datetime, *, reason: str, actor: str = "") -> None:
        """Releases a hold; ConfigError if none of that name is in force."""
        held = update(HOLD).where(*_in_force(name, now))
        released = held.values(released_at=now, released_by=actor, release_reason=reason)
        with self._store.writing_alone() as connection:
            if connection.execute(released).rowcount == 0:
                raise ConfigError(f"there is no hold {name!r} to release; see `janitor hold list`")


def _in_force(name: str | None, now: datetime) -> list[ColumnElement[bool]]:
    """Matches the holds in force, of one name or of any."""
    named = [] if name is None else [HOLD.c.name == name]
    unended = or_(HOLD.c.until.is_(None), HOLD.c.until > now)
    return [*named, HOLD.c.released_at.is_(None), unended]


def _hold_of(row: RowMapping) -> Hold:
    return Hold(
        name=row["name"],
        reason=row["reason"],
        ids=frozenset(row["ids"] or ()),
        metadata=row["labels"] or {},
        until=row["until"],
        released_at=row["released_at"],
    )


def _record_of(row: RowMapping) -> HoldRecord:
    return HoldRecord(
        _hold_of(row), row["added_at"], row["added_by"], row["released_by"], row["release_reason"]
    )
