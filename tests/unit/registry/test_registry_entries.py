from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import JSON, Integer, update
from sqlmodel import UTCDateTime

from janitor.model import Copy, Key, Kind, Outcome, State, Thread
from janitor.policy.activity import Sightings
from janitor.registry import Entry, Intent, Registration, Registry
from janitor.registry.database import find_rows
from janitor.registry.entries import entry_of
from janitor.registry.mapping import Values
from janitor.registry.tables import THREAD

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
KEY = Key("main", Kind.THREAD, "t")


def filled() -> Values:
    """A value for every column that is not part of the key, none twice."""
    values: Values = {}
    for number, column in enumerate(THREAD.c):
        if isinstance(column.type, JSON):
            values[column.name] = {column.name: "ü"}
        elif isinstance(column.type, UTCDateTime):
            values[column.name] = NOW + timedelta(days=number)
        elif isinstance(column.type, Integer):
            values[column.name] = number
        else:
            values[column.name] = column.name
    given = {"state": State.ARCHIVED, "last_outcome": Outcome.BUSY, "copy_is_current": True}
    values |= given | {"copy_older": ["older"]}
    return {name: value for name, value in values.items() if not THREAD.c[name].primary_key}


def told(registry: Registry, values: Values) -> Entry:
    """The only entry of a registry, after its row was given these values."""
    registry.registrations.add([Registration(KEY)], NOW)
    with registry.store.writing() as connection:
        connection.execute(update(THREAD).values(values))
    (entry,) = registry.threads.select()
    return entry


def names_of(noun: Entry | Thread | Sightings) -> set[str]:
    """The fields that are known."""
    return {field.name for field in fields(noun) if getattr(noun, field.name) is not None}


def test_an_entry_has_every_value_of_its_row(registry: Registry) -> None:
    row = filled()
    entry = told(registry, row)
    for noun in (entry, entry.thread, entry.sightings):
        assert names_of(noun) == {field.name for field in fields(noun)}
    copied = ("path", "digest", "sealed", "items", "newest_item", "size")
    assert entry.thread.copy == Copy(
        **{name: row[f"copy_{name}"] for name in copied}, archived_at=row["copied_at"]
    )
    intended = ("run", "at", "policy", "alive_at", "access")
    assert entry.intent == Intent(KEY, **{name: row[f"intent_{name}"] for name in intended})
    assert (entry.thread.grace_until, entry.thread.grace_by) == (row["spared_until"], "spared_by")
    for noun in (entry, entry.thread, entry.sightings):
        known = names_of(noun) & {*row} - {"last_active_at"}
        assert {name: getattr(noun, name) for name in known} == {name: row[name] for name in known}


def test_an_entry_is_the_same_however_its_row_was_read(registry: Registry) -> None:
    entry = told(registry, filled())
    with registry.store.reading() as connection:
        (row,) = find_rows(connection, [KEY], locked=False).values()
    assert entry_of(row, frozenset()) == entry


def test_times_are_utc(registry: Registry) -> None:
    entry = told(registry, filled())
    assert entry.due_at is not None
    assert entry.due_at.tzinfo is UTC


def test_what_is_null_is_unknown(registry: Registry) -> None:
    entry = told(registry, {"review_at": None})
    assert names_of(entry.thread) == {"key", "state", "copy_is_current"}
    assert names_of(entry.sightings) == set()
    assert names_of(entry) == {"thread", "sightings", "attempts", "registered_at"}


@pytest.mark.parametrize("metadata", [{}, {"plan": ""}])
def test_empty_metadata_is_known(registry: Registry, metadata: dict[str, str]) -> None:
    assert told(registry, {"reported": metadata}).thread.reported == metadata


def test_a_noun_is_equal_and_hashed_by_its_values() -> None:
    assert Key("main", Kind.THREAD, "t") == KEY
    assert {KEY: 1}[Key("main", Kind.THREAD, "t")] == 1
    assert Key("main", Kind.THREAD, "s") < KEY


def test_the_type_checker_refuses_to_change_a_noun() -> None:
    Key("main", Kind.THREAD, "t").id = "s"  # type: ignore[misc]  # else unused, and refused
