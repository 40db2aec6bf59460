"""Holds in the registry, and what a row remembers of metadata that was edited; on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from janitor.errors import ConfigError
from janitor.model import Hold, Key, Kind
from janitor.registry import InboxNotice, Registration, Registry, Settlement

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Key("main", Kind.CONVERSATION, "conv_1")
LAW, STAFF = {"department": "legal"}, {"department": "staff"}


def say(registry: Registry, metadata: dict[str, str] | None, key: Key = KEY) -> None:
    registry.registrations.add([Registration(key, metadata=metadata)], NOW)


def before(registry: Registry) -> object:
    entry = registry.threads.get(KEY)
    assert entry is not None
    return entry.reported_before


def decide_on(registry: Registry, metadata: dict[str, str]) -> None:
    registry.settlements.settle([Settlement(KEY, None, decided=True, reported=metadata)])


def test_a_row_remembers_what_was_decided_on_until_its_successor_is(registry: Registry) -> None:
    say(registry, LAW)
    decide_on(registry, LAW)
    assert before(registry) is None
    say(registry, STAFF)
    assert before(registry) == LAW
    say(registry, {"department": "hr"})
    assert before(registry) == LAW
    decide_on(registry, STAFF)
    assert before(registry) == LAW, "a decision on what was said before the last word"
    decide_on(registry, {"department": "hr"})
    assert before(registry) is None


def test_saying_it_again_or_for_the_first_time_is_no_edit(registry: Registry) -> None:
    say(registry, None)
    say(registry, LAW)
    say(registry, LAW)
    assert before(registry) is None


def test_the_inbox_edits_too(registry: Registry) -> None:
    say(registry, LAW)
    notice = InboxNotice("main", "conversation", KEY.id, NOW, metadata={"closed": "yes"})
    registry.inbox.append([notice])
    registry.inbox.drain(NOW)
    assert before(registry) == LAW


def test_what_is_spared_is_kept_and_a_tombstone_forgets_it(registry: Registry) -> None:
    say(registry, LAW)
    say(registry, STAFF)
    until = NOW + 7 * DAY
    registry.settlements.settle([Settlement(KEY, until, grace_until=until, grace_by="hold:case")])
    registry.settlements.settle([Settlement(KEY, until)])
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert (entry.thread.grace_until, entry.thread.grace_by) == (until, "hold:case")
    registry.settlements.settle([Settlement(KEY, None, tombstone=True)])
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert (entry.thread.grace_until, entry.thread.grace_by) == (None, None)
    assert entry.reported_before is None


def test_a_name_is_free_again_when_its_hold_is_over(registry: Registry) -> None:
    hold = Hold("case", "court", metadata=LAW, until=NOW + DAY)
    registry.holds.add(hold, NOW, actor="counsel")
    with pytest.raises(ConfigError, match="exists"):
        registry.holds.add(hold, NOW)
    assert registry.holds.in_force("case", NOW) == hold
    assert registry.holds.count_in_force(NOW) == 1
    later = NOW + 2 * DAY
    assert registry.holds.in_force("case", later) is None
    assert registry.holds.count_in_force(later) == 0
    with pytest.raises(ConfigError, match="no hold"):
        registry.holds.release("case", later, reason="late")
    registry.holds.add(Hold("case", "again", ids=frozenset({KEY.id})), later, actor="clerk")
    assert [(one.hold.reason, one.actor) for one in registry.holds.records()] == [
        ("court", "counsel"),
        ("again", "clerk"),
    ]


def test_a_release_is_on_record(registry: Registry) -> None:
    registry.holds.add(Hold("case", "court", metadata=LAW), NOW)
    registry.holds.release("case", NOW + DAY, reason="settled", actor="clerk")
    [record] = registry.holds.records()
    assert record.hold.released_at == NOW + DAY
    assert (record.released_by, record.release_reason) == ("clerk", "settled")


def test_unread_and_labelled_threads_are_found(registry: Registry) -> None:
    others = [Key("main", Kind.CONVERSATION, f"conv_{number}") for number in (2, 3)]
    say(registry, {**LAW, "user": "u1"})
    say(registry, None, others[0])
    say(registry, {"user": "u1"}, others[1])
    assert [entry.thread.key for entry in registry.threads.select(unread=True)] == [others[0]]
    assert registry.threads.count_labelled({"user": "u1"}) == 2
    assert registry.threads.count_labelled({"user": "u1", **LAW}) == 1
    assert registry.threads.count_labelled({"user": "nobody"}) == 0
