"""Holds, pauses and what is remembered of inputs, as a run reads them; on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text

from janitor.errors import ConfigError
from janitor.model import Hold, Key, Kind
from janitor.policy.stored_metadata import MetadataFilter
from janitor.registry import Pause, Registration, Registry, RestrictionReader

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Key("main", Kind.CONVERSATION, "conv_1")
OTHER = Key("main", Kind.CONVERSATION, "conv_2")
INPUTS = "sources"
HASHING = MetadataFilter(frozenset({"user_id"}), frozenset({"user_id"}), b"s" * 32)


def by_hand(registry: Registry, statement: str) -> None:
    with registry.store.writing() as connection:
        connection.execute(text(statement))


CHANGES: list[Callable[[Registry], object]] = [
    lambda registry: registry.holds.add(Hold("b", ids=frozenset([KEY.id])), NOW),
    lambda registry: registry.holds.release("a", NOW, reason="over"),
    lambda registry: registry.pauses.add(Pause("project:main", "wait", "ops", NOW)),
    lambda registry: registry.pauses.add(Pause("all", "longer", "ops", NOW, NOW + DAY)),
    lambda registry: registry.pauses.end("all"),
    lambda registry: registry.key_values.remember(INPUTS, '{"crm": "down"}'),
    lambda registry: registry.key_values.alter(INPUTS, lambda before, _: f"{before}!"),
    lambda registry: by_hand(registry, "DELETE FROM hold"),
    lambda registry: by_hand(registry, "UPDATE hold SET until = NULL"),
    lambda registry: by_hand(registry, "DELETE FROM meta WHERE key = 'pauses'"),
]


@pytest.fixture
def restricted(registry: Registry) -> Registry:
    """A registry with one of each, and one thread."""
    registry.registrations.add([Registration(KEY)], NOW)
    registry.holds.add(Hold("a", ids=frozenset([OTHER.id]), until=NOW + DAY), NOW)
    registry.pauses.add(Pause("all", "wait", "ops", NOW))
    registry.key_values.remember(INPUTS, "{}")
    return registry


@contextmanager
def statements(registry: Registry) -> Iterator[list[str]]:
    """The statements that are executed in the block."""
    seen: list[str] = []

    def note(*arguments: object) -> None:
        seen.append(str(arguments[2]))

    engine = registry.store.database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def same(registry: Registry, reader: RestrictionReader) -> bool:
    """Whether a reader that has read before says what is stored."""
    entry, beside = reader.with_entries([KEY], NOW)[KEY]
    alone = reader.current(NOW)
    return (
        entry == registry.threads.get(KEY)
        and beside == alone
        and alone.holds == registry.holds.recent(NOW)
        and alone.pauses(NOW) == registry.pauses.in_force(NOW)
        and (alone.inputs or None) == registry.key_values.recall(INPUTS)
    )


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen_at_once(
    restricted: Registry, change: Callable[[Registry], object]
) -> None:
    reader = restricted.restrictions(INPUTS)
    before = reader.current(NOW)
    assert same(restricted, reader)
    change(restricted)
    assert same(restricted, reader)
    assert reader.current(NOW) != before


def test_once_another_process_hashes_labels_nothing_is_read(registry: Registry, url: str) -> None:
    registry.holds.add(Hold("a", metadata={"user_id": "alice"}), NOW)
    registry.registrations.add([Registration(KEY)], NOW)
    reader = registry.restrictions(INPUTS)
    assert reader.current(NOW).holds == registry.holds.recent(NOW)
    with Registry.open(url, screen=HASHING):
        for read in (lambda: reader.current(NOW), lambda: reader.with_entries([KEY], NOW)):
            with pytest.raises(ConfigError, match="now keeps other metadata"):
                read()


def test_a_pause_ends_by_itself(restricted: Registry) -> None:
    restricted.pauses.add(Pause("all", "wait", "ops", NOW, NOW + DAY))
    reader = restricted.restrictions(INPUTS)
    assert reader.current(NOW).pauses(NOW)
    assert not reader.current(NOW + DAY).pauses(NOW + DAY)


def test_while_nothing_changes_a_row_and_its_restrictions_are_one_statement(
    restricted: Registry,
) -> None:
    reader = restricted.restrictions(INPUTS)
    first = reader.current(NOW)
    with statements(restricted) as seen:
        entry, again = reader.with_entries([KEY], NOW)[KEY]
    assert entry == restricted.threads.get(KEY)
    assert again is first
    assert len([one for one in seen if one.startswith("SELECT")]) == 1


def test_a_row_that_is_not_there_has_restrictions_too(restricted: Registry) -> None:
    entry, standing = restricted.restrictions(INPUTS).with_entries([OTHER], NOW)[OTHER]
    assert entry is None
    assert [hold.name for hold in standing.holds] == ["a"]


def test_many_rows_and_their_restrictions_are_one_statement_a_kind(restricted: Registry) -> None:
    more = [
        Key(project, kind, f"x_{number}")
        for project in ("main", "other")
        for kind in (Kind.CONVERSATION, Kind.THREAD)
        for number in range(3)
    ]
    restricted.registrations.add([Registration(key) for key in more], NOW)
    reader = restricted.restrictions(INPUTS)
    first = reader.current(NOW)
    with statements(restricted) as seen:
        found = reader.with_entries([KEY, *more], NOW)
    assert found == {key: (restricted.threads.get(key), first) for key in (KEY, *more)}
    assert len([one for one in seen if one.startswith("SELECT")]) == 4


def test_rows_that_are_not_there_leave_the_others_as_they_are(restricted: Registry) -> None:
    found = restricted.restrictions(INPUTS).with_entries([OTHER, KEY], NOW)
    assert found[OTHER][0] is None
    assert found[KEY][0] == restricted.threads.get(KEY)
    assert found[OTHER][1] == found[KEY][1]


def test_none_is_read_for_no_keys(restricted: Registry) -> None:
    with statements(restricted) as seen:
        assert restricted.restrictions(INPUTS).with_entries([], NOW) == {}
    assert not [one for one in seen if one.startswith("SELECT")]
