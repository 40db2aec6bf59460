"""Passes over lists and foreign tables: resumable, and what they lack is known at their end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from janitor.model import Key, Kind
from janitor.registry import RefusedRegistration, Registration, Registry, ScanScope

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def said(*names: str, source: str | None = "chats") -> list[Registration]:
    return [
        Registration(Key("main", Kind.THREAD, name), NOW - timedelta(days=9), source=source)
        for name in names
    ]


def lacking(registry: Registry, fed: ScanScope, before: datetime = LATER) -> list[str]:
    return [entry.thread.key.id for entry in registry.scans.unseen("r", fed, before)]


def test_a_page_is_registered_and_left_behind_at_once(registry: Registry) -> None:
    assert registry.scans.cursor("r") is None
    taken = registry.scans.take("r", said("a", "b"), NOW, cursor="b")
    assert (taken.registered.added, taken.again) == (2, 0)
    assert registry.scans.cursor("r") == "b"


def test_what_a_round_came_by_before_is_counted(registry: Registry) -> None:
    registry.scans.take("r", said("a", "b"), NOW, cursor="b")
    taken = registry.scans.take("r", said("b", "c", "c"), NOW, cursor="c")
    assert (taken.registered.added, taken.again) == (1, 2)
    assert registry.scans.take("other", said("a"), NOW, cursor="a").again == 0


def test_nothing_of_a_page_is_written_where_one_of_it_is_refused(registry: Registry) -> None:
    with pytest.raises(RefusedRegistration):
        registry.scans.take(
            "r", [*said("a"), Registration(Key("main", Kind.THREAD, "/"))], NOW, cursor="a"
        )
    assert registry.scans.cursor("r") is None
    assert list(registry.threads.select()) == []


def test_what_a_round_lacks_is_known_at_its_end(registry: Registry) -> None:
    registry.registrations.add(said("a", "b", "c"), NOW)
    registry.registrations.add(said("elsewhere", source=None), NOW)
    registry.scans.take("r", said("b"), NOW, cursor="b")
    assert lacking(registry, ScanScope("chats")) == ["a", "c"]
    assert lacking(registry, ScanScope(project="main", kind=Kind.THREAD)) == ["a", "c", "elsewhere"]
    assert lacking(registry, ScanScope(project="main", kind=Kind.CONVERSATION)) == []
    assert lacking(registry, ScanScope("chats"), before=NOW) == []


def test_what_vanished_is_marked_once_and_up_for_review(registry: Registry) -> None:
    registry.registrations.add(said("a", "b"), NOW)
    registry.scans.take("r", said("b"), NOW, cursor="b")
    assert registry.scans.vanish("r", "chats", LATER, LATER) == 1
    assert registry.scans.vanish("r", "chats", LATER, LATER + timedelta(days=1)) == 0
    (entry,) = [e for e in registry.threads.select() if e.thread.key.id == "a"]
    assert (entry.thread.vanished_at, entry.review_at) == (LATER, LATER)


def test_what_is_named_again_has_not_vanished(registry: Registry) -> None:
    registry.registrations.add(said("a"), NOW)
    assert registry.scans.vanish("r", "chats", LATER, LATER) == 1
    registry.scans.take("r", said("a"), LATER, cursor="a")
    (entry,) = registry.threads.select()
    assert entry.thread.vanished_at is None


def test_a_round_that_ended_begins_anew(registry: Registry) -> None:
    registry.scans.take("r", said("a"), NOW, cursor="a")
    registry.scans.end_round("r")
    assert registry.scans.cursor("r") is None
    assert registry.scans.take("r", said("a"), NOW, cursor="a").again == 0
