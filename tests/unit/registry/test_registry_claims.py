from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from janitor.model import Key, Kind, State
from janitor.registry import Claimant, Cursor, Event, Intent, Registration, Registry, Settlement

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEYS = [Key("main", Kind.THREAD, f"t{n}") for n in range(6)]
A, B, NEXT = Claimant("r1", "a"), Claimant("r1", "b"), Claimant("r2", "c")


@pytest.fixture
def due(registry: Registry) -> Registry:
    registry.registrations.add([Registration(key) for key in KEYS], NOW)
    return registry


def names(registry: Registry, by: Claimant, limit: int = 100) -> list[str]:
    return [entry.thread.key.id for entry in registry.claims.take(by, NOW, limit=limit)]


def test_pages_are_shared_and_no_thread_is_claimed_twice(due: Registry) -> None:
    assert names(due, A, limit=2) == ["t0", "t1"]
    assert names(due, B, limit=2) == ["t2", "t3"]
    first = due.claims.take(A, NOW, limit=1)[0]
    assert first.thread.key.id == "t4"
    assert [e.thread.key.id for e in due.claims.take(B, NOW, after=Cursor.of(first))] == ["t5"]
    assert names(due, A) == names(due, NEXT) == []
    assert not due.claims.is_exhausted("r1", NOW)


def test_what_a_run_is_done_with_is_not_claimed_by_it_again(due: Registry) -> None:
    due.claims.take(A, NOW)
    due.settlements.settle([Settlement(KEYS[0], NOW)], A)
    due.claims.pass_by(A, KEYS[1:])
    assert names(due, A) == names(due, B) == []
    assert due.claims.is_exhausted("r1", NOW)
    assert not due.claims.is_exhausted("r2", NOW)
    assert len(names(due, NEXT)) == len(KEYS)


def test_what_may_be_claimed_again_or_is_released_is_free_at_once(due: Registry) -> None:
    due.claims.take(A, NOW, limit=2)
    due.settlements.settle([Settlement(KEYS[0], NOW, claim_again=True)], A)
    assert due.claims.release(A) == 1
    assert names(due, B, limit=2) == ["t0", "t1"]


def test_nobody_else_writes_what_is_claimed(due: Registry) -> None:
    due.claims.take(A, NOW, limit=1)
    due.claims.take(B, NOW, limit=1)
    line = Event("r1", NOW, KEYS[0], "kept")
    said = [Settlement(KEYS[0], None, events=(line,)), Settlement(KEYS[1], NOW + DAY)]
    assert due.settlements.settle(said, B) == {KEYS[0]}
    assert due.runs.history(KEYS[0]) == []
    assert next(due.threads.due(NOW)).thread.key == KEYS[0]
    intents = [Intent(key, "r1", NOW, "p") for key in KEYS[:2]]
    assert due.settlements.intend(intents, A) == {KEYS[1]}
    assert [entry.thread.key for entry in due.threads.open_intents()] == [KEYS[0]]
    due.claims.pass_by(B, [KEYS[0]])
    assert due.settlements.settle([Settlement(KEYS[0], NOW, state=State.ACTIVE)], A) == frozenset()


def test_a_claim_is_kept_over_several_steps(due: Registry) -> None:
    due.claims.take(A, NOW, limit=1)
    assert due.settlements.settle([Settlement(KEYS[0], NOW, keep_claim=True)], A) == frozenset()
    assert due.settlements.settle([Settlement(KEYS[0], NOW)], A) == frozenset()
    assert due.settlements.settle([Settlement(KEYS[0], NOW)], A) == {KEYS[0]}


def test_the_missing_and_what_was_being_deleted_are_claimed_too(due: Registry) -> None:
    due.settlements.settle([Settlement(KEYS[0], NOW, state=State.MISSING)])
    due.settlements.settle([Settlement(KEYS[1], NOW + DAY, state=State.MISSING)])
    due.settlements.intend([Intent(key, "r0", NOW, "p") for key in KEYS[2:4]])
    assert [e.thread.key for e in due.claims.take_missing(A, NOW)] == [KEYS[0]]
    assert [e.thread.key for e in due.claims.take_intents(A, limit=1)] == [KEYS[2]]
    assert [e.thread.key for e in due.claims.take_intents(B)] == [KEYS[3]]
    assert due.claims.take_intents(NEXT) == due.claims.take_missing(NEXT, NOW) == []


def test_only_what_is_free_is_claimed_by_name(due: Registry) -> None:
    due.claims.take(A, NOW, limit=1)
    due.settlements.settle([Settlement(KEYS[1], None, tombstone=True)])
    assert [e.thread.key for e in due.claims.take_keys(NEXT, KEYS[:3])] == [KEYS[2]]


def test_what_dead_owners_held_is_freed(due: Registry) -> None:
    due.claims.take(A, NOW, limit=2)
    assert due.claims.release_abandoned() == (2 if due.lease is None else 0)
    assert due.claims.release(A) == (0 if due.lease is None else 2)
    assert len(names(due, B)) == len(KEYS)


def test_a_lease_that_is_over_is_anothers(postgres_url: str) -> None:
    with (
        Registry.open(postgres_url, lease=timedelta(0)) as late,
        Registry.open(postgres_url) as registry,
    ):
        late.registrations.add([Registration(key) for key in KEYS], NOW)
        late.claims.take(A, NOW, limit=3)
        assert late.claims.renew(A) == 0
        assert names(registry, B, limit=2) == ["t0", "t1"]
        lost = late.settlements.settle([Settlement(key, NOW) for key in KEYS[:3]], A)
        assert lost == set(KEYS[:3])
        assert registry.claims.renew(B) == 2
        assert registry.claims.release_abandoned() == 1


def test_many_claim_at_once_and_each_thread_has_one_owner(url: str) -> None:
    keys = [Key("main", Kind.THREAD, f"t{n}") for n in range(300)]
    found: list[Key] = []

    def work(by: Claimant) -> None:
        with Registry.open(url) as registry:
            while page := registry.claims.take(by, NOW, limit=7):
                found.extend(entry.thread.key for entry in page)

    with Registry.open(url) as registry:
        registry.registrations.add([Registration(key) for key in keys], NOW)
    threads = [Thread(target=work, args=(Claimant("r1", f"o{n}"),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(keys)


def test_a_sweep_is_told_to_those_who_join(registry: Registry) -> None:
    assert registry.runs.current_sweep() is None
    registry.runs.start("apply 1234", "enforce", "d", NOW)
    run = registry.runs.start("sweep", "enforce", "d", NOW)
    assert registry.runs.current_sweep() == run
    tripped: dict[str, str | int] = {"limit": "max_percent", "policy": "p", "due": 9}
    ready = registry.runs.mark_ready(run.id, [tripped], NOW)
    registry.runs.note_stop(run.id, {"project": "main"})
    assert (ready.ready_at, ready.tripped) == (NOW, (tripped,))
    found = registry.runs.current_sweep()
    assert found is not None
    assert found.stops == ({"project": "main"},)
