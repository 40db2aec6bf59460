"""What follows from a vanished row, drawn: it hastens, and whatever says keep still wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from policy_facts import NOW, at, days, delete, exists, lifetime, metadata, policies, soft, thread
from policy_strategies import EXPIRY, a_thread, moments, some_holds, some_policies, some_ranks

from janitor.model import REMOVING, Decision, Hold, Reason, Stage, State, Thread
from janitor.policy import (
    VANISHED,
    Policies,
    Policy,
    Ranks,
    as_before,
    decide,
    decide_unapproved,
    first_to_remove,
    tightened,
    weigh,
    with_edit_grace,
)
from janitor.policy.schedule import NEVER, Times

GIVEN = (a_thread(), some_policies(), some_holds, some_ranks)
YEAR = Policy("year", metadata(plan="trial"), delete=delete(365))
MARKED = Policy("marked", metadata(plan="trial"), soft_delete=soft(200))
KEPT = Policy("kept", keep_forever=True)
KEEP = policies(YEAR)
MONTH = policies(YEAR, expire=30)
WEEK = policies(YEAR, expire=7)


def removals(times: Times) -> list[datetime]:
    return [NEVER if due is None else due.at for due in times[1:]]


def removed_at(
    thread: Thread, given: Policies, holds: Sequence[Hold] = (), ranks: Ranks | None = None
) -> list[datetime]:
    return removals(weigh(thread, given, holds, ranks or {}, NOW).times)


def gone(known: Thread, at: datetime = NOW) -> Thread:
    return replace(known, source="chats", vanished_at=at)


@pytest.mark.slow
@given(*GIVEN)
def test_what_has_not_vanished_is_decided_as_ever(
    known: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks
) -> None:
    keeping, expiring = replace(given, expire={}), replace(given, expire=EXPIRY)
    for one in (
        replace(known, source="chats", vanished_at=None),
        replace(known, source="others"),
        replace(known, source=None),
    ):
        assert decide(one, expiring, holds, ranks, NOW) == decide(one, keeping, holds, ranks, NOW)


@given(*GIVEN, moments)
def test_nothing_is_later_for_it_and_nothing_earlier_than_its_date(
    known: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks, vanished_at: datetime
) -> None:
    known = gone(known, vanished_at)
    keeping, expiring = replace(given, expire={}), replace(given, expire=EXPIRY)
    before = removed_at(known, keeping, holds, ranks)
    hastened = removed_at(known, expiring, holds, ranks)

    for early, late in zip(hastened, before, strict=True):
        assert early <= late
        assert early == late or early >= vanished_at + EXPIRY["chats"]


@pytest.mark.slow
@given(*GIVEN, moments)
def test_later_activity_and_a_later_date_to_keep_never_make_anything_earlier(
    known: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks, until: datetime
) -> None:
    used = replace(known, last_active_at=max(until, known.last_active_at or until))
    kept = replace(known, keep_until=max(until, known.keep_until or until))
    before = removed_at(known, given, holds, ranks)
    if known.last_active_at is not None and known.state is not State.SOFT_DELETED:
        for early, late in zip(before, removed_at(used, given, holds, ranks), strict=True):
            assert early <= late
    for early, late in zip(before, removed_at(kept, given, holds, ranks), strict=True):
        assert early <= late


@pytest.mark.slow
@given(*GIVEN)
def test_a_hold_and_keep_forever_stand_above_it(
    known: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks
) -> None:
    held = decide(gone(known), given, (*holds, Hold("h", ids=frozenset("t"))), ranks, NOW)
    forever = replace(given, rules=(*given.rules, KEPT))
    kept = decide(gone(known), forever, holds, ranks, NOW)
    assert not REMOVING.intersection((*held.stages, *kept.stages))


def is_tightened(old: Policies, new: Policies, given: Thread) -> bool:
    return tightened(given, old, new, (), old_ranks={}, new_ranks={}, now=NOW)


@pytest.mark.parametrize("active", [40, None])
@pytest.mark.parametrize(("old", "new"), [(KEEP, MONTH), (MONTH, WEEK), (KEEP, WEEK)])
def test_to_expire_or_to_expire_sooner_is_a_tightening(
    old: Policies, new: Policies, active: float | None
) -> None:
    known = thread(active, vanished=5)
    assert is_tightened(old, new, known)
    assert first_to_remove(known, new, NOW) in {VANISHED, "year"}
    assert not is_tightened(new, old, known), "to expire no more is loosened at once"
    assert not is_tightened(old, new, thread(active)), "what is still there loses nothing"


def unapproved(old: Policies, new: Policies, known: Thread) -> Decision:
    return decide_unapproved(known, old, new, (), approved_ranks={}, proposed_ranks={}, now=NOW)


def test_until_it_is_approved_nothing_expires() -> None:
    known = thread(40, vanished=10)
    decision = unapproved(MONTH, WEEK, known)
    assert (decision.stages, decision.reason) == ((), Reason.UNAPPROVED)
    assert decision.due_at == at(20), "what was promised goes on"
    assert unapproved(KEEP, WEEK, known).stages == ()
    assert unapproved(WEEK, KEEP, known).stages == ()
    assert unapproved(WEEK, MONTH, thread(40, vanished=30)).stages == (Stage.DELETE,)


def test_the_mark_counts_under_what_asked_for_it() -> None:
    times = weigh(thread(40, vanished=9), policies(MARKED, expire=30), (), {}, NOW).times
    assert times.soft_delete is not None
    assert times.delete is not None
    assert (times.soft_delete.policy, times.soft_delete.at) == (VANISHED, at(21))
    assert (times.delete.policy, times.delete.at) == (VANISHED, at(22))


def test_a_grace_ends_where_the_row_would_have_expired_anyway() -> None:
    excepted = replace(YEAR, excepts=metadata(department=exists()))
    known = thread(40, reported={"plan": "trial"}, vanished=28)
    old = as_before(known, reported={"plan": "trial", "department": "legal"}, upstream=None)
    for expire, until in ((30, at(2)), (None, at(7))):
        given = policies(excepted, expire=expire)
        found = with_edit_grace(old, known, given, (), ranks_before={}, ranks={}, now=NOW)
        assert found.grace_until == until


def test_an_expiry_beyond_the_calendar_never_comes() -> None:
    far = replace(KEEP, expire={"chats": timedelta.max})
    decision = decide(thread(40, vanished=9), far, (), {}, NOW)
    assert (decision.due_at, decision.reason) == (at(325), Reason.NOT_DUE)


def test_each_source_has_its_own() -> None:
    given = replace(policies(life=lifetime()), expire={"chats": days(9), "mails": days(90)})
    known = thread(40, vanished=10)
    assert decide(known, given, (), {}, NOW).stages == (Stage.DELETE,)
    assert decide(replace(known, source="mails"), given, (), {}, NOW).stages == ()
