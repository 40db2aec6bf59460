"""What a walk would add and miss, told without a word in the registry."""

from __future__ import annotations

from datetime import timedelta

import pytest
from discovery_world import Lists, either, lists
from hypothesis import given
from hypothesis import strategies as st

from janitor.emulator import How
from janitor.errors import RefusedError
from janitor.model import Kind
from janitor.registry import Registry
from janitor.sources.discovery import AGAIN_AFTER, Cycle, Passes

__all__ = ["either", "lists"]


def test_a_preview_counts_and_writes_nothing(either: Lists) -> None:
    ids = either.fill(150)
    either.register(*ids[:20], "sess_gone", "sess_lost")
    before = either.known()
    with Registry.open(either.url, read_only=True) as only_read:
        writable, either.registry = either.registry, only_read
        found = either.preview()
        either.registry = writable
    assert (found.listed, found.registered.added, found.registered.unchanged) == (150, 130, 20)
    assert (found.absent, found.is_whole) == (2, True)
    assert (either.known(), either.registry.scans.cursor(found.place.round)) == (before, None)


def test_what_a_preview_counts_is_what_a_walk_adds(lists: Lists) -> None:
    ids = lists.fill(120)
    lists.register(*ids[::3], "sess_gone")
    lists.server.clock.advance(timedelta(minutes=1))
    foreseen, (done, _) = lists.preview(), lists.discover()
    assert (foreseen.registered.added, foreseen.absent) == (80, 1)
    assert (done.registered.added, done.absent) == (80, 1)


def test_a_preview_finds_out_that_a_list_comes_back(lists: Lists) -> None:
    lists.fill(250)
    lists.fault(How.IGNORE_AFTER)
    found = lists.preview()
    assert isinstance(found.failure, RefusedError)
    assert (found.is_whole, found.absent) == (False, 0)
    assert lists.asked() <= 4


def test_a_preview_of_a_server_that_does_not_list_is_no_failure(lists: Lists) -> None:
    lists.server.lists_all = False
    found = lists.preview(Kind.CONVERSATION)
    assert (found.is_listed, found.is_whole, found.failure) == (False, False, None)


@given(st.integers(0, 60), st.integers(1, 60))
def test_a_cycle_of_any_shape_is_found_within_thrice_its_way(tail: int, length: int) -> None:
    cycle, steps = Cycle(), 0
    while not cycle.closes(str(steps if steps < tail else tail + (steps - tail) % length)):
        steps += 1
        assert steps <= 3 * (tail + length)
    assert steps >= length


@given(st.lists(st.text(), unique=True))
def test_what_never_comes_again_is_no_cycle(cursors: list[str]) -> None:
    cycle = Cycle()
    assert not any(cycle.closes(cursor) for cursor in cursors)


def test_a_pass_is_due_once_a_day_or_where_one_was_cut_short(lists: Lists) -> None:
    passes, now = Passes(lists.registry, "r", "a1"), lists.now
    assert passes.is_due(now)
    assert passes.begin(now) is None
    passes.end(now)
    assert not passes.is_due(now + AGAIN_AFTER - timedelta(seconds=1))
    assert passes.is_due(now + AGAIN_AFTER)
    lists.registry.scans.take("r", [], now, cursor="sess_1")
    assert passes.is_due(now)
    assert passes.begin(now) == "sess_1"


@pytest.mark.parametrize("access", ["a1", "a2"])
def test_a_pass_that_is_taken_up_keeps_its_time(lists: Lists, access: str) -> None:
    begun = lists.now
    passes = Passes(lists.registry, "r", "a1")
    passes.begin(begun)
    lists.registry.scans.take("r", [], begun, cursor="sess_1")
    later = Passes(lists.registry, "r", access)
    resumed = later.begin(begun + timedelta(days=3))
    assert resumed == ("sess_1" if access == "a1" else None)
    assert later.begun_at == (begun if access == "a1" else begun + timedelta(days=3))
