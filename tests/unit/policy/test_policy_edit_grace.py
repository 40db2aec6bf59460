"""What an edit of its metadata takes from a protection is spared for `release_grace`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from policy_facts import NOW, at, days, delete, exists, lifetime, metadata, policies, soft, thread
from policy_strategies import a_thread, some_holds, some_policies, some_ranks
from policy_strategies import metadata as some_metadata

from janitor.model import REMOVING, Hold, Metadata, Stage, Thread
from janitor.policy import Policies, Policy, Ranks, as_before, decide, with_edit_grace
from janitor.policy.edit_grace import protectors
from janitor.policy.rules import KeepLast

LAW = {"department": "legal"}
ALL = Policy("all", delete=delete(30))
FOREVER = Policy("law", metadata(department="legal"), keep_forever=True)
NEVER = Policy("law", metadata(department="legal"), delete=delete(None))
MARKS = Policy("marks", soft_delete=soft(1), delete=delete(None))
LAST = Policy("law", metadata(department=exists()), keep_last=KeepLast(2, "department"))
EXCEPT = replace(ALL, excepts=metadata(department="legal"))
HELD = Hold("case", metadata=LAW)
GRACE = at(7)


def edited(
    given: Policies,
    *holds: Hold,
    before: Metadata = LAW,
    now_says: Metadata | None = None,
    ranks_before: Ranks | None = None,
    ranks: Ranks | None = None,
    created: float = 1000,
) -> Thread:
    """A thread of 99 days after its metadata was edited, and what it is spared."""
    known = thread(99, created, reported=now_says or {})
    old = as_before(known, reported=before, upstream=None)
    kept: Mapping[str, int] = ranks_before or {}
    return with_edit_grace(old, known, given, holds, ranks_before=kept, ranks=ranks or {}, now=NOW)


@pytest.mark.parametrize(
    ("rules", "holds", "by"),
    [
        ((ALL, FOREVER), (), "policy:law"),
        ((ALL, NEVER), (), "policy:law"),
        ((EXCEPT,), (), "except:all"),
        ((ALL,), (HELD,), "hold:case"),
    ],
    ids=["keep: forever", "delete: never", "except", "hold"],
)
def test_what_protected_it_leaves_a_grace(
    rules: tuple[Policy, ...], holds: tuple[Hold, ...], by: str
) -> None:
    given = policies(*rules)
    found = edited(given, *holds)
    assert (found.grace_until, found.grace_by) == (GRACE, by)
    assert decide(found, given, holds, {}, NOW).reason == "released"
    assert not decide(found, given, holds, {}, GRACE - days(0.001)).stages
    assert decide(found, given, holds, {}, GRACE).stages == ("delete",)


def test_keep_last_leaves_a_grace_to_what_it_kept_and_leaves_its_group() -> None:
    given = policies(ALL, LAST)
    assert edited(given, ranks_before={"law": 1}).grace_by == "policy:law"
    assert edited(given, ranks_before={"law": 2}).grace_until is None
    moved = edited(given, now_says={"department": "hr"}, ranks_before={"law": 1}, ranks={"law": 0})
    assert moved.grace_until is None, "it is kept there, too"
    moved = edited(given, now_says={"department": "hr"}, ranks_before={"law": 1}, ranks={"law": 9})
    assert moved.grace_until == GRACE


@pytest.mark.parametrize(
    ("hold", "until"),
    [
        (replace(HELD, until=at(3)), at(3)),
        (replace(HELD, until=at(30)), GRACE),
        (replace(HELD, until=at(-1)), None),
        (replace(HELD, released_at=at(-5)), at(2)),
        (replace(HELD, released_at=at(-8)), None),
        (Hold("case", ids=frozenset("t")), None),
    ],
    ids=["soon over", "over later", "over", "released", "released long ago", "by id"],
)
def test_nothing_is_kept_longer_than_its_hold_would_have(
    hold: Hold, until: datetime | None
) -> None:
    assert edited(policies(ALL), hold).grace_until == until


def test_a_grace_ends_at_the_ceiling_that_the_protection_would_have_ended_at() -> None:
    near = lifetime(most=102)
    assert edited(policies(EXCEPT, life=near), created=99).grace_until == at(3)
    assert edited(policies(ALL, FOREVER, life=near), created=99).grace_until == GRACE


def test_a_first_reading_is_no_edit() -> None:
    known = thread(99, reported={}, upstream=LAW)
    assert as_before(known, reported=None, upstream=None) == known


def test_a_grace_that_runs_is_not_cut_short() -> None:
    known = replace(thread(99, reported={}), grace_until=at(9), grace_by="hold:old")
    old = as_before(known, reported=LAW, upstream=None)
    found = with_edit_grace(
        old, known, policies(ALL, FOREVER), (), ranks_before={}, ranks={}, now=NOW
    )
    assert found == known


@given(a_thread(), some_metadata, some_policies(), some_holds, st.tuples(some_ranks, some_ranks))
@example(thread(99), {}, policies(MARKS), (), ({}, {}))
def test_what_protected_it_before_keeps_it_now(
    known: Thread,
    before: Metadata,
    given: Policies,
    holds: Sequence[Hold],
    places: tuple[Ranks, Ranks],
) -> None:
    ranks_before, ranks = places
    old = as_before(known, reported=before, upstream=None)
    lost = protectors(old, given, holds, ranks_before, NOW)
    found = with_edit_grace(
        old, known, given, holds, ranks_before=ranks_before, ranks=ranks, now=NOW
    )

    assert replace(found, grace_until=None, grace_by=None) == replace(
        known, grace_until=None, grace_by=None
    )
    if lost:
        # `delete: never` forbids no soft delete, before an edit or after it.
        never = {f"policy:{one.name}" for one in given.rules if one.delete == delete(None)}
        forbidden = REMOVING if lost.keys() - never else {Stage.DELETE}
        assert not forbidden.intersection(decide(found, given, holds, ranks, NOW).stages)
    again = with_edit_grace(
        old, found, given, holds, ranks_before=ranks_before, ranks=ranks, now=NOW
    )
    assert again == found


@given(a_thread(), some_policies(), some_holds, some_ranks, st.integers(0, 40))
def test_without_an_edit_nothing_is_spared(
    known: Thread, given: Policies, holds: Sequence[Hold], ranks: Ranks, quarters: int
) -> None:
    now = NOW + days(quarters / 4)
    found = with_edit_grace(known, known, given, holds, ranks_before=ranks, ranks=ranks, now=now)
    assert found == known
