from __future__ import annotations

from dataclasses import replace

import pytest
from policy_facts import (
    NOW,
    archive,
    at,
    days,
    delete,
    early,
    lifetime,
    marked_thread,
    metadata,
    policies,
    soft,
    thread,
    trim,
)

from janitor.model import Decision, Hold, Reason, Stage, State, Thread
from janitor.policy import Policies, Policy, decide, decide_unapproved, tightened
from janitor.policy.rules import AgeFrom, KeepLast

TRIAL = metadata(plan="trial")
SLOW = Policy("p", TRIAL, delete=delete(60))
FAST = Policy("p", TRIAL, delete=delete(30))
KEEP = Policy("p", TRIAL, keep_forever=True)
COPY = Policy("p", TRIAL, archive=archive(7), delete=delete(60))
UNDO = Policy("p", TRIAL, soft_delete=soft(20), delete=delete(60))
LAST = Policy("p", TRIAL, delete=delete(30), keep_last=KeepLast(2))
HALF = Policy("p", TRIAL, archive=archive(7))
BESIDE = replace(HALF, beside_default=True)
REST = Policy("rest", default=True, delete=delete(60))
SOON = replace(REST, delete=delete(30))
NONE = policies()
EACH = Policy("each", delete=delete(60))
SPARED = Policy("spared", keep_forever=True)
COPIED = Policy("copied", archive=archive(7))
UNREAD = thread(1, reported=None)


def is_tightened(
    old: Policies,
    new: Policies,
    given: Thread,
    holds: tuple[Hold, ...] = (),
    places: tuple[int, int] = (9, 9),
) -> bool:
    return tightened(
        given,
        old,
        new,
        holds,
        old_ranks={"p": places[0]},
        new_ranks={"p": places[1]},
        now=NOW,
    )


@pytest.mark.parametrize(
    ("old", "new", "given"),
    [
        (policies(SLOW), policies(FAST), thread(1)),
        (policies(SLOW), policies(FAST), thread(None)),
        (policies(SLOW), policies(FAST), thread(None, None)),
        (policies(KEEP), policies(SLOW), thread(1)),
        (policies(KEEP, SLOW), policies(SLOW), thread(1)),
        (NONE, policies(SLOW), thread(1)),
        (NONE, policies(UNDO), thread(1)),
        (policies(SLOW), policies(UNDO), thread(1)),
        (policies(COPY), policies(SLOW), thread(1)),
        (policies(SLOW), policies(replace(SLOW, trim=trim(5, 1))), thread(0, items=6)),
        (policies(Policy("p", delete=delete(None)), FAST), policies(FAST), thread(1)),
        (policies(SLOW), policies(SLOW, life=lifetime(most=90)), thread(1, 80)),
        (policies(FAST, life=lifetime(90)), policies(FAST), thread(1, 1)),
        (policies(SLOW), policies(FAST), thread(1, reported=None)),
        (policies(UNDO), policies(SLOW), marked_thread(99, 9)),
        (policies(HALF, REST), policies(BESIDE, REST), thread(1)),
        (policies(HALF, REST), policies(BESIDE, REST), thread(1, reported=None)),
        (policies(BESIDE, REST), policies(BESIDE, SOON), thread(1)),
        (policies(BESIDE, REST), policies(BESIDE, SOON), thread(1, reported=None)),
        (policies(KEEP, REST), policies(KEEP, SOON), thread(1, reported=None)),
        (policies(KEEP, EACH), policies(KEEP, replace(EACH, delete=delete(30))), UNREAD),
        (policies(FAST, SPARED), policies(FAST), UNREAD),
        (policies(FAST, COPIED), policies(FAST), UNREAD),
    ],
)
def test_a_tightening_and_the_way_back(old: Policies, new: Policies, given: Thread) -> None:
    assert is_tightened(old, new, given)


@pytest.mark.parametrize(
    ("old", "new", "given"),
    [
        (policies(SLOW), policies(SLOW), thread(1)),
        (policies(SLOW), policies(SLOW, Policy("q", archive=early(1))), thread(1)),
        (policies(COPY), policies(replace(COPY, archive=early(7))), thread(1)),
        (policies(replace(COPY, archive=early(7))), policies(COPY), thread(1)),
        (policies(FAST), policies(SLOW), thread(1)),
        (policies(SLOW), policies(KEEP), thread(1)),
        (policies(SLOW), NONE, thread(1)),
        (policies(SLOW), policies(COPY), thread(1)),
        (policies(COPY), policies(KEEP), thread(1)),
        (policies(SLOW), policies(FAST), thread(99)),
        (policies(SLOW), policies(FAST), thread(1, reported={})),
        (policies(SLOW), policies(FAST), thread(1, state=State.DELETED)),
        (policies(SLOW), policies(FAST), thread(1, state=State.MISSING)),
        (policies(SLOW), policies(SLOW), thread(1, reported=None)),
        (policies(KEEP, SOON), policies(KEEP, REST), UNREAD),
        (policies(FAST), policies(FAST, SPARED), UNREAD),
        (policies(FAST), policies(FAST, COPIED), UNREAD),
    ],
)
def test_not_a_tightening(old: Policies, new: Policies, given: Thread) -> None:
    assert not is_tightened(old, new, given)


def test_a_rank_that_is_kept_no_more() -> None:
    fewer = replace(LAST, keep_last=KeepLast(1))
    assert is_tightened(policies(LAST), policies(fewer), thread(99), places=(1, 1))
    assert not is_tightened(policies(LAST), policies(fewer), thread(99), places=(0, 0))
    assert is_tightened(policies(LAST), policies(LAST), thread(99), places=(1, 2))


def test_a_shorter_grace() -> None:
    released = Hold("h", metadata={"plan": "trial"}, released_at=at(-3))
    short = replace(policies(FAST), release_grace=days(4))
    assert is_tightened(policies(FAST), short, thread(99), (released,))
    assert not is_tightened(short, policies(FAST), thread(99), (released,))


def test_what_keeps_a_thread_now_does_not_hide_a_tightening() -> None:
    held = Hold("h", ids=frozenset({"t"}))
    assert is_tightened(policies(SLOW), policies(FAST), thread(1), (held,))
    assert is_tightened(policies(COPY), policies(SLOW), thread(1), (held,))
    assert is_tightened(policies(SLOW), policies(FAST), thread(1, keep_until=at(999)))
    sooner = replace(LAST, delete=delete(20))
    assert is_tightened(policies(LAST), policies(sooner), thread(1), places=(0, 0))
    assert not is_tightened(policies(sooner), policies(LAST), thread(1), places=(0, 0))


def unapproved(old: Policies, new: Policies, given: Thread) -> Decision:
    return decide_unapproved(
        given, old, new, (), approved_ranks={"p": 9}, proposed_ranks={"p": 9}, now=NOW
    )


def test_what_got_earlier_waits() -> None:
    decision = unapproved(policies(SLOW), policies(FAST), thread(31))
    assert decision.stages == ()
    assert decision.reason is Reason.UNAPPROVED
    assert decision.due_at == at(29)
    assert decision.review_at == NOW  # each sweep tells of it


def test_what_was_promised_goes_on() -> None:
    decision = unapproved(policies(SLOW), policies(FAST), thread(61))
    assert decision.stages == (Stage.DELETE,)
    assert decision.reason is None
    assert decision.review_at == at(-31)
    assert decision.policy == "p"


def test_a_protection_keeps_while_the_copy_goes_on() -> None:
    given = thread(99)
    held = Policy("p", TRIAL, archive=archive(7), keep_forever=True)
    for old, new in ((held, COPY), (COPY, held)):
        assert unapproved(policies(old), policies(new), given).stages == (Stage.ARCHIVE,)


def test_both_ranks_protect() -> None:
    given, rules = thread(99), policies(LAST)
    for old, new, stages in ((9, 9, 1), (0, 9, 0), (9, 0, 0)):
        decision = decide_unapproved(
            given, rules, rules, (), approved_ranks={"p": old}, proposed_ranks={"p": new}, now=NOW
        )
        assert len(decision.stages) == stages


def test_an_unknown_date_is_compared_as_now() -> None:
    born = replace(FAST, age_from=AgeFrom.CREATED)
    slow = replace(SLOW, age_from=AgeFrom.CREATED)
    assert is_tightened(policies(slow), policies(born), thread(None, None))
    assert is_tightened(policies(slow), policies(born), thread(1, None))


def test_what_was_loosened_is_loosened_at_once() -> None:
    decision = unapproved(policies(FAST), policies(SLOW), thread(31))
    assert decision.stages == ()
    assert decision.reason is Reason.NOT_DUE
    assert decision.due_at == at(29)
    assert decision.review_at == at(29)


def test_a_protection_that_would_end_goes_on() -> None:
    decision = unapproved(policies(KEEP), policies(FAST), thread(99))
    assert decision.reason is Reason.UNAPPROVED
    assert decision.review_at == NOW


def test_a_copy_is_made_where_either_asks_for_one() -> None:
    for old, new in ((COPY, SLOW), (SLOW, COPY)):
        decision = unapproved(policies(old), policies(new), thread(60))
        assert decision.stages == (Stage.ARCHIVE, Stage.DELETE)
        assert decision.review_at == at(-53)
        assert decision.keep_for == days(90)
        early = unapproved(policies(old), policies(new), thread(8))
        assert early.stages == (Stage.ARCHIVE,)


def test_where_one_side_marks_and_the_other_deletes_it_is_marked() -> None:
    given = thread(61)
    for old, new in ((UNDO, FAST), (FAST, UNDO)):
        decision = unapproved(policies(old), policies(new), given)
        assert decision.stages == (Stage.SOFT_DELETE,)
        assert decision.due_at == at(-41)
    assert unapproved(policies(UNDO), policies(FAST), thread(29)).stages == ()


def test_nothing_due_on_either_side() -> None:
    given = thread(1)
    decision = unapproved(policies(SLOW), policies(FAST), given)
    assert decision == decide(given, policies(FAST), (), {}, NOW)


def test_what_is_promised_but_not_asked_for_any_more_waits() -> None:
    decision = unapproved(policies(UNDO), NONE, thread(61))
    assert decision.stages == ()
    assert decision.reason is Reason.UNMATCHED
    assert decision.review_at is None


def test_nothing_goes_on_where_one_marks_and_the_other_trims() -> None:
    window = Policy("p", TRIAL, trim=trim(5, 1))
    decision = unapproved(policies(UNDO), policies(window), thread(30, items=6))
    assert decision.stages == ()
    assert decision.reason is Reason.UNAPPROVED
    assert decision.review_at == NOW


def test_a_copy_on_the_other_side_is_not_missed() -> None:
    decision = unapproved(policies(COPY), policies(SLOW), thread(1))
    assert decision.stages == ()
    assert decision.review_at == at(6)


def test_a_side_that_waits_is_looked_at_when_the_other_may_change() -> None:
    decision = unapproved(policies(UNDO), policies(FAST), thread(25))
    assert decision.stages == ()
    assert decision.review_at == at(5)
    decision = unapproved(policies(SLOW), policies(FAST), thread(29))
    assert decision.review_at == at(1)
