"""Pages of a file and their places, and the registry as registrations, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from janitor.model import Key, Kind, State
from janitor.registry import RefusedRegistration, Registered, Registration, Registry, Settlement

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SAID = [
    Registration(Key("main", Kind.CONVERSATION, "conv_1"), NOW - timedelta(days=9, microseconds=1)),
    Registration(Key("main", Kind.CONVERSATION, "conv_2"), metadata={}),
    Registration(
        Key("main", Kind.THREAD, "thread_1"),
        last_active_at=NOW,
        keep_until=NOW + timedelta(days=9),
        metadata={"b": "é", "a": '"'},
    ),
    Registration(Key("other", Kind.CHATKIT_THREAD, "cthr_1")),
]


def test_a_page_and_its_place_enter_together_or_not_at_all(registry: Registry) -> None:
    done = registry.registrations.enter("file", SAID[:2], NOW, lambda done: f"{done.added} added")
    assert (done, registry.registrations.place("file")) == (Registered(added=2), "2 added")
    wrong = Registration(Key("main", Kind.THREAD, "no id"))
    with pytest.raises(RefusedRegistration):
        registry.registrations.enter("file", [*SAID, wrong], NOW, lambda _: "behind it")

    def fail(_: Registered) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        registry.registrations.enter("file", SAID, NOW, fail)
    assert registry.registrations.place("file") == "2 added"
    assert list(registry.registrations.stream()) == SAID[:2]
    assert registry.registrations.place("another") is None
    registry.registrations.forget_place("file")
    assert registry.registrations.place("file") is None


def test_a_key_that_a_page_names_twice_enters_once(registry: Registry) -> None:
    later = Registration(SAID[1].key, last_active_at=NOW)
    done = registry.registrations.enter("file", [SAID[1], later, later], NOW, lambda _: "")
    assert done == Registered(1, 1, 1)
    assert list(registry.registrations.stream()) == [Registration(SAID[1].key, None, NOW, None, {})]


def test_what_was_said_comes_out_as_it_went_in(registry: Registry) -> None:
    registry.registrations.add(reversed(SAID), NOW)
    found = list(registry.registrations.stream())
    assert found == SAID
    assert registry.registrations.add(found, NOW) == Registered(unchanged=4)
    assert list(registry.registrations.stream(project="other")) == SAID[3:]
    assert list(registry.registrations.stream(kind=Kind.THREAD)) == SAID[2:3]
    assert list(registry.registrations.stream(state=State.MISSING)) == []


def test_pages_are_walked_to_their_end(registry: Registry) -> None:
    said = [Registration(Key("main", Kind.THREAD, f"t{n:05}")) for n in range(2001)]
    registry.registrations.add(said, NOW)
    assert list(registry.registrations.stream()) == said


def test_what_the_server_said_is_left_out_and_so_is_what_is_deleted(registry: Registry) -> None:
    registry.registrations.add(SAID[:2], NOW)
    dead = Settlement(SAID[0].key, None, state=State.DELETED, tombstone=True)
    read = Settlement(SAID[1].key, NOW, upstream={"plan": "pro"})
    registry.settlements.settle([dead, read])
    assert list(registry.registrations.stream()) == SAID[1:2]
