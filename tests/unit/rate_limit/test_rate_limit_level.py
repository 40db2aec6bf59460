from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rate_limit_world import BEGIN, MINUTE

from janitor.rate_limit.limiter import (
    FLOOR,
    START,
    Allowance,
    Level,
    Verb,
    passed,
    per_minute,
    refused,
    take,
)
from janitor.rate_limit.state import LimiterState, read, written

RATES = st.one_of(st.just("auto"), st.floats(0.5, 5000))
STEPS = st.lists(st.floats(0, 90), min_size=1, max_size=60)


def admitted(allowance: Allowance, steps: list[float]) -> tuple[list[float], list[float]]:
    """When tokens were taken, asking three times at each step, and at which rates."""
    level, now, taken, rates = Level(), BEGIN, [], []
    for step in steps:
        now += step
        for _ in range(3):
            level, wait = take(level, allowance, now)
            if not wait:
                taken.append(now)
                level = passed(level, None, now)
            rates.append(per_minute(level, allowance) or 0)
    return taken, rates


@given(RATES, STEPS)
def test_no_window_holds_more_than_the_rate_and_the_burst(
    allowance: Allowance, steps: list[float]
) -> None:
    taken, rates = admitted(allowance, steps)
    burst = START if allowance == "auto" else max(1, max(rates) * 0.01)
    for first, at in enumerate(taken):
        for count, last in enumerate(taken[first:], 1):
            assert count <= max(rates) * (last - at) / MINUTE + burst + 0.01


@given(st.floats(1, 5000), STEPS)
def test_no_minute_holds_more_than_a_fixed_rate(rate: float, steps: list[float]) -> None:
    taken, _ = admitted(rate, steps)
    for first in taken:
        assert sum(first <= at < first + MINUTE for at in taken) <= math.ceil(rate)


@given(RATES, st.floats(-1e6, 1e6))
def test_after_the_wait_that_is_told_there_is_a_token(allowance: Allowance, jump: float) -> None:
    """Even where the clock was set in between."""
    level, now = Level(), BEGIN
    for _ in range(200):
        level, wait = take(level, allowance, now)
    level, wait = take(level, allowance, now + jump)
    level, again = take(level, allowance, now + jump + wait)
    assert not wait or not again
    assert wait <= 2 * MINUTE + MINUTE / 0.49


@given(st.lists(st.tuples(st.floats(0, 200), st.booleans()), max_size=80))
def test_a_rate_is_never_below_the_floor_and_grows_by_a_tenth_at_most(
    answers: list[tuple[float, bool]],
) -> None:
    level, now, rates = Level(), BEGIN, [START]
    for step, limited in answers:
        now += step
        level, _ = take(level, "auto", now)
        level = refused(level, now, now) if limited else passed(level, None, now)
        rates.append(level.rate)
    assert min(rates) >= FLOOR
    for before, after in pairwise(rates):
        known = level.found is not None or after <= before * 1.1001
        assert known


def test_one_pause_halves_once() -> None:
    level = refused(Level(), BEGIN, BEGIN)
    assert level.rate == START / 2
    late = refused(level, BEGIN - 1, BEGIN + 1)
    assert late.rate == START / 2
    again = refused(level, BEGIN + 5, BEGIN + 5)
    assert again.rate == START / 2
    anew = refused(passed(level, None, BEGIN + 6), BEGIN + 7, BEGIN + 7)
    assert anew.rate == START / 4


def test_a_limit_that_is_named_caps_at_half() -> None:
    level = passed(Level(), 100.0, BEGIN)
    assert (level.rate, level.cap) == (50.0, 50.0)
    for minute in range(1, 30):
        for _ in range(200):
            level, _ = take(level, "auto", BEGIN + minute * 61)
        level = passed(level, None, BEGIN + minute * 61)
    assert level.rate == 50.0


def test_a_level_is_read_back_and_nonsense_is_a_fresh_one() -> None:
    level, _ = take(refused(passed(Level(), 900.0, BEGIN), BEGIN, BEGIN), "auto", BEGIN)
    account = LimiterState().with_level(Verb.DELETE, level)
    assert read(written(account)) == account
    for text in (None, "", "nonsense", "[]", '{"of": "another version"}', "3"):
        assert read(text) == LimiterState()


@pytest.mark.parametrize(("allowance", "rate"), [("unlimited", None), (300.0, 300.0)])
def test_what_is_not_auto_is_as_it_was_set(allowance: Allowance, rate: float | None) -> None:
    assert per_minute(Level(), allowance) == rate
