"""What keeps threads from removal: holds, pauses, and what is remembered of inputs.

A sweep reads them again before each removal. They seldom change, so it reads a stamp together with
the row, and the rest only if the stamp is a new one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Connection,
    ScalarSelect,
    bindparam,
    func,
    select,
    true,
    type_coerce,
)
from sqlalchemy.types import NullType

from janitor.model import Hold, Key, Kind
from janitor.registry.database import SCREEN, Store, batches, bound, by_key
from janitor.registry.entries import COLUMNS, ReadRows, fetch
from janitor.registry.holds import Holds
from janitor.registry.key_values import PREFIX
from janitor.registry.pauses import PAUSES, Pause, pauses_of
from janitor.registry.records import Entry
from janitor.registry.tables import HOLD, META, THREAD

Stamp = Sequence[object]


@dataclass(frozen=True, slots=True)
class Restrictions:
    """Holds, pauses and the memory of inputs as they were at one moment.

    Among the `holds` are those that ended less than a year before. `inputs` is the text stored
    under the name that the reader was given.
    """

    holds: tuple[Hold, ...]
    recorded: tuple[Pause, ...]
    inputs: str | None

    def pauses(self, now: datetime) -> tuple[Pause, ...]:
        """The pauses in force."""
        return tuple(pause for pause in self.recorded if pause.is_in_force(now))


class RestrictionReader:
    """Reads restrictions, and parses them again only if their stamp has changed.

    The stamp is made of what is stored, not of a number that every writer would have to raise:
    whoever adds, releases or ends a hold or a pause changes it, and so does another metadata
    filter, which rewrites the labels of rows and of holds. Safe to use from several threads.

    Each method raises ConfigError once another janitor has changed that filter.
    """

    def __init__(self, store: Store, inputs: str) -> None:
        self._store = store
        self._holds = Holds(store)
        self._kept: tuple[Stamp, Restrictions] | None = None
        facts = (_meta(PAUSES), _meta(PREFIX + inputs), _meta(SCREEN))
        stamp = select(*facts, *_OF_HOLDS).subquery("stamp")
        self._alone = select(stamp)
        beside = THREAD.join(stamp, true())
        self._beside_row = select(*COLUMNS, *stamp.c).select_from(beside).where(*by_key())
        place = (THREAD.c.project == bindparam("project"), THREAD.c.kind == bindparam("kind"))
        ids = THREAD.c.id.in_(bindparam("ids", expanding=True))
        self._beside_rows = select(*COLUMNS, *stamp.c).select_from(beside).where(*place, ids)

    def current(self, now: datetime) -> Restrictions:
        """The restrictions at this moment."""
        with self._store.at_once(), self._store.reading() as connection:
            return self._standing(tuple(connection.execute(self._alone).one()), now)

    def with_entries(
        self, keys: Collection[Key], now: datetime
    ) -> dict[Key, tuple[Entry | None, Restrictions]]:
        """Each thread's entry, if the registry has it, and the restrictions at that moment."""
        groups: defaultdict[tuple[str, Kind], list[str]] = defaultdict(list)
        for key in keys:
            groups[key.project, key.kind].append(key.id)
        found: dict[Key, tuple[Entry | None, Restrictions]] = {}
        with self._store.at_once(), self._store.reading() as connection:
            for (project, kind), ids in groups.items():
                for some in batches(ids):
                    rows = self._rows(connection, project, kind, some)
                    for entry, row in zip(
                        rows.entries(self._store.untrusted), rows.rows, strict=True
                    ):
                        standing = self._standing(row[len(COLUMNS) :], now)
                        found[entry.thread.key] = entry, standing
            if len(found) < len(keys):
                alone = None, self.current(now)
                found = dict.fromkeys(keys, alone) | found
        return found

    def _rows(
        self, connection: Connection, project: str, kind: Kind, ids: Sequence[str]
    ) -> ReadRows:
        if len(ids) == 1:
            return fetch(connection, self._beside_row, bound(Key(project, kind, ids[0])))
        place = {"project": project, "kind": kind, "ids": ids}
        return fetch(connection, self._beside_rows, place)

    def _standing(self, stamp: Stamp, now: datetime) -> Restrictions:
        """What was read last, if its stamp is this one; else all of it anew."""
        kept = self._kept
        if kept is not None and kept[0] == stamp:
            return kept[1]
        pauses, inputs, screen, *_ = stamp
        self._store.check_screen(None if screen is None else str(screen))
        read = Restrictions(
            self._holds.recent(now),
            pauses_of(None if pauses is None else str(pauses)),
            None if inputs is None else str(inputs),
        )
        self._kept = stamp, read
        return read


def _meta(key: str) -> ScalarSelect[str]:
    return select(META.c.value).where(META.c.key == key).scalar_subquery()


_OF_HOLDS = (
    func.count(),
    func.max(HOLD.c.number),
    *(
        type_coerce(of(HOLD.c[name]), NullType())
        for name in ("until", "released_at")
        for of in (func.count, func.max)
    ),
)
"""Holds are only added and released; the dates also show most changes made by hand."""
