"""A quota in a sliding window, by whatever clock it is given."""

from __future__ import annotations

from janitor.emulator.limits import Quota


def test_a_quota_counts_by_the_clock_it_is_given() -> None:
    now = [0.0]
    quota = Quota({"DELETE": 2}, clock=lambda: now[0])
    for at, is_refused in [(0, False), (30, False), (59, True), (60, False), (61, True)]:
        now[0] = at
        assert (quota.take("main", "DELETE")[1] is not None) is is_refused


def test_a_quota_that_is_not_named_is_known_by_its_429_alone() -> None:
    quota = Quota({"DELETE": 1}, named=False, clock=lambda: 0.0)
    assert quota.take("main", "DELETE") == ({}, None)
    headers, refusal = quota.take("main", "DELETE")
    assert (headers, refusal and refusal.status) == ({"retry-after": "60"}, 429)
