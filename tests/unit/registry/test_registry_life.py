from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

import pytest

from janitor.errors import LockedError, StoreError
from janitor.model import Copy, Key, Kind, Outcome, Probe, Stage, State
from janitor.policy.activity import observe
from janitor.registry import (
    Claimant,
    Event,
    Intent,
    RefusedRegistration,
    Registered,
    Registration,
    Registry,
    Settlement,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Key("main", Kind.CONVERSATION, "conv_1")
COPY = Copy("a/b.zst", "d" * 64, "e" * 64, 3, "msg_3", 99, NOW)


def event(name: str, run: str = "r1", at: datetime = NOW) -> Event:
    return Event(run, at, KEY, name, Stage.DELETE, Outcome.DONE, "old")


def test_a_registration_is_kept_to_the_microsecond(registry: Registry) -> None:
    said = Registration(KEY, NOW - DAY, NOW, NOW + DAY, {"plan": "trial"})
    assert registry.registrations.add([said], NOW) == Registered(added=1)
    entry = registry.threads.get(KEY)
    assert entry is not None
    thread = entry.thread
    assert (thread.created_at, thread.last_active_at) == (NOW - DAY, NOW)
    assert (thread.keep_until, thread.reported, thread.upstream) == (
        NOW + DAY,
        {"plan": "trial"},
        None,
    )
    assert (entry.review_at, thread.state) == (NOW, State.ACTIVE)


def test_registering_again_changes_nothing(registry: Registry) -> None:
    said = [
        Registration(Key("main", Kind.THREAD, f"thread_{n}"), NOW, NOW, metadata={"n": str(n)})
        for n in range(1203)
    ]
    assert registry.registrations.add(said, NOW) == Registered(added=1203)
    assert registry.registrations.add(said, NOW + DAY) == Registered(unchanged=1203)
    assert next(registry.threads.due(NOW + DAY)).review_at == NOW


def test_times_only_move_forward_and_none_clears_nothing(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY, NOW, NOW, NOW, {"a": "1"})], NOW)
    earlier = Registration(KEY, NOW - DAY, NOW - DAY, NOW - DAY)
    assert registry.registrations.add([earlier], NOW + DAY) == Registered(unchanged=1)
    assert registry.registrations.add([Registration(KEY, metadata={})], NOW + DAY) == Registered(
        updated=1
    )
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.reported == {}
    assert entry.thread.created_at == entry.thread.last_active_at == entry.thread.keep_until == NOW
    assert entry.review_at == NOW + DAY


def test_several_inputs_of_one_key_in_one_batch(registry: Registry) -> None:
    said = [
        Registration(KEY, metadata={"a": "1"}),
        Registration(KEY, last_active_at=NOW),
        Registration(KEY),
    ]
    assert registry.registrations.add(said, NOW) == Registered(1, 1, 1)
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert (entry.thread.reported, entry.thread.last_active_at) == ({"a": "1"}, NOW)
    assert sum(registry.threads.states().values()) == 1


def test_a_creation_time_from_the_server_stands(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY, NOW, NOW)], NOW)
    entry = registry.threads.get(KEY)
    assert entry is not None
    seen = observe(entry.sightings, Probe(NOW - DAY, None, {}, "i1"), NOW)
    registry.settlements.settle([Settlement(KEY, NOW + DAY, created_at=NOW - DAY, sightings=seen)])
    assert registry.registrations.add([Registration(KEY, NOW)], NOW) == Registered(unchanged=1)


@pytest.mark.parametrize(
    "said",
    [
        Registration(Key("main", Kind.THREAD, "../etc")),
        Registration(Key("main", Kind.THREAD, "..")),
        Registration(Key("", Kind.THREAD, "t")),
        Registration(KEY, metadata={"k" * 65: "v"}),
        Registration(KEY, metadata={"k": "v" * 513}),
        Registration(KEY, metadata={"": "v"}),
        Registration(KEY, metadata={"k": "\udc00"}),
        Registration(KEY, metadata={"k": "\0"}),
        Registration(KEY, metadata={"k": 5}),  # type: ignore[dict-item]
        Registration(KEY, metadata={f"k{n}": "v" for n in range(65)}),
        Registration(KEY, created_at=datetime(2026, 1, 1)),  # noqa: DTZ001  the point of it
    ],
)
def test_what_must_not_enter_is_refused(registry: Registry, said: Registration) -> None:
    good = Registration(Key("main", Kind.THREAD, "good"))
    with pytest.raises(RefusedRegistration):
        registry.registrations.add([good, said], NOW)
    assert registry.threads.states() == {}


def test_the_whole_life_of_a_row(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY, NOW - DAY, NOW - DAY, metadata={"u": "x"})], NOW)
    (claimed,) = registry.claims.take(Claimant("r1", "a"), NOW)
    assert registry.claims.take(Claimant("r1", "a"), NOW) == []
    seen = observe(claimed.sightings, Probe(NOW - DAY, None, {"plan": "t"}, "i1"), NOW)
    registry.settlements.settle(
        [
            Settlement(
                KEY,
                NOW + DAY,
                state=State.ARCHIVED,
                sightings=seen,
                upstream={"plan": "t"},
                copy=COPY,
                copy_is_current=True,
                policy="old",
                due_at=NOW + DAY,
                events=(event("archived"),),
            )
        ]
    )
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert (entry.thread.copy, entry.thread.copy_is_current) == (COPY, True)
    assert (entry.sightings, entry.policy, entry.due_at) == (seen, "old", NOW + DAY)
    assert registry.threads.population() == {"old": 1}

    intent = Intent(KEY, "r2", NOW + DAY, "old", NOW + DAY, "fingerprint")
    registry.settlements.intend([intent])
    assert [found.intent for found in registry.threads.open_intents()] == [intent]
    assert list(registry.threads.due(NOW + 9 * DAY)) == []
    gone = Settlement(
        KEY, None, tombstone=True, events=(event("deleted", run="r2", at=NOW + 2 * DAY),)
    )
    registry.settlements.settle([gone])
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert (entry.thread.state, entry.deleted_run) == (State.DELETED, "r2")
    assert entry.deleted_at == NOW + 2 * DAY
    assert (entry.thread.reported, entry.thread.upstream, entry.thread.newest_item) == (None,) * 3
    assert (entry.intent, entry.policy) == (None, "old")
    assert list(registry.threads.select(metadata={"u": "x"})) == []
    assert registry.threads.population() == {}
    assert [e.name for e in registry.runs.history(KEY)] == ["archived", "deleted"]


def test_a_tombstone_stays_dead_and_expires(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    intent = Intent(KEY, "r2", NOW + DAY, "old", NOW + DAY, "fingerprint")
    registry.settlements.intend([intent])
    gone = event("deleted", run="r2", at=NOW + 2 * DAY)
    registry.settlements.settle([Settlement(KEY, None, tombstone=True, events=(gone,))])

    said = Registration(KEY, metadata={"u": "y"})
    assert registry.registrations.add([said], NOW) == Registered(unchanged=1)
    assert registry.registrations.touch([(KEY, NOW + 9 * DAY)]) == 0
    with pytest.raises(StoreError, match="nothing was sent"):
        registry.settlements.intend([intent])
    assert registry.settlements.expire_tombstones(NOW + 2 * DAY) == 0
    assert registry.settlements.expire_tombstones(NOW + 3 * DAY) == 1
    assert registry.threads.get(KEY) is None
    assert registry.threads.states() == {}


def test_a_failure_counts_and_success_clears(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    for attempt in (1, 2):
        registry.settlements.settle([Settlement(KEY, NOW + DAY, failure="timeout")])
        (entry,) = registry.threads.select(failed=True)
        assert (entry.attempts, entry.last_error) == (attempt, "timeout")
    registry.settlements.settle([Settlement(KEY, NOW + DAY)])
    assert list(registry.threads.select(failed=True)) == []


def test_a_torn_delete_keeps_its_intent(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    registry.settlements.intend([Intent(KEY, "r1", NOW, "old")])
    registry.settlements.settle([Settlement(KEY, None, keep_intent=True, events=(event("torn"),))])
    (entry,) = registry.threads.open_intents()
    assert entry.intent is not None


def test_missing_and_back(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    registry.settlements.settle(
        [Settlement(KEY, NOW + DAY, state=State.MISSING, events=(event("missing"),))]
    )
    (entry,) = registry.threads.select(state=State.MISSING)
    assert entry.missing_since == NOW
    assert list(registry.threads.due(NOW + 9 * DAY)) == []
    registry.settlements.settle([Settlement(KEY, NOW, state=State.ACTIVE)])
    assert next(registry.threads.due(NOW)).missing_since is None


def test_activity_revives_what_was_soft_deleted(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    registry.settlements.settle(
        [Settlement(KEY, NOW, state=State.SOFT_DELETED, soft_deleted_at=NOW)]
    )
    registry.settlements.settle([Settlement(KEY, NOW, state=State.ACTIVE)])
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.soft_deleted_at is None


def test_a_fresh_decision_may_say_nothing(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    registry.settlements.settle([Settlement(KEY, NOW, policy="old", due_at=NOW)])
    registry.settlements.settle([Settlement(KEY, NOW)])
    assert registry.threads.population() == {"old": 1}
    registry.settlements.settle([Settlement(KEY, NOW, decided=True)])
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert (entry.policy, entry.due_at, registry.threads.population()) == (None, None, {})


def test_claims_of_the_dead_are_taken_over(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    dead, living = Claimant("r1", "a"), Claimant("r2", "b")
    registry.claims.take(dead, NOW)
    assert registry.claims.take(living, NOW) == registry.claims.take_keys(living, [KEY]) == []
    assert registry.claims.release(dead) == 1
    (entry,) = registry.claims.take_keys(living, [KEY])
    assert entry.attempts == 0


def test_pages_of_due_rows_follow_on(registry: Registry) -> None:
    keys = [Key("main", kind, f"t{n}") for kind in Kind for n in range(5)]
    registry.registrations.add((Registration(key) for key in keys), NOW)
    registry.settlements.reschedule([(key, NOW - DAY, "p", NOW) for key in keys[3:9]])
    found = [entry.thread.key for entry in registry.threads.due(NOW, page_size=3)]
    assert found == sorted(keys[3:9]) + sorted({*keys} - {*keys[3:9]})
    by_policy = registry.threads.due(NOW, policy="p", page_size=3)
    assert [entry.thread.key for entry in by_policy] == sorted(keys[3:9])
    assert list(registry.threads.due(NOW - 2 * DAY)) == []


def test_who_holds_a_lock_that_is_waited_for_is_told_once(url: str, registry: Registry) -> None:
    told: list[str] = []
    wait = timedelta(milliseconds=300)
    with registry.lock(tell=told.append):
        assert told == [], "nothing was waited for"
        with (
            Registry.open(url) as other,
            pytest.raises(LockedError),
            other.lock(wait, tell=told.append),
        ):
            pass
    sqlite = f"process {os.getpid()} on {socket.gethostname()}"
    assert told == [sqlite if url.startswith("sqlite") else "another janitor"]
