"""Replicas on one PostgreSQL count what is missing together: none has to find five by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fleet import Replicas
from world import NOW

from janitor.engine.breaker import Breaker, FailureTally
from janitor.engine.missing import share
from janitor.model import Key, Kind
from janitor.policy.rules import Limits
from janitor.registry import Registration, Registry

EACH = 3


def test_two_that_find_three_each_have_found_six(replicas: Replicas) -> None:
    run = replicas.registry.runs.start("sweep", "enforce", "", NOW).id
    with Registry.open(replicas.url) as other:
        ends = [(one, one.claims.claimant(run)) for one in (replicas.registry, other)]
        own = FailureTally(2 * EACH, EACH)
        heard = [share(registry, by, "main", own) for registry, by in ends * 2]
    assert heard == [FailureTally(), own, own, own]
    breaker = Breaker("main", Limits())
    breaker.hear(heard[-1])
    for _ in range(EACH):
        breaker.missed()
    assert breaker.must_be_judged


def test_a_later_run_begins_to_count_anew(replicas: Replicas) -> None:
    registry = replicas.registry
    for number in range(2):
        run = registry.runs.start("sweep", "enforce", "", NOW).id
        by, beside = registry.claims.claimant(run), registry.claims.claimant(run)
        assert share(registry, by, "main", FailureTally(9, number)) == FailureTally()
        assert share(registry, beside, "main", FailureTally()) == FailureTally(9, number)


def test_counts_told_at_one_moment_are_all_heard(replicas: Replicas) -> None:
    registry = replicas.registry
    run = registry.runs.start("sweep", "enforce", "", NOW).id
    start = threading.Barrier(4)

    def telling() -> Callable[[], FailureTally]:
        by = registry.claims.claimant(run)

        def tell() -> FailureTally:
            start.wait()
            return share(registry, by, "main", FailureTally(1, 1))

        return tell

    with ThreadPoolExecutor(4) as pool:
        heard = [one.result() for one in [pool.submit(telling()) for _ in range(4)]]
    assert sorted(one.missing for one in heard) == [0, 1, 2, 3]


def test_an_empty_account_stops_two_replicas_and_nothing_changes(replicas: Replicas) -> None:
    world = replicas.world
    keys = [Key("main", Kind.CONVERSATION, f"conv_nowhere_{n:04d}") for n in range(1000)]
    replicas.registry.registrations.add((Registration(key, NOW, NOW) for key in keys), NOW)
    working = [world.start("sweep") for _ in range(2)]
    ends = [process.communicate()[1].decode() for process in working]
    world.started.clear()
    assert {process.returncode for process in working} == {4}, ends
    assert all("A wrong key or endpoint looks exactly like this" in said for said in ends)
    assert world.changes == []
    states = {state: n for (_, _, state), n in replicas.registry.threads.states().items() if n}
    assert states == {"active": 1000}
    assert list(replicas.registry.threads.unknown_upstream()) == []
    assert len(world.emulator.log) < 100
