from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from policy_facts import archive, days, delete, lifetime, policies, soft, trim

from janitor.policy import CEILING, VANISHED, Policies, Policy, Tripped, allowed_share, tripped
from janitor.policy.rules import Limits

SLOW = Policy("p", archive=archive(1), delete=delete(30))
WEEK = Policy("p", soft_delete=soft(7), delete=delete(30))


def limited(rule: Policy, **limits: float | int) -> Policies:
    return replace(policies(rule), limits=Limits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "since", "share"),
    [
        (SLOW, None, Fraction(1, 10)),
        (SLOW, days(1), Fraction(1, 10)),
        (SLOW, days(3), Fraction(1, 5)),
        (WEEK, days(1), Fraction(2, 7)),
        (WEEK, days(2), Fraction(4, 7)),
        (WEEK, days(30), Fraction(1)),
        (WEEK, days(-9), Fraction(1, 10)),
        (Policy("p", delete=delete(30), trim=trim(5, 4)), days(1), Fraction(1, 2)),
        (Policy("p", delete=delete(None), trim=trim(5)), days(9), Fraction(1, 10)),
        (Policy("p", delete=delete(30), max_percent=40), days(1), Fraction(2, 5)),
        (Policy("p", delete=delete(30), max_percent=0), None, Fraction(0)),
    ],
)
def test_the_allowed_share(rule: Policy, since: timedelta | None, share: Fraction) -> None:
    assert allowed_share(policies(rule), "p", since) == share


def test_the_ceiling_counts_as_a_policy_of_its_age() -> None:
    given = policies(life=lifetime(most=10))
    assert allowed_share(given, CEILING, days(1)) == Fraction(1, 5)
    assert allowed_share(given, "matter", days(1)) == Fraction(1, 10)


def test_what_vanished_counts_as_a_policy_of_the_shortest_expiry() -> None:
    given = replace(policies(), expire={"chats": days(30), "mails": days(10)})
    assert allowed_share(given, VANISHED, days(1)) == Fraction(1, 5)
    assert allowed_share(policies(), VANISHED, days(1)) == Fraction(1, 10)


@pytest.mark.parametrize(
    ("due", "population", "allowed"),
    [(10, 100, None), (11, 100, 10), (19, 19, None), (20, 20, 2), (0, 100, None), (29, 299, None)],
)
def test_over_the_share(due: int, population: int, allowed: int | None) -> None:
    found = tripped(policies(SLOW), "p", due=due, population=population, since_last=None)
    expected = allowed is not None and Tripped("max_percent", "p", due, allowed, population)
    assert found == (expected or None)


def test_a_share_of_a_percent_is_exact() -> None:
    given = limited(SLOW, max_percent=29.0)
    assert tripped(given, "p", due=29, population=100, since_last=None) is None


def test_an_absolute_limit_spares_nobody() -> None:
    given = limited(SLOW, max_threads=3)
    assert tripped(given, "p", due=3, population=5, since_last=None) is None
    assert tripped(given, "p", due=4, population=5, since_last=None) == Tripped(
        "max_threads", "p", 4, 3, 5
    )


def test_a_policy_has_limits_of_its_own() -> None:
    given = limited(replace(SLOW, max_threads=9, max_percent=90), max_threads=3)
    assert tripped(given, "p", due=9, population=20, since_last=None) is None
    assert tripped(given, "p", due=10, population=20, since_last=None) is not None
    assert tripped(given, "q", due=9, population=20, since_last=None) is not None


def test_downtime_raises_the_share() -> None:
    given = policies(WEEK)
    assert tripped(given, "p", due=50, population=100, since_last=days(1)) is not None
    assert tripped(given, "p", due=50, population=100, since_last=days(2)) is None
