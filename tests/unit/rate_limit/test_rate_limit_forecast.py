"""How long calls take: the forecast of a bucket is held to the bucket itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rate_limit_world import BEGIN

from janitor.rate_limit.forecast import (
    LATENCY,
    Origin,
    Pace,
    View,
    forecast,
    seconds_for,
    tokens,
)
from janitor.rate_limit.limiter import (
    Allowance,
    Level,
    Verb,
    passed,
    refused,
    started,
    take,
)

VERBS = st.sampled_from(Verb)
NUMBERS = st.integers(0, 4000)
ALLOWANCES: st.SearchStrategy[Allowance] = st.one_of(
    st.just("auto"), st.just("unlimited"), st.floats(1, 5000)
)


@st.composite
def paces(draw: st.DrawFn) -> Pace:
    verb, allowance = draw(VERBS), draw(ALLOWANCES)
    level = started(Level(), verb)
    if draw(st.booleans()):
        level = passed(level, draw(st.floats(20, 2000)), BEGIN)
    elif draw(st.booleans()):
        level = refused(passed(level, None, BEGIN, draw(st.integers(0, 500))), BEGIN, BEGIN)
    return Pace(verb, allowance, level)


def taken(calls: int, pace: Pace) -> float:
    """The seconds until so many tokens were taken, where each call is let through at once."""
    level, now = pace.level, BEGIN
    for _ in range(calls):
        while True:
            level, wait = take(level, pace.allowance, now)
            if not wait:
                break
            now += wait
        if pace.allowance == "auto":
            level = passed(level, None, now)
    return now - BEGIN


@given(paces(), st.integers(0, 1500))
def test_the_best_case_is_what_a_bucket_does_that_is_never_refused(pace: Pace, calls: int) -> None:
    said = seconds_for(calls, pace, BEGIN, View.BEST)
    assert said == pytest.approx(taken(calls, pace), rel=0.1, abs=2)


@given(paces(), NUMBERS)
def test_the_likely_case_lies_between_the_best_and_the_worst(pace: Pace, calls: int) -> None:
    best, likely, worst = (seconds_for(calls, pace, BEGIN, view) for view in View)
    assert 0 <= best <= likely <= worst


@given(paces(), NUMBERS, NUMBERS)
def test_more_calls_take_no_less_time(pace: Pace, calls: int, more: int) -> None:
    assert seconds_for(calls, pace, BEGIN) <= seconds_for(calls + more, pace, BEGIN) + 1e-6


@given(st.dictionaries(VERBS, NUMBERS), st.integers(1, 64), st.floats(0, 5))
def test_what_takes_longest_binds(calls: dict[Verb, int], concurrency: int, latency: float) -> None:
    known = {verb: Pace(verb, "auto", started(Level(), verb)) for verb in Verb}
    end = forecast(calls, known, now=BEGIN, concurrency=concurrency, latency=latency)
    waits = {verb: seconds_for(number, known[verb], BEGIN) for verb, number in calls.items()}
    answers = latency * sum(calls.values()) / concurrency
    assert end.seconds == pytest.approx(max([answers, *waits.values()]))
    if end.binds is None:
        assert end.seconds == pytest.approx(answers)
    else:
        assert waits[end.binds] == end.seconds > 0


def test_one_long_thread_takes_as_long_as_its_calls_one_after_the_other() -> None:
    known = {verb: Pace(verb, "unlimited", Level()) for verb in Verb}
    end = forecast({Verb.READ: 40}, known, now=BEGIN, concurrency=32, longest=40)
    assert (end.seconds, end.binds) == (40 * LATENCY, None)


@pytest.mark.parametrize(
    ("allowance", "level", "origin"),
    [
        (300.0, Level(), Origin.CONFIGURED),
        ("unlimited", Level(), Origin.CONFIGURED),
        ("auto", Level(), Origin.START),
        ("auto", Level(cap=150.0), Origin.FOUND),
        ("auto", refused(Level(), BEGIN, BEGIN), Origin.FOUND),
    ],
)
def test_a_rate_says_where_it_comes_from(
    allowance: Allowance, level: Level, origin: Origin
) -> None:
    assert Pace(Verb.DELETE, allowance, level).origin is origin


@given(st.floats(0, 120))
def test_a_bucket_that_was_used_holds_fewer_calls(seconds: float) -> None:
    level = Level()
    for _ in range(120):
        level, _ = take(level, "auto", BEGIN)
    assert tokens(level, "auto", BEGIN) < 1
    assert tokens(level, "auto", BEGIN + seconds) == pytest.approx(min(120, 2 * seconds), abs=1)
