"""Which points are died at: none is left out but what another stands for."""

from __future__ import annotations

from fail_points import chosen
from seams import Point

OPEN, LOOK = "registry/runs.py:start commit", "engine/review.py:look GET /conversations/*"
WRITE, SETTLE = "archive/local.py:write os.write", "registry/settlements.py:settle commit"
REMOVE, CLOSE = "engine/executor.py:remove DELETE /conversations/*", "registry/runs.py:close commit"


def come_by(*names: str) -> list[Point]:
    """What a run comes by that has these effects in this order."""
    seen: list[Point] = []
    for name in names:
        number = 1 + sum(point.name == name and point.moment == "before" for point in seen)
        seen += [Point(name, number, moment) for moment in ("before", "after")]
    return seen


RUN = come_by(OPEN, LOOK, WRITE, LOOK, REMOVE, LOOK, SETTLE, CLOSE)


def told(points: list[Point]) -> list[str]:
    return [f"{point.moment} {point.name}" for point in points]


def test_an_end_stands_for_the_next_beginning_and_for_what_only_reads_in_between() -> None:
    found = chosen(RUN, (), is_first=True, is_literal=False, on_file=True)
    assert told(found) == [
        f"before {WRITE}",
        f"after {WRITE}",
        f"after {REMOVE}",
        f"after {SETTLE}",
    ]


def test_literally_every_point_is_one() -> None:
    assert chosen(RUN, "whole", is_first=True, is_literal=True, on_file=True) == RUN


def test_around_the_thread_it_is_died_at_what_is_the_runs_own() -> None:
    found = chosen(RUN, (CLOSE,), is_first=True, is_literal=False, on_file=True)
    assert told(found)[-2:] == [f"after {SETTLE}", f"after {CLOSE}"]
    assert not any(OPEN in one for one in told(found))


def test_another_kind_dies_at_what_changes_its_container_and_at_the_settlement() -> None:
    found = chosen(RUN, (), is_first=False, is_literal=False, on_file=True)
    assert told(found) == [f"before {REMOVE}", f"after {REMOVE}", f"after {SETTLE}"]


def test_off_the_file_it_is_died_at_the_registrys_own() -> None:
    found = chosen(RUN, (), is_first=True, is_literal=False, on_file=False)
    assert told(found) == [f"before {SETTLE}", f"after {SETTLE}"]


def test_of_many_alike_the_first_the_last_and_one_in_between_are_died_at() -> None:
    run = come_by(LOOK, *[WRITE] * 9, SETTLE)
    found = chosen(run, (), is_first=True, is_literal=True, on_file=True)
    numbers = [
        point.occurrence for point in found if (point.name, point.moment) == (WRITE, "after")
    ]
    assert (numbers[0], len(numbers), numbers[-1]) == (1, 3, 9)


def test_a_run_that_settles_nothing_dies_at_its_own_alone() -> None:
    run = come_by(OPEN, CLOSE)
    assert chosen(run, (), is_first=True, is_literal=False, on_file=True) == []
    found = chosen(run, (CLOSE,), is_first=True, is_literal=False, on_file=True)
    assert {point.name for point in found} == {CLOSE}
