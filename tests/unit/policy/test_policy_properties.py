from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from policy_facts import NOW, TICK, at, days, delete, metadata, policies, thread
from policy_strategies import (
    NAMES,
    a_policy,
    a_thread,
    ages,
    some_holds,
    some_policies,
    some_ranks,
    walks,
)

from janitor.model import REMOVING, Hold, Mode, Stage, Thread
from janitor.policy import Policies, Policy, Ranks, decide, weigh
from janitor.policy.evaluate import hold_ends_at
from janitor.policy.matching import Match, MatchOutcome, match_hold, rulebook, views_of
from janitor.policy.rules import ArchiveAt, Lifetime
from janitor.policy.schedule import NEVER, Due, Times, schedule

LATEST = ArchiveAt.LATEST
GIVEN = (a_thread(), some_policies(), some_holds, some_ranks)


def moment(due: Due | None) -> datetime:
    return NEVER if due is None else due.at


@given(*GIVEN, st.randoms())
def test_the_order_of_policies_and_holds_never_matters(
    thread: Thread,
    given: Policies,
    holds: Sequence[Hold],
    ranks: Ranks,
    random: st.random.Random,  # type: ignore[name-defined]
) -> None:
    shuffled = replace(given, rules=tuple(random.sample(given.rules, len(given.rules))))

    assert decide(thread, shuffled, holds, ranks, NOW) == decide(thread, given, holds, ranks, NOW)


def named(policies: Sequence[Policy]) -> list[bool]:
    """Which stages any of the policies binds to a date."""
    dated = [
        one.archive and (one.archive.after or one.soft_delete or (one.delete and one.delete.after))
        for one in policies
    ]
    return [
        all(dated) and any(dated),
        any(one.soft_delete for one in policies),
        any(one.trim for one in policies),
        any(one.delete for one in policies),
    ]


@pytest.mark.slow
@given(a_thread(), some_policies(), a_policy("new"), some_holds, some_ranks)
def test_one_more_policy_never_makes_a_stage_earlier_that_another_names(
    thread: Thread, given: Policies, new: Policy, holds: Sequence[Hold], ranks: Ranks
) -> None:
    old = replace(given, rules=tuple(rule for rule in given.rules if not rule.default))
    before = weigh(thread, old, holds, ranks, NOW)
    after = weigh(thread, replace(old, rules=(*old.rules, new)), holds, ranks, NOW)

    times = zip(named(before.matched.speaking), before.times, after.times, strict=True)
    copy, *removals = times
    for is_named, early, late in removals:
        if is_named and early is not None:
            assert moment(late) >= early.at
    is_named, early, late = copy
    if (
        is_named
        and early is not None
        and not any(one.archive and one.archive.is_early for one in (*old.rules, new))
    ):
        assert moment(late) >= early.at


def waiting(policies: Policies) -> Policies:
    """The same policies, whose copies wait for all of them."""
    rules = [
        one if one.archive is None else replace(one, archive=replace(one.archive, at=LATEST))
        for one in policies.rules
    ]
    return replace(policies, rules=tuple(rules))


@given(*GIVEN)
def test_an_early_copy_changes_no_removal(
    thread: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks
) -> None:
    early = weigh(thread, given, holds, ranks, NOW)
    usual = weigh(thread, waiting(given), holds, ranks, NOW)
    assert early.times[1:] == usual.times[1:]

    done = {*decide(thread, given, holds, ranks, NOW).stages}
    expected = {*decide(thread, waiting(given), holds, ranks, NOW).stages}
    assert done in (expected, expected | {Stage.ARCHIVE})


@pytest.mark.slow
@given(*GIVEN, st.sets(st.sampled_from(NAMES)))
def test_an_early_copy_is_due_as_soon_as_its_own_policy_or_the_others_say(
    thread: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks, audited: set[str]
) -> None:
    rules = [replace(one, mode=Mode.AUDIT) if one.name in audited else one for one in given.rules]
    given = replace(given, mode=Mode.ENFORCE, rules=tuple(rules))
    case = weigh(thread, given, holds, ranks, NOW)
    early = [one for one in case.matched.speaking if one.archive and one.archive.is_early]
    rest = tuple(one for one in case.matched.speaking if one not in early)
    dues = [
        weigh(thread, waiting(given), holds, ranks, NOW).times.archive,
        *(case.of_each()[one.name].archive for one in early),
        *((schedule(rest, thread, case.start, NOW).archive,) if early else ()),
    ]
    ripe = {due.policy for due in dues if moment(due) <= NOW and due is not None}
    copy = case.times.archive
    if not ripe or copy is None:
        assert moment(copy) == min(map(moment, dues))
    else:
        assert copy.policy in ripe
        assert copy.policy not in audited or ripe <= audited


@pytest.mark.slow
@given(*GIVEN)
def test_what_is_held_protected_or_unknown_is_never_removed(
    thread: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks
) -> None:
    views = views_of(thread)
    matched = rulebook(given).matched(thread.key, views)
    held = any(
        match_hold(hold, thread, views) is not Match.NO
        and hold_ends_at(hold, given.release_grace) > NOW
        for hold in holds
    )
    kept = any(policy.keep_forever for policy in matched.protecting)
    assume(held or kept or matched.unknown)

    decision = decide(thread, given, holds, ranks, NOW)

    assert not REMOVING.intersection(decision.stages)
    assert decision.reason is not None


@given(*GIVEN)
def test_the_ceiling_deletes_all_but_what_is_said_to_stand_above_it(
    thread: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks
) -> None:
    """What `validate` promises: `janitor.config.explain.ABOVE_CEILING` has the same list."""
    policies = replace(given, lifetime=Lifetime(max=days(0.5)))
    thread = replace(thread, created_at=NOW - days(0.5))
    views = views_of(thread)
    matched = rulebook(policies).matched(thread.key, views)
    above = (
        any(
            match_hold(hold, thread, views) is not Match.NO
            and hold_ends_at(hold, policies.release_grace) > NOW
            for hold in holds
        ),
        any(policy.keep_forever for policy in matched.protecting),
        any(one.delete is not None and one.delete.after is None for one in matched.protecting),
        bool(matched.unknown),
        thread.last_active_at is not None and thread.last_active_at > NOW,
        thread.grace_until is not None and thread.grace_until > NOW,
    )

    decision = decide(thread, policies, holds, ranks, NOW)

    assert (Stage.DELETE in decision.stages) == (not any(above))


@given(*GIVEN)
def test_never_without_a_copy_and_never_marked_and_deleted_at_once(
    thread: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks
) -> None:
    stages = decide(thread, given, holds, ranks, NOW).stages
    speaking = weigh(thread, given, holds, ranks, NOW).matched.speaking

    assert list(stages) == [stage for stage in Stage if stage in stages]
    assert not {Stage.SOFT_DELETE, Stage.DELETE} <= set(stages)
    if REMOVING.intersection(stages) and any(one.archive for one in speaking):
        assert thread.copy_is_current or stages[0] is Stage.ARCHIVE


@pytest.mark.slow
@given(*GIVEN)
def test_due_at_its_time_and_not_a_microsecond_before(
    thread: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks
) -> None:
    decision = decide(thread, given, holds, ranks, NOW)
    due_at = decision.due_at
    assume(due_at is not None and due_at > NOW)
    assert due_at is not None

    assert not decision.stages
    assert not decide(thread, given, holds, ranks, due_at - TICK).stages
    assert decide(thread, given, holds, ranks, due_at).stages


@given(ages, st.integers(-1, 1))
def test_after_counts_to_the_microsecond(after: timedelta, ticks: int) -> None:
    given = policies(Policy("p", metadata(plan="trial"), delete=delete(after / days(1))))
    active_at = NOW - after
    decision = decide(
        replace(thread(), last_active_at=active_at), given, (), {}, NOW + ticks * TICK
    )

    assert bool(decision.stages) is (ticks >= 0)
    assert decision.due_at == NOW
    assert decision.age_base == active_at


@given(*GIVEN, walks)
def test_nothing_new_falls_due_before_the_next_review(
    thread: Thread,
    given: Policies,
    holds: Sequence[Hold],
    ranks: Ranks,
    walk: list[datetime],
) -> None:
    decision = decide(thread, given, holds, ranks, NOW)
    review_at = decision.review_at

    if decision.stages:
        assert review_at is not None
        assert review_at <= NOW
    for now in walk:
        if review_at is None or now < review_at:
            assert decide(thread, given, holds, ranks, now).stages == ()


@given(*GIVEN)
def test_the_index_finds_what_a_walk_over_all_policies_finds(
    thread: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks
) -> None:
    book, views = rulebook(given), views_of(thread)
    near = set(book.near(views))

    for rule in book.others:
        if rule not in near:
            assert rule.outcome(thread.key, views) is MatchOutcome.NO


def test_no_stage_is_the_absence_of_a_time() -> None:
    assert weigh(thread(), policies(), (), {}, at(0)).times == Times()
