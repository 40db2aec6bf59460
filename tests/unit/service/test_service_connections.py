"""Which connection ends, and what is told of it: the pure part, with the time passed in."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from janitor.service.server import Bounds, Cause, Phase, Refusals, RequestProgress, surplus

TIMES = st.floats(0, 100)
CONNECTIONS = st.dictionaries(
    st.integers(), st.builds(RequestProgress, st.sampled_from(Phase), TIMES), max_size=12
)
BOUNDS = st.builds(
    Bounds, st.integers(6, 10), st.integers(1, 6), *(st.floats(0.1, 50) for _ in range(3))
)


@given(CONNECTIONS, BOUNDS)
def test_just_so_many_end_that_the_bound_holds(
    connections: dict[int, RequestProgress], bounds: Bounds
) -> None:
    ended = surplus(connections, bounds)
    working = sum(one.phase is Phase.WORK for one in connections.values())
    refused = max(0, working - bounds.requests)  # and soon gone
    assert len(set(ended)) == len(ended)
    assert len(ended) == max(0, len(connections) - refused - bounds.connections)


@given(CONNECTIONS, BOUNDS)
def test_the_longest_wait_for_a_peer_ends_first_and_no_request_in_progress(
    connections: dict[int, RequestProgress], bounds: Bounds
) -> None:
    keys = surplus(connections, bounds)
    ended = [connections[key] for key in keys]
    stayed = [one for key, one in connections.items() if key not in keys]
    assert all(one.phase is not Phase.WORK for one in ended)
    waits = [one.since for one in ended]
    assert waits == sorted(waits)
    left = [one.since for one in stayed if one.phase is not Phase.WORK]
    assert not waits or not left or max(waits) <= min(left)


@given(CONNECTIONS, BOUNDS, TIMES)
def test_a_newcomer_stays_though_all_others_are_at_work(
    connections: dict[int, RequestProgress], bounds: Bounds, now: float
) -> None:
    working = {key: RequestProgress(Phase.WORK, one.since) for key, one in connections.items()}
    fewer = replace(bounds, requests=bounds.connections - 1)
    assert surplus({**working, -1: RequestProgress(Phase.REQUEST, now)}, fewer) == []


@given(TIMES, TIMES, BOUNDS)
def test_whoever_is_waited_for_has_its_time_and_no_more(
    since: float, now: float, bounds: Bounds
) -> None:
    waited = {
        Phase.REQUEST: bounds.request,
        Phase.BODY: bounds.body,
        Phase.ANSWER: bounds.answer,
    }
    for phase, seconds in waited.items():
        assert RequestProgress(phase, since).is_overdue(now, bounds) is (now - since >= seconds)
    assert not RequestProgress(Phase.WORK, since).is_overdue(now, bounds)


@given(st.integers(-1, 2**40))
def test_most_descriptors_are_left_to_the_sweep(descriptors: int) -> None:
    bounds, usual = Bounds.within(descriptors), Bounds()
    assert 0 < bounds.requests < bounds.connections <= usual.connections
    if descriptors >= 32:
        assert bounds.connections <= descriptors / 4
    if descriptors < 0 or descriptors >= 1024:
        assert bounds == usual


@given(st.lists(st.tuples(TIMES, st.lists(st.sampled_from(Cause)))), st.floats(0.1, 50))
def test_every_refusal_is_told_once_and_seldom(
    steps: list[tuple[float, list[Cause]]], every: float
) -> None:
    refusals, told, said = Refusals(every), [], ""
    for now, causes in sorted(steps, key=lambda step: step[0]):
        for cause in causes:
            refusals.count(cause)
        if (message := refusals.message(now)) is not None:
            told.append(now)
            said += message
    said += refusals.message(200, last=True) or ""
    assert all(later - early >= every for early, later in pairwise(told))
    for cause in Cause:
        numbers = [int(part.split()[-1]) for part in said.split(f" {cause}")[:-1]]
        assert sum(numbers) == sum(causes.count(cause) for _, causes in steps)


def test_a_refusal_is_told_at_once_and_by_its_cause() -> None:
    refusals = Refusals()
    assert refusals.message(0) is None
    for cause in (Cause.ROOM, Cause.LATE, Cause.ROOM):
        refusals.count(cause)
    assert refusals.message(5) == (
        "HTTP: 2 closed to make room for newer connections, 1 closed because no complete request "
        "arrived in time"
    )
    refusals.count(Cause.LATE)
    assert refusals.message(64) is None
    assert refusals.message(65) == "HTTP: 1 closed because no complete request arrived in time"
    assert refusals.message(200) is None
