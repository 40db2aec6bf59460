"""Rows that nothing can be done with stand at the head of the queue, and starve nobody behind."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from health import SHARED_FIXTURE
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_world import DAY, NOW, World, enforced, matching, path_of

from janitor.emulator import Fault, How
from janitor.engine.settlement import FIRST_BACKOFF, LONGEST_BACKOFF, thread_backoff
from janitor.engine.sweep import Orders, SweepCursor
from janitor.model import Key, Kind, Mode, State
from janitor.policy.rules import Delete, Limits, Policy
from janitor.registry import Cursor, Entry, Pause, RunResult

STUCK = Policy("stuck", match=matching(stuck="yes"), delete=Delete(30 * DAY))
FREE = Policy("free", match=matching(stuck="no"), delete=Delete(30 * DAY))
HEAD, REST = 12, 5
FAULTS = {
    "slow": Fault(How.STATUS, status=500),
    "busy": Fault(How.STATUS, status=409, method="GET"),
}


def over_a_limit(world: World) -> None:
    world.policies = enforced(STUCK, FREE, limits=Limits(max_threads=REST + 1))


def audited(world: World) -> None:
    world.policies = enforced(replace(STUCK, mode=Mode.AUDIT), FREE)


def paused(world: World) -> None:
    world.registry.pauses.add(Pause("policy:stuck", "wait", "ops", world.now))


def not_served(world: World) -> None:
    world.kinds = frozenset(Kind) - {Kind.CHATKIT_THREAD}


def failing(world: World, *keys: Key) -> None:
    for key in keys:
        world.server.add_fault(replace(FAULTS["slow"], path=f"{path_of(key)}*"))


def queue(world: World, kind: Kind = Kind.THREAD) -> tuple[list[Key], list[Key]]:
    """Rows that are stuck, and behind them those that are not."""
    world.policies = enforced(STUCK, FREE)
    world.concurrency = 1
    head = [world.add(kind, items=0, metadata={"stuck": "yes"}) for _ in range(HEAD)]
    world.advance(timedelta(seconds=1))
    rest = [world.add(Kind.THREAD, items=0, metadata={"stuck": "no"}) for _ in range(REST)]
    world.advance(timedelta(seconds=1))
    return head, rest


def left(world: World, keys: list[Key]) -> int:
    return sum(world.state(key) is not State.DELETED for key in keys)


@pytest.mark.parametrize("stick", [over_a_limit, audited, paused, not_served])
@pytest.mark.parametrize("limit", [1, 4])
def test_a_limited_sweep_comes_to_what_is_behind(
    world: World, stick: Callable[[World], None], limit: int
) -> None:
    head, rest = queue(world, Kind.CHATKIT_THREAD if stick is not_served else Kind.THREAD)
    stick(world)
    sweeps = math.ceil((HEAD + REST) / limit)
    for _ in range(sweeps):
        world.sweep(Orders(limit=limit))
    assert left(world, rest) == 0
    assert left(world, head) == HEAD


def test_a_sweep_that_its_duration_cuts_short_goes_on_there(world: World) -> None:
    head, rest = queue(world)
    world.policies = enforced(
        replace(STUCK, mode=Mode.AUDIT), FREE, limits=Limits(max_duration=timedelta(minutes=5))
    )
    results = [slow_sweep(world, head + rest) for _ in range(math.ceil((HEAD + REST) / 5) + 1)]
    assert results[0] is RunResult.PARTIAL
    assert left(world, rest) == 0


def slow_sweep(world: World, keys: list[Key]) -> RunResult | None:
    """A sweep of which each look takes a minute."""
    world.hooks.clear()
    for key in keys:
        world.on("GET", path_of(key), lambda: world.advance(timedelta(minutes=1)))
    return world.sweep().run.result


def test_a_sweep_that_was_stopped_goes_on_behind(world: World) -> None:
    head, rest = queue(world)
    world.policies = enforced(STUCK, FREE, limits=Limits(max_errors=HEAD))
    failing(world, *head)
    first = world.sweep()
    assert [stop.limit for stop in first.stops] == ["max_errors"]
    assert left(world, rest) == REST
    world.sweep()
    assert left(world, rest) == 0


def test_removals_that_cannot_be_settled_hold_nothing_up(world: World) -> None:
    world.policies = enforced(STUCK, FREE, limits=Limits(max_errors=HEAD))
    world.concurrency = 1
    head = [world.add(Kind.THREAD, items=0, metadata={"stuck": "yes"}) for _ in range(HEAD)]
    for key in head:
        world.server.add_fault(replace(FAULTS["slow"], method="DELETE", path=path_of(key)))
    world.sweep()
    assert {world.state(key) for key in head} == {State.DELETING}
    failing(world, *head)  # from now on they answer nothing at all
    rest = [world.add(Kind.THREAD, items=0, metadata={"stuck": "no"}) for _ in range(REST)]
    for _ in range(2):
        world.sweep()
        world.advance(timedelta(minutes=1))
    assert left(world, rest) == 0
    assert {world.state(key) for key in head} == {State.DELETING}


def test_busy_threads_hold_nothing_up_and_rest_ever_longer(world: World) -> None:
    head, rest = queue(world)
    for key in head:
        world.server.add_fault(replace(FAULTS["busy"], path=f"{path_of(key)}*"))
    world.sweep()
    assert left(world, rest) == 0
    assert {world.entry(key).attempts for key in head} == {1}
    again = {world.entry(key).review_at for key in head}
    assert min(one for one in again if one) >= world.now + FIRST_BACKOFF - timedelta(seconds=1)


def test_a_stop_is_gone_on_from(world: World) -> None:
    head, rest = queue(world)
    audited(world)
    stop = threading.Event()
    world.on("GET", path_of(head[-1]), stop.set)
    world.sweep(stop=stop)
    seen = len(world.server.log)
    world.sweep(Orders(limit=REST))
    assert left(world, rest) == 0
    assert len(world.server.log) > seen


def test_each_policy_that_is_swept_alone_has_a_round_of_its_own(world: World) -> None:
    _, rest = queue(world)
    audited(world)
    for _ in range(HEAD + REST):
        world.sweep(Orders(limit=1))
        world.sweep(Orders("stuck", limit=1))
    assert left(world, rest) == 0


@given(attempts=st.integers(0, 1000))
def test_the_rest_after_a_failure_doubles_up_to_a_day(attempts: int) -> None:
    assert thread_backoff(attempts) == min(FIRST_BACKOFF * 2 ** min(attempts, 20), LONGEST_BACKOFF)


@settings(suppress_health_check=SHARED_FIXTURE, deadline=None)
@given(
    due=st.integers(0, 12),
    missing=st.integers(0, 6),
    limits=st.lists(st.integers(1, 5), min_size=1, max_size=40),
)
def test_rounds_come_to_everything_in_turn(
    world: World, due: int, missing: int, limits: list[int]
) -> None:
    """However few each may look at, no entry is seen twice before all others were seen once."""
    entry = world.entry(world.add())
    lines = [named(entry, f"d{n:02}") for n in range(due)]
    lost = [named(entry, f"m{n}", State.MISSING) for n in range(missing)]

    def due_after(place: Cursor | None) -> Iterator[Entry]:
        return (one for one in lines if place is None or one.thread.key > place.key)

    def missing_after(place: Key | None) -> Iterator[Entry]:
        return (one for one in lost if place is None or one.thread.key > place)

    world.registry.key_values.remember("round_", "")
    seen: list[str] = []
    taken: set[str] = set()
    for limit in limits:
        around = SweepCursor(world.registry, None)
        taken.clear()  # no run is given a thread twice
        entries = around.entries(
            lambda place: not_in(taken, due_after(place)),
            lambda place: not_in(taken, missing_after(place)),
            limit,
            lambda: False,
        )
        for one in entries:
            taken.add(one.thread.key.id)
            seen.append(one.thread.key.id)
        around.end(whole=False)
    number = due + missing
    for start in range(len(seen) - number + 1):
        window = seen[start : start + number]
        assert len(set(window)) == number


def not_in(taken: set[str], entries: Iterator[Entry]) -> Iterator[Entry]:
    return (one for one in entries if one.thread.key.id not in taken)


def named(entry: Entry, name: str, state: State = State.ACTIVE) -> Entry:
    key = replace(entry.thread.key, id=name)
    return replace(entry, review_at=NOW, thread=replace(entry.thread, key=key, state=state))
