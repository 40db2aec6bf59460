from __future__ import annotations

from datetime import datetime

import pytest
from policy_facts import NOW, at

from janitor.model import Probe
from janitor.policy.activity import Sightings, last_activity, observe


@pytest.mark.parametrize(
    ("created_at", "seen", "expected"),
    [
        (at(-9), Sightings(), None),
        (None, Sightings(reported_at=at(-1)), at(-1)),
        (at(-9), Sightings(reported_at=at(-1)), at(-1)),
        (at(-1), Sightings(reported_at=at(-9)), at(-1)),
        (at(-9), Sightings(upstream_at=at(-2)), at(-2)),
        (at(-9), Sightings(changed_at=at(-3)), at(-3)),
        (at(-9), Sightings(at(-1), at(-2), at(0), at(-3)), at(-1)),
        (at(-9), Sightings(at(-3), at(-2), at(0), at(-1)), at(-1)),
        (at(-9), Sightings(at(-3), at(-1), at(0), at(-2)), at(-1)),
        (at(-9), Sightings(baseline_at=at(-4)), at(-4)),
        (None, Sightings(baseline_at=at(-4)), at(-4)),
        (at(-9), Sightings(reported_at=at(-5), baseline_at=at(-4)), at(-5)),
    ],
)
def test_the_latest_of_all_that_was_said(
    created_at: datetime | None, seen: Sightings, expected: datetime | None
) -> None:
    assert last_activity(created_at, seen) == expected


def test_what_was_reported_may_be_distrusted() -> None:
    seen = Sightings(reported_at=at(-1), upstream_at=at(-2))
    assert last_activity(at(-9), seen, trust_reported=True) == at(-1)
    assert last_activity(at(-9), seen, trust_reported=False) == at(-2)
    alone = Sightings(reported_at=at(-1), baseline_at=at(-4))
    assert last_activity(at(-9), alone, trust_reported=False) == at(-4)


def looked_at(seen: Sightings, newest: str | None, active_at: datetime | None = None) -> Sightings:
    return observe(seen, Probe(at(-9), active_at, {}, newest), NOW)


def test_the_first_look_is_only_a_baseline() -> None:
    seen = looked_at(Sightings(reported_at=at(-5)), "m1")
    assert seen == Sightings(reported_at=at(-5), baseline_at=NOW, newest_item="m1")


def test_the_same_item_changes_nothing() -> None:
    before = Sightings(baseline_at=at(-2), newest_item="m1")
    assert looked_at(before, "m1") == before


@pytest.mark.parametrize("newest", ["m2", None])
def test_a_different_item_is_activity_at_the_look(newest: str | None) -> None:
    seen = looked_at(Sightings(baseline_at=at(-2), changed_at=at(-1), newest_item="m1"), newest)
    assert seen == Sightings(baseline_at=at(-2), changed_at=NOW, newest_item=newest)


def test_an_older_change_is_remembered() -> None:
    before = Sightings(baseline_at=at(-2), changed_at=at(-1), newest_item="m1")
    assert looked_at(before, "m1") == before


def test_what_the_api_reports_is_kept() -> None:
    before = Sightings(upstream_at=at(-3), baseline_at=at(-2), newest_item="m1")
    assert looked_at(before, "m1").upstream_at == at(-3)
    assert looked_at(before, "m1", at(-1)).upstream_at == at(-1)
