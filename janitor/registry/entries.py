"""Rows as entries: reads the columns that an entry has, and converts only what is not NULL.

Most values of a row are NULL. SQLAlchemy's types convert each of them, which takes longer than the
reading; here they only say how a value is bound and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Executable, Select, type_coerce
from sqlalchemy.types import NullType

from janitor.model import Copy, Key, Kind, Outcome, State, Thread
from janitor.policy.activity import Sightings, last_activity
from janitor.registry.mapping import Values
from janitor.registry.records import Entry, Intent
from janitor.registry.tables import THREAD, time_of

# The order in which the functions below take the values.
_OF_THREAD = (
    *("project", "kind", "id", "state", "created_at", "items", "reported", "upstream"),
    *("keep_until", "soft_deleted_at", "copy_is_current", "spared_until", "spared_by"),
    *("source", "vanished_at"),
)
_OF_SIGHTINGS = (
    *("reported_at", "upstream_at", "baseline_at", "changed_at", "newest_item", "alive_at"),
    "touched_at",
)
_OF_ENTRY = (
    *("review_at", "policy", "due_at", "attempts", "last_error", "last_outcome"),
    *("registered_at", "deleted_at", "deleted_run", "missing_since", "archive_keep_until"),
    *("reported_before", "dated_before"),
)
_OF_COPY = (
    *("copy_path", "copy_digest", "copy_sealed", "copy_items", "copy_newest_item", "copy_size"),
    "copied_at",
)
_OF_INTENT = ("intent_run", "intent_at", "intent_policy", "intent_alive_at", "intent_access")
_NAMES = _OF_THREAD + _OF_SIGHTINGS + _OF_ENTRY + _OF_COPY + _OF_INTENT

_THREAD = slice(len(_OF_THREAD))
_SIGHTINGS = slice(_THREAD.stop, _THREAD.stop + len(_OF_SIGHTINGS))
_ENTRY = slice(_SIGHTINGS.stop, _SIGHTINGS.stop + len(_OF_ENTRY))
_COPY = slice(_ENTRY.stop, _ENTRY.stop + len(_OF_COPY))
_INTENT = slice(_COPY.stop, _COPY.stop + len(_OF_INTENT))

COLUMNS = tuple(type_coerce(THREAD.c[name], NullType()).label(name) for name in _NAMES)
"""What `fetch` has to select first."""
_values_of = itemgetter(*_NAMES)

Read = Sequence[Any]
"""The values of `_NAMES`, or of a part of them."""


Convert = Callable[[Any], Any]


class _Conversion(NamedTuple):
    """What turns a time or an object, as the driver read it, into what an entry has."""

    time: Convert
    json: Convert


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _same(value: object) -> object:
    return value


_CONVERSIONS = {
    "sqlite": _Conversion(time_of, orjson.loads),
    "postgresql": _Conversion(_in_utc, _same),
}
_CONVERTED = _Conversion(_same, _same)
_KINDS: dict[str, Kind] = {kind.value: kind for kind in Kind}
_STATES: dict[str, State] = {state.value: state for state in State}


def read(connection: Connection, statement: Select[Any]) -> ReadRows:
    """Reads the rows that a statement selects from the thread table, as entries yet to be built.

    An entry that is built only when it is needed, and dropped then, costs the garbage collector
    nothing; neither do the rows, which hold text and numbers alone.
    """
    return fetch(connection, statement.with_only_columns(*COLUMNS))


def fetch(connection: Connection, statement: Executable, values: Values | None = None) -> ReadRows:
    """Like `read`, for a statement that selects `COLUMNS` already, and perhaps more behind them."""
    found = connection.execute(statement, values)
    return ReadRows(list(map(tuple, found)), _CONVERSIONS[connection.dialect.name])


@dataclass(frozen=True, slots=True)
class ReadRows:
    """Rows as the driver gave them; their number is known."""

    rows: Sequence[Read]
    by: _Conversion

    def __len__(self) -> int:
        return len(self.rows)

    def entries(self, untrusted: frozenset[str]) -> Iterator[Entry]:
        """The entry of each row; activity reported by `untrusted` projects dates nothing."""
        return (_entry(row, self.by, untrusted) for row in self.rows)


def entry_of(row: Values, untrusted: frozenset[str]) -> Entry:
    """A row with converted values as an entry."""
    return _entry(_values_of(row), _CONVERTED, untrusted)


def _entry(row: Read, by: _Conversion, untrusted: frozenset[str]) -> Entry:
    """The activity is recomputed by which projects are trusted now."""
    seen = _sightings(row[_SIGHTINGS], by.time)
    thread = _thread(row, seen, by, untrusted)
    time, json = by
    (
        review_at,
        policy,
        due_at,
        attempts,
        last_error,
        last_outcome,
        registered_at,
        deleted_at,
        deleted_run,
        missing_since,
        archive_keep_until,
        reported_before,
        dated_before,
    ) = row[_ENTRY]
    return Entry(
        thread,
        seen,
        review_at and time(review_at),
        policy,
        due_at and time(due_at),
        attempts,
        last_error,
        last_outcome and Outcome(last_outcome),
        _intent(thread.key, row[_INTENT], by.time),
        registered_at and time(registered_at),
        deleted_at and time(deleted_at),
        deleted_run,
        missing_since and time(missing_since),
        archive_keep_until and time(archive_keep_until),
        reported_before and json(reported_before),
        dated_before and time(dated_before),
    )


def _thread(row: Read, seen: Sightings, by: _Conversion, untrusted: frozenset[str]) -> Thread:
    time, json = by
    (
        project,
        kind,
        name,
        state,
        created_at,
        items,
        reported,
        upstream,
        keep_until,
        soft_deleted_at,
        copy_is_current,
        grace_until,
        grace_by,
        source,
        vanished_at,
    ) = row[_THREAD]
    created_at = created_at and time(created_at)
    return Thread(
        Key(project, _KINDS[kind], name),
        _STATES[state],
        created_at,
        last_activity(created_at, seen, trust_reported=project not in untrusted),
        items,
        seen.newest_item,
        reported and json(reported),
        upstream and json(upstream),
        keep_until and time(keep_until),
        soft_deleted_at and time(soft_deleted_at),
        _copy(row[_COPY], time),
        bool(copy_is_current),
        grace_until and time(grace_until),
        grace_by,
        source,
        vanished_at and time(vanished_at),
    )


def _sightings(row: Read, time: Convert) -> Sightings:
    reported_at, upstream_at, baseline_at, changed_at, newest_item, alive_at, touched_at = row
    return Sightings(
        reported_at and time(reported_at),
        upstream_at and time(upstream_at),
        baseline_at and time(baseline_at),
        changed_at and time(changed_at),
        newest_item,
        alive_at and time(alive_at),
        touched_at and time(touched_at),
    )


def _copy(row: Read, time: Convert) -> Copy | None:
    path, digest, sealed, items, newest_item, size, archived_at = row
    if path is None:
        return None
    return Copy(path, digest, sealed, items, newest_item, size, archived_at and time(archived_at))


def _intent(key: Key, row: Read, time: Convert) -> Intent | None:
    run, at, policy, alive_at, access = row
    if run is None:
        return None
    return Intent(key, run, at and time(at), policy, alive_at and time(alive_at), access)
