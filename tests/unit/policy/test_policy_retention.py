"""What keeps the copy of a deleted thread: for any policies, holds and metadata."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_facts import NOW, days
from policy_strategies import a_thread, ages, some_holds, some_policies

from janitor.model import Hold, Key, Kind, Thread
from janitor.policy import Policies, Policy, decide
from janitor.policy.copy_retention import (
    KeptCopy,
    Retention,
    Terms,
    holder,
    keep_until,
    needs_reading,
    over_limit,
    selection,
    terms_of,
)
from janitor.policy.matching import Match, match_hold, views_of
from janitor.policy.rules import ArchiveRule, Limits
from janitor.policy.schedule import NEVER

KEY = Key("main", Kind.CONVERSATION, "t")
GRACE = days(7)


def buried(thread: Thread, policies: Policies) -> KeptCopy:
    """The copy of a thread that is deleted now, under these policies."""
    decision = decide(thread, policies, (), {}, NOW)
    terms = terms_of(thread, decision, selection(policies))
    return KeptCopy(thread.key, ("p",), NOW, keep_until(decision, NOW), "p", terms)


def last(until: datetime | None) -> datetime:
    return NEVER if until is None else until


@pytest.mark.slow
@given(a_thread(), some_policies(), some_policies())
def test_no_copy_ends_before_what_was_promised_or_before_what_would_be_promised_today(
    thread: Thread, old: Policies, new: Policies
) -> None:
    copy = buried(thread, old)
    until = last(Retention((new,)).until(copy))
    assert until >= last(copy.until)
    today = decide(thread, new, (), {}, NOW)
    if today.copied_by:
        assert until >= last(keep_until(today, NOW))
    assert last(Retention((new, old)).until(copy)) >= until


@given(a_thread(), some_policies(), ages)
def test_another_keep_for_in_the_same_policies_only_lengthens(
    thread: Thread, old: Policies, keep_for: timedelta
) -> None:
    copy = buried(thread, old)
    rules = [
        one
        if one.archive is None
        else replace(one, archive=replace(one.archive, keep_for=keep_for))
        for one in old.rules
    ]
    until = Retention((replace(old, rules=tuple(rules)),)).until(copy)
    if copy.until is not None:
        assert until == max(copy.until, NOW + keep_for)


@pytest.mark.slow
@given(a_thread(), some_policies())
def test_while_the_policies_are_the_same_the_promise_is_kept_to_the_day(
    thread: Thread, policies: Policies
) -> None:
    copy = buried(thread, policies)
    assert Retention((policies,)).until(copy) == copy.until


@pytest.mark.slow
@given(thread=a_thread(), policies=some_policies(), by_report=st.booleans())
def test_no_hold_that_meets_the_thread_misses_its_copy(
    thread: Thread, policies: Policies, *, by_report: bool
) -> None:
    metadata = thread.reported if by_report else thread.upstream
    hold = Hold("h", metadata=metadata or {"plan": "x"})
    copy = buried(thread, policies)
    if match_hold(hold, thread, views_of(thread)) is not Match.NO:
        assert holder(copy, [hold], GRACE, NOW, thread.upstream) == "h"
        assert holder(copy, [hold], GRACE, NOW, None) == "h"


@given(a_thread(), some_policies(), some_holds)
def test_what_is_read_of_a_copy_may_only_let_it_go(
    thread: Thread, policies: Policies, holds: list[Hold]
) -> None:
    copy = buried(thread, policies)
    unread = holder(copy, holds, GRACE, NOW, None)
    read = holder(copy, holds, GRACE, NOW, thread.upstream)
    assert unread is not None or read is None
    if not needs_reading(copy, holds, GRACE, NOW):
        assert (unread is None) == (read is None)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400), st.integers(1, 400))
def test_at_most_the_allowed_share_of_the_copies_goes_at_once(
    due: int, held: int, passed: int, keep_for: int
) -> None:
    rule = Policy("p", archive=ArchiveRule(days(1), keep_for=days(keep_for)))
    policies = Policies((rule,), limits=Limits(max_percent=10.0))
    over = over_limit(policies, due=due, held=held, since_last=days(passed))
    share = max(0.1, 2 * passed / keep_for)
    assert (over is not None) == (held >= 20 and due > min(share, 1) * held + 1e-9)


def test_a_copy_of_a_version_that_recorded_nothing_is_kept_by_all_that_may_mean_it() -> None:
    old = KeptCopy(KEY, ("p",), NOW, NOW + days(9), "p")
    assert old.terms == Terms()
    long = Policies((Policy("q", archive=ArchiveRule(days(1), keep_for=days(99))),))
    assert Retention((long,)).until(old) == NOW + days(99)
    held = Hold("h", metadata={"a": "b"})
    assert holder(old, [held], GRACE, NOW, {"a": "c"}) == "h"
    assert not needs_reading(old, [held], GRACE, NOW)


def test_a_copy_whose_deletion_has_no_date_is_kept() -> None:
    undated = KeptCopy(KEY, ("p",), None, NOW - days(9), "p")
    assert Retention((Policies(),)).until(undated) is None


def test_a_default_that_now_stands_beside_another_policy_may_have_meant_a_copy() -> None:
    half = Policy("p", archive=ArchiveRule(days(1), keep_for=days(9)))
    rest = Policy("rest", default=True, archive=ArchiveRule(days(1), keep_for=days(99)))
    before, after = (
        Policies((replace(half, beside_default=beside), rest)) for beside in (False, True)
    )
    terms = Terms(("p",), selection(before))
    copy = KeptCopy(KEY, ("p",), NOW, NOW + days(9), "p", terms)
    assert Retention((before,)).until(copy) == NOW + days(9)
    assert Retention((after,)).until(copy) == NOW + days(99)
