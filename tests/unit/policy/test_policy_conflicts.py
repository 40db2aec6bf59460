from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from policy_facts import NOW, archive, days, delete, exists, glob, metadata, policies, soft
from policy_strategies import a_policy, a_thread, ages, selectors, some_policies, some_ranks

from janitor.model import Kind, Stage, Thread
from janitor.policy import Policies, Policy, Ranks, decide
from janitor.policy.conflicts import (
    ComparisonBudget,
    Redundant,
    SilentDefault,
    beyond_last,
    delays,
    redundant,
    silent_defaults,
)
from janitor.policy.exclusion import Risk, left_to
from janitor.policy.matching import Match, Matcher, rulebook, views_of
from janitor.policy.overlap import clash, covers, never_together, threads_of_both
from janitor.policy.rules import KeepLast, Selector, SoftDelete

ALL = Selector()
CONVERSATIONS = Selector(kinds=frozenset({Kind.CONVERSATION}))
SHORT = Policy("short", metadata(plan="trial"), archive=archive(7), delete=delete(30))
LONG = Policy("long", metadata(user=exists()), archive=archive(7), delete=delete(365))


def read(thread: Thread) -> Thread:
    """The thread, with every date known and its metadata read."""
    created = thread.created_at or NOW - days(4)
    active = thread.last_active_at or created
    reported = {} if thread.reported is None else thread.reported
    return replace(thread, created_at=created, last_active_at=active, reported=reported)


@pytest.mark.slow
@given(some_policies())
def test_each_delay_is_shown_on_its_thread(given: Policies) -> None:
    for delay in delays(given, ComparisonBudget(given)):
        without = replace(given, rules=tuple(r for r in given.rules if r.name != delay.policy))
        ranks = beyond_last(given)
        assert delay.stage in decide(delay.thread, without, (), ranks, delay.early).stages
        together = decide(delay.thread, given, (), ranks, delay.early)
        assert delay.stage not in together.stages
        if delay.late is None:
            late = decide(delay.thread, given, (), ranks, delay.early + days(10_000))
            assert delay.stage not in late.stages
        else:
            assert delay.late > delay.early
            assert decide(delay.thread, given, (), ranks, delay.late).stages


def wider(draw: st.DrawFn, narrow: Selector) -> Selector:
    """The selector with some clauses less: it covers the narrow one."""
    kept = draw(st.sets(st.sampled_from(sorted(narrow.metadata)))) if narrow.metadata else set()
    kinds = draw(st.sampled_from((None, narrow.kinds)))
    return Selector(kinds=kinds, metadata={key: narrow.metadata[key] for key in kept})


@st.composite
def with_a_later_twin(draw: st.DrawFn) -> Policies:
    """A policy, one like it that matches more and is later or keeps, and perhaps others."""
    given, more = draw(some_policies()), draw(ages)
    one = replace(draw(a_policy("m")), keep_forever=False, trim=None, keep_last=None)
    later = replace(
        one,
        name=draw(st.sampled_from(("l", "n"))),
        match=wider(draw, one.match),
        excepts=draw(st.sampled_from((None, one.excepts))),
        keep_forever=draw(st.sampled_from((False, False, True))),
        archive=one.archive and replace(one.archive, after=add(one.archive.after, more)),
        soft_delete=one.soft_delete and SoftDelete(one.soft_delete.after + more),
        delete=one.delete and replace(one.delete, after=add(one.delete.after, more)),
    )
    return replace(given, rules=(*given.rules, one, later))


def add(after: timedelta | None, more: timedelta) -> timedelta | None:
    return after if after is None else after + more


@pytest.mark.slow
@given(with_a_later_twin(), a_thread(), some_ranks)
def test_a_redundant_policy_changes_no_decision(
    given: Policies, thread: Thread, ranks: Ranks
) -> None:
    names = {one.policy for one in redundant(given, ComparisonBudget(given))}
    assume(names)
    without = replace(given, rules=tuple(r for r in given.rules if r.name not in names))
    thread = read(thread)

    before = decide(thread, given, (), ranks, NOW)
    after = decide(thread, without, (), ranks, NOW)

    said = (before.stages, before.due_at, before.reason, before.keep_for)
    assert (after.stages, after.due_at, after.reason, after.keep_for) == said
    if before.stages:
        how = (before.items_first, before.mark_upstream)
        assert (after.items_first, after.mark_upstream) == how


@pytest.mark.slow
@given(some_policies(), a_policy("all"), st.data())
def test_a_silent_default_applies_to_no_thread(
    given: Policies, all_of_it: Policy, data: st.DataObject
) -> None:
    default = Policy("default", data.draw(st.sampled_from((ALL, CONVERSATIONS))), default=True)
    every = replace(all_of_it, match=data.draw(st.sampled_from((ALL, CONVERSATIONS))))
    given = replace(given, rules=(*given.rules, every, default))
    thread = data.draw(a_thread())

    matched = rulebook(given).matched(thread.key, views_of(thread))

    applied = {one.name for one in (*matched.speaking, *matched.protecting)}
    assert applied.isdisjoint(one.policy for one in silent_defaults(given))


@given(selectors, selectors, a_thread())
def test_a_selector_that_covers_another_matches_all_that_it_matches(
    outer: Selector, inner: Selector, thread: Thread
) -> None:
    assume(covers(outer, inner))
    views = views_of(thread)
    for protecting in (False, True):
        if Matcher.of(inner).match(thread.key, views, protecting=protecting) is Match.YES:
            found = Matcher.of(outer).match(thread.key, views, protecting=protecting)
            assert found is Match.YES


@given(a_policy("a"), a_policy("b"))
def test_a_thread_of_both_is_matched_by_both(one: Policy, other: Policy) -> None:
    for thread in threads_of_both(one, other):
        for policy in (one, other):
            found = Matcher.of(policy.match).match(thread.key, views_of(thread), protecting=False)
            assert found is Match.YES


def told(*rules: Policy) -> list[tuple[str, str, Stage, int | None]]:
    """Each delay as (who, whom, stage, days later)."""
    given = policies(*rules)
    return [
        (
            one.policy,
            one.delayed,
            one.stage,
            None if one.late is None else (one.late - one.early).days,
        )
        for one in delays(given, ComparisonBudget(given))
    ]


def without_effect(*rules: Policy) -> list[Redundant]:
    given = policies(*rules)
    return list(redundant(given, ComparisonBudget(given)))


def test_the_later_of_two_that_overlap_delays_the_other() -> None:
    assert told(SHORT, LONG) == [("long", "short", Stage.DELETE, 335)]
    assert told(SHORT, replace(LONG, excepts=SHORT.match)) == []
    assert told(SHORT, replace(LONG, match=metadata(plan="paid"))) == []


def test_a_later_copy_delays_the_copy_and_the_deletion() -> None:
    copies = Policy("copies", metadata(user=exists()), archive=archive(90))
    assert told(SHORT, copies) == [
        ("copies", "short", Stage.ARCHIVE, 83),
        ("copies", "short", Stage.DELETE, 60),
    ]


def test_copies_by_number_alone_delay_others_until_the_first_removal() -> None:
    long_threads = Policy("long-threads", metadata(user=exists()), archive=archive(items=50))
    assert told(SHORT, long_threads) == [("long-threads", "short", Stage.ARCHIVE, 23)]


def test_a_longer_time_to_undo_delays() -> None:
    undo = Policy("undo", metadata(user=exists()), soft_delete=soft(20), delete=delete(30))
    assert told(replace(undo, name="one", match=metadata(plan="trial")), undo) == []
    late = replace(undo, soft_delete=soft(10))
    assert ("undo", "one") not in {(a, b) for a, b, *_ in told(late, undo)}


def test_what_matches_only_a_part_is_meant_to_keep_it_longer() -> None:
    vip = Policy("vip", metadata(plan="trial", vip="true"), delete=delete(365))
    assert told(SHORT, vip) == []


def test_whoever_says_keep_means_it() -> None:
    assert told(SHORT, Policy("law", metadata(user=exists()), keep_forever=True)) == []
    assert told(SHORT, Policy("law", metadata(user=exists()), delete=delete(None))) == []
    last = Policy("last", metadata(user=exists()), keep_last=KeepLast(10, "user"))
    assert told(SHORT, last) == []
    assert told(SHORT, replace(last, delete=delete(365))) == [("last", "short", Stage.DELETE, 335)]


def test_of_policies_that_never_meet_nothing_is_told() -> None:
    chatkit = Selector(kinds=frozenset({Kind.CHATKIT_THREAD}), metadata=LONG.match.metadata)
    narrow = Selector(kinds=frozenset({Kind.CONVERSATION}), metadata=SHORT.match.metadata)
    assert told(replace(SHORT, match=narrow), replace(LONG, match=chatkit)) == []
    kept = Policy("kept", SHORT.match, keep_forever=True)
    assert told(SHORT, LONG, kept) == []


def test_a_wider_policy_that_is_later_makes_one_redundant() -> None:
    wide = Policy("wide", CONVERSATIONS, archive=archive(90), delete=delete(365))
    narrow = replace(SHORT, match=Selector(CONVERSATIONS.kinds, metadata=SHORT.match.metadata))
    assert without_effect(narrow, wide) == [Redundant("short", "wide")]
    assert told(narrow, wide) == []
    assert without_effect(narrow, replace(wide, excepts=SHORT.match)) == []
    assert without_effect(narrow, replace(wide, archive=archive(1))) == []
    assert without_effect(narrow, replace(wide, keep_forever=True, archive=None)) == []


def test_of_two_that_say_the_same_one_is_redundant() -> None:
    assert without_effect(SHORT, replace(SHORT, name="twin")) == [Redundant("twin", "short")]


def test_a_default_is_silent_where_all_its_kinds_are_taken() -> None:
    rest = Policy("rest", default=True, delete=delete(365))
    copies = Policy("copies", Selector(kinds=frozenset(Kind)), archive=archive(7))
    assert list(silent_defaults(policies(copies, rest))) == [SilentDefault("rest", ("copies",))]
    some = replace(copies, match=CONVERSATIONS)
    assert list(silent_defaults(policies(some, rest))) == []
    by_kind = [replace(copies, name=kind, match=Selector(frozenset({kind}))) for kind in Kind]
    [found] = silent_defaults(policies(*by_kind, rest))
    assert set(found.by) == set(Kind)
    here = replace(rest, match=Selector(CONVERSATIONS.kinds, frozenset({"main"})))
    assert list(silent_defaults(policies(some, here))) == [SilentDefault("rest", ("copies",))]
    assert list(silent_defaults(policies(replace(some, excepts=SHORT.match), here))) == []


def test_selectors_that_exclude_each_other_are_known_to() -> None:
    assert clash([CONVERSATIONS, Selector(frozenset({Kind.THREAD}))]) == "kind"
    here, there = (Selector(projects=frozenset({name})) for name in ("main", "eu"))
    assert clash([here, there]) == "project"
    assert clash([metadata(a="1"), metadata(a="2")]) == "metadata.a"
    assert clash([metadata(a="1"), metadata(a=glob("2*"))]) == "metadata.a"
    assert clash([metadata(a=glob("x*")), metadata(a=exists(found=False))]) == "metadata.a"
    assert clash([metadata(a=glob("x*")), metadata(a=glob("*y"))]) is None
    assert clash([CONVERSATIONS, here, metadata(a="1"), metadata(b="2")]) is None


@given(selectors, selectors, a_thread())
def test_selectors_that_are_never_met_together_meet_no_thread(
    one: Selector, other: Selector, thread: Thread
) -> None:
    assume(never_together(one, other))
    found = [
        Matcher.of(each).match(thread.key, views_of(thread), protecting=False)
        for each in (one, other)
    ]
    assert Match.NO in found or Match.UNKNOWN in found


SLOW = Policy("slow", metadata(a="1"), archive=archive(7), delete=delete(365))
FAST = Policy("fast", metadata(b="1"), archive=archive(7), delete=delete(30))


@pytest.mark.parametrize(
    ("one", "other", "beside", "expected"),
    [
        (replace(SLOW, keep_last=KeepLast(5)), FAST, (), Risk.PROTECTION),
        (replace(SLOW, keep_forever=True), FAST, (), Risk.PROTECTION),
        (replace(SLOW, delete=delete(None)), FAST, (), Risk.PROTECTION),
        (SLOW, replace(FAST, archive=None), (), Risk.COPY),
        (SLOW, replace(FAST, excepts=metadata(vip="y")), (), Risk.EXCEPT),
        (
            SLOW,
            replace(FAST, beside_default=True),
            (Policy("rest", default=True, archive=archive(800), delete=delete(999)),),
            Risk.DEFAULT,
        ),
        (SLOW, FAST, (Policy("rest", default=True, delete=delete(10)),), Risk.SOONER),
        (SLOW, replace(FAST, match=Selector()), (), Risk.UNKNOWN),
        (SLOW, replace(FAST, excepts=metadata(b="2")), (), FAST.match),
        (
            replace(SLOW, excepts=metadata(vip="y")),
            replace(FAST, excepts=metadata(vip="y")),
            (),
            Selector(any_of=(metadata(vip="y"), FAST.match)),
        ),
        (SLOW, FAST, (Policy("c", metadata(a="2"), delete=delete(10)),), FAST.match),
        (
            SLOW,
            replace(FAST, match=CONVERSATIONS),
            (Policy("rest", default=True, delete=delete(10)),),
            CONVERSATIONS,
        ),
    ],
    ids=(
        "keep last",
        "keep forever",
        "delete never",
        "no copy",
        "an except of the other",
        "beside the default",
        "a sooner default",
        "every thread",
        "an except that never applies",
        "an except of both",
        "a sooner policy that never meets it",
        "by kind alone",
    ),
)
def test_threads_are_left_to_another_policy_only_where_that_does_no_more(
    one: Policy, other: Policy, beside: tuple[Policy, ...], expected: Selector | Risk
) -> None:
    found = left_to(other, one, policies(one, other, *beside))
    assert (found.excepts if isinstance(found, Policy) else found) == expected
