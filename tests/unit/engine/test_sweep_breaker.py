"""The breaker: what stops a project, what never does, and that it stays stopped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from janitor.engine.breaker import LEAST_MISSING, Breaker, FailureTally, Stop
from janitor.policy.rules import Limits

ANSWERS = st.lists(st.sampled_from(["answered", "missed", "failed"]), max_size=200)


def told(answers: list[str], limits: Limits | None = None) -> Breaker:
    """A breaker that is doubted as soon as it must be judged."""
    breaker = Breaker("main", limits or Limits())
    for answer in answers:
        getattr(breaker, answer)()
        if answer == "missed" and breaker.must_be_judged:
            breaker.doubt("no other answers")
    return breaker


@given(st.lists(st.just("answered"), max_size=300))
def test_answers_never_stop_it(answers: list[str]) -> None:
    assert told(answers).stop is None


@given(ANSWERS)
def test_it_stops_exactly_when_a_limit_is_passed(answers: list[str]) -> None:
    streak = missing = asked = 0
    stopped = False
    for answer in answers:
        streak = streak + 1 if answer == "failed" else 0
        asked += answer != "failed"
        missing += answer == "missed"
        too_many = missing >= LEAST_MISSING and missing * 5 > asked
        stopped = stopped or streak >= 10 or (answer == "missed" and too_many)
    assert (told(answers).stop is not None) is stopped


@given(ANSWERS, ANSWERS)
def test_what_stopped_it_first_is_what_is_told(before: list[str], after: list[str]) -> None:
    first = told(before).stop
    both = told([*before, *after]).stop
    assert first is None or both == first


@given(st.integers(0, LEAST_MISSING - 1), st.integers(0, 50))
def test_a_few_missing_never_stop_it(missing: int, answered: int) -> None:
    assert told(["missed"] * missing + ["answered"] * answered).stop is None


@given(st.integers(1, 40))
def test_an_empty_account_stops_it_after_five(limit: int) -> None:
    breaker = told(["missed"] * LEAST_MISSING, Limits(max_missing_percent=limit))
    assert breaker.stop is not None
    assert (breaker.stop.limit, breaker.stop.exit_code) == ("missing", 4)
    assert "api_key" in breaker.stop.message
    assert not breaker.stop.looks_on


@given(st.integers(0, LEAST_MISSING), st.integers(0, 20))
def test_what_other_janitors_found_missing_counts_too(own: int, answered: int) -> None:
    breaker = told([])
    breaker.hear(FailureTally(LEAST_MISSING - own + answered, LEAST_MISSING - own))
    assert not breaker.must_be_judged or own == 0
    for _ in range(own):
        breaker.missed()
    assert breaker.must_be_judged is (LEAST_MISSING + answered < LEAST_MISSING * 5)


def test_what_is_gone_is_told_with_the_numbers_of_the_end() -> None:
    breaker = told([])
    for _ in range(LEAST_MISSING):
        breaker.missed()
    breaker.gone()
    breaker.missed()
    assert breaker.stop is not None
    assert "6 of 6" in breaker.stop.message
    assert "janitor missing accept --project main" in breaker.stop.message
    assert (breaker.stop.looks_on, breaker.must_be_judged) == (True, False)


def test_what_is_gone_may_come_to_be_doubted_but_not_the_other_way() -> None:
    breaker = told([])
    breaker.gone()
    breaker.doubt("no other answers")
    breaker.gone()
    assert breaker.stop is not None
    assert breaker.stop.limit == "missing"


def test_another_janitors_stop_is_heeded_as_it_was() -> None:
    stop = Stop("main", "unauthorised", "the key was refused", 3)
    for first in (stop, Stop("main", "gone", "five are gone", 4)):
        breaker = told([])
        breaker.heed(first)
        breaker.heed(stop)
        assert breaker.stop == stop


def test_a_refused_credential_stops_it_at_once_and_is_told_as_it_was() -> None:
    breaker = told([])
    breaker.unauthorised("fix the key")
    assert breaker.stop is not None
    assert (breaker.stop.message, breaker.stop.exit_code) == ("fix the key", 3)


def test_one_success_between_failures_starts_the_count_anew() -> None:
    nearly = ["failed"] * 9
    assert told([*nearly, "answered", *nearly]).stop is None
    assert told([*nearly, "failed"]).stop is not None
