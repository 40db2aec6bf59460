from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_facts import delete, equals, exists, glob, metadata, policies, thread
from policy_strategies import a_thread, plain_selectors

from janitor.model import Hold, Key, Kind, Metadata, Thread
from janitor.policy import Policy, rules
from janitor.policy.matching import (
    Match,
    Matcher,
    MatchOutcome,
    Rule,
    Views,
    match_hold,
    rulebook,
    views_of,
)
from janitor.policy.rules import Selector

KEY = Key("main", Kind.CONVERSATION, "t")
A = {"a": "1"}
several = st.lists(plain_selectors, min_size=1, max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("reported", "upstream", "kind", "views"),
    [
        (None, None, Kind.CONVERSATION, None),
        (None, None, Kind.CHATKIT_THREAD, Views({}, ({},))),
        ({}, None, Kind.CONVERSATION, Views({}, ({},))),
        (None, {}, Kind.CONVERSATION, Views({}, ({},))),
        (None, A, Kind.CONVERSATION, Views(A, (A,))),
        (A, None, Kind.CONVERSATION, Views(A, (A,))),
        (A, {}, Kind.CONVERSATION, Views(A, (A,))),
        (A, dict(A), Kind.CONVERSATION, Views(A, (A,))),
        (A, {"a": "2"}, Kind.CONVERSATION, Views({"a": "2"}, ({"a": "2"}, A, {"a": "2"}))),
        (
            {"a": "1", "b": "1"},
            {"a": "2", "c": "2"},
            Kind.THREAD,
            Views(
                {"a": "2", "b": "1", "c": "2"},
                (
                    {"a": "2", "b": "1", "c": "2"},
                    {"a": "1", "b": "1"},
                    {"a": "2", "c": "2"},
                ),
            ),
        ),
    ],
)
def test_the_views_of_metadata(
    reported: Metadata | None, upstream: Metadata | None, kind: Kind, views: Views | None
) -> None:
    assert views_of(thread(reported=reported, upstream=upstream, kind=kind)) == views


@pytest.mark.parametrize(
    ("test", "value", "holds"),
    [
        (equals("1"), "1", True),
        (equals("1", "2"), "2", True),
        (equals("1"), "2", False),
        (equals("1"), None, False),
        (exists(), "", True),
        (exists(), None, False),
        (exists(found=False), None, True),
        (exists(found=False), "", False),
        (glob("acme-*"), "acme-", True),
        (glob("acme-*"), "acme-eu\n", True),
        (glob("acme-*"), "the acme-eu", False),
        (glob("acme-?"), "acme-eu", False),
        (glob("acme"), "acme-eu", False),
        (glob("Acme"), "acme", False),
        (glob("[ab]"), "a", False),
        (glob("[ab]"), "[ab]", True),
        (glob("a.c"), "abc", False),
        (glob("*"), None, False),
    ],
)
def test_a_clause(test: rules.Test, value: str | None, holds: bool) -> None:
    view = {} if value is None else {"k": value}
    found = Matcher.of(metadata(k=test)).match(KEY, Views(view, (view,)), protecting=False)
    assert found is (Match.YES if holds else Match.NO)


@pytest.mark.parametrize("test", [equals("x"), exists(found=False), glob("*")])
def test_a_key_of_the_janitors_own_never_matches(test: rules.Test) -> None:
    matcher = Matcher.of(metadata(janitor_x=test))
    for views in (None, Views({}, ({},)), Views({"janitor_x": "x"}, ({"janitor_x": "x"},))):
        assert matcher.match(KEY, views, protecting=True) is Match.NO


def test_every_clause_must_hold_on_one_view() -> None:
    matcher = Matcher.of(metadata(a="1", b="1"))
    apart = Views({"a": "2", "b": "1"}, ({"a": "2", "b": "1"}, {"a": "1"}, {"a": "2", "b": "1"}))
    assert matcher.match(KEY, apart, protecting=True) is Match.NO


def test_only_metadata_is_unknown() -> None:
    other = Selector(kinds=frozenset({Kind.THREAD}), metadata={"a": equals("1")})
    assert Matcher.of(other).match(KEY, None, protecting=True) is Match.NO
    assert Matcher.of(Selector()).match(KEY, None, protecting=False) is Match.YES
    assert Matcher.of(metadata(a="1")).match(KEY, None, protecting=False) is Match.UNKNOWN


@pytest.mark.parametrize(
    ("hold", "found"),
    [
        (Hold("h", ids=frozenset({"t"})), Match.YES),
        (Hold("h", ids=frozenset({"u"})), Match.NO),
        (Hold("h"), Match.NO),
        (Hold("h", metadata={"a": "1"}), Match.YES),
        (Hold("h", metadata={"a": "1", "b": "1"}), Match.NO),
        (Hold("h", ids=frozenset({"u"}), metadata={"a": "1"}), Match.YES),
        (Hold("h", metadata={"janitor_x": "1"}), Match.NO),
    ],
)
def test_a_hold(hold: Hold, found: Match) -> None:
    held = thread(reported={"a": "1", "janitor_x": "1"}, upstream={"a": "2"})
    assert match_hold(hold, held, views_of(held)) is found


def test_a_hold_on_unread_metadata_is_possible() -> None:
    unread = thread(reported=None)
    assert match_hold(Hold("h", metadata={"a": "1"}), unread, None) is Match.UNKNOWN
    assert match_hold(Hold("h", metadata={"janitor_a": "1"}), unread, None) is Match.NO


def matched(selector: Selector, thread: Thread, *, protecting: bool) -> Match:
    return Matcher.of(selector).match(thread.key, views_of(thread), protecting=protecting)


@given(a_thread(), several, st.booleans())
def test_any_is_the_or_of_three_values(
    thread: Thread, several: tuple[Selector, ...], protecting: bool
) -> None:
    alone = [matched(one, thread, protecting=protecting) for one in several]
    assert matched(Selector(any_of=several), thread, protecting=protecting) is max(alone)


@given(a_thread(), plain_selectors, several)
def test_any_stands_beside_the_other_clauses(
    thread: Thread, base: Selector, several: tuple[Selector, ...]
) -> None:
    alone = [matched(one, thread, protecting=False) for one in several]
    both = replace(base, any_of=several)
    expected = min(matched(base, thread, protecting=False), max(alone))
    assert matched(both, thread, protecting=False) is expected


@given(a_thread(), plain_selectors, several)
def test_what_protects_needs_one_view_for_all_clauses(
    thread: Thread, base: Selector, several: tuple[Selector, ...]
) -> None:
    views, both = views_of(thread), replace(base, any_of=several)
    found = matched(both, thread, protecting=True)
    for view in views.each if views is not None else ():
        assert Matcher.of(both).match(thread.key, Views(view, (view,)), protecting=False) <= found


@given(a_thread(), plain_selectors, several, st.booleans())
def test_a_list_of_excepts_cancels_what_any_of_them_cancels(
    thread: Thread, match: Selector, several: tuple[Selector, ...], protects: bool
) -> None:
    def outcome(excepts: Selector) -> MatchOutcome:
        rule = Policy("p", match, excepts, keep_forever=protects, delete=delete(1))
        return Rule.of(rule).outcome(thread.key, views_of(thread))

    strongest = (
        *(MatchOutcome.EXCLUDED, MatchOutcome.UNKNOWN, MatchOutcome.PROTECTS),
        *(MatchOutcome.SPEAKS, MatchOutcome.NO),
    )
    alone = [outcome(one) for one in several]
    assert outcome(Selector(any_of=several)) is min(alone, key=strongest.index)


def test_unread_metadata_leaves_an_alternative_unknown() -> None:
    thread = Selector(kinds=frozenset({Kind.THREAD}))
    held = Selector(any_of=(metadata(a="1"), thread))
    assert Matcher.of(held).match(KEY, None, protecting=True) is Match.UNKNOWN
    assert Matcher.of(held).match(Key("main", Kind.THREAD, "t"), None, protecting=True) is Match.YES
    assert Matcher.of(Selector(any_of=(thread,))).match(KEY, None, protecting=True) is Match.NO


@pytest.mark.parametrize("others", [("plan", "tier"), ("plan",)])
def test_a_policy_is_found_by_each_of_its_alternatives(others: tuple[str, ...]) -> None:
    asked = [metadata(**{key: "x"}) for key in others]
    by_kind = Selector(kinds=frozenset({Kind.CHATKIT_THREAD}))
    book = rulebook(policies(Policy("p", Selector(any_of=(*asked, by_kind)), delete=delete(1))))
    for key in others:
        one = thread(reported={key: "x"})
        assert book.matched(one.key, views_of(one)).speaking
    chatkit = thread(reported={}, kind=Kind.CHATKIT_THREAD)
    assert book.matched(chatkit.key, views_of(chatkit)).speaking
