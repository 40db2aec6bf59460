from __future__ import annotations

import pytest
from policy_facts import equals, exists, glob, metadata, thread

from janitor.model import Hold, Key, Kind, Metadata
from janitor.policy import rules
from janitor.policy.matching import Match, Matcher, Views, match_hold, views_of
from janitor.policy.rules import Selector

KEY = Key("main", Kind.CONVERSATION, "t")
A = {"a": "1"}


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
