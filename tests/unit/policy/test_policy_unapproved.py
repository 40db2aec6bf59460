"""Two sets of policies at once, drawn: what either keeps is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_facts import NOW
from policy_strategies import (
    a_thread,
    metadata,
    some_holds,
    some_policies,
    some_ranks,
    walks,
)

from janitor.model import REMOVING, Decision, Hold, Kind, Metadata, Reason, Stage, Thread
from janitor.policy import (
    PSEUDO_POLICIES,
    Policies,
    Ranks,
    decide,
    decide_unapproved,
    first_to_remove,
    tightened,
    weigh,
)

Sides = tuple[Policies, Policies]
GIVEN = (a_thread(), st.tuples(some_policies(), some_policies()), some_holds, some_ranks)
ENDING = frozenset({Stage.SOFT_DELETE, Stage.DELETE})


def both(
    thread: Thread,
    sides: Sides,
    holds: Sequence[Hold],
    ranks: Ranks,
    now: datetime = NOW,
) -> Decision:
    old, new = sides
    return decide_unapproved(
        thread, old, new, holds, approved_ranks=ranks, proposed_ranks=ranks, now=now
    )


@pytest.mark.slow
@given(*GIVEN)
def test_nothing_is_removed_that_either_side_would_keep(
    thread: Thread, sides: Sides, holds: Sequence[Hold], ranks: Ranks
) -> None:
    stages = both(thread, sides, holds, ranks).stages
    for side in sides:
        alone = decide(thread, side, holds, ranks, NOW).stages
        assert {*stages} & {Stage.TRIM, Stage.DELETE} <= {*alone}
        if Stage.SOFT_DELETE in stages:
            assert ENDING & {*alone}


@pytest.mark.slow
@given(*GIVEN)
def test_what_both_sides_remove_goes_on_and_what_either_copies_is_copied(
    thread: Thread, sides: Sides, holds: Sequence[Hold], ranks: Ranks
) -> None:
    stages = both(thread, sides, holds, ranks).stages
    old, new = (decide(thread, side, holds, ranks, NOW).stages for side in sides)
    assert {*old} & {*new} <= {*stages}
    assert (Stage.ARCHIVE in (*old, *new)) == (Stage.ARCHIVE in stages)


@pytest.mark.slow
@given(*GIVEN)
def test_nothing_goes_without_the_copy_that_either_side_asks_for(
    thread: Thread, sides: Sides, holds: Sequence[Hold], ranks: Ranks
) -> None:
    stages = both(thread, sides, holds, ranks).stages
    if Stage.DELETE in stages and not thread.copy_is_current:
        cases = [weigh(thread, side, holds, ranks, NOW) for side in sides]
        asked = any(case.times.archive is not None for case in cases)
        assert asked == (Stage.ARCHIVE in stages)


@pytest.mark.slow
@given(*GIVEN, walks)
def test_no_stage_falls_due_before_the_next_look(
    thread: Thread,
    sides: Sides,
    holds: Sequence[Hold],
    ranks: Ranks,
    walk: Sequence[datetime],
) -> None:
    decision = both(thread, sides, holds, ranks)
    if decision.stages:
        return
    for at in walk:
        if decision.review_at is None or at < decision.review_at:
            assert both(thread, sides, holds, ranks, at).stages == ()


@pytest.mark.slow
@given(*GIVEN)
def test_unapproved_is_what_the_new_policies_alone_would_remove(
    thread: Thread, sides: Sides, holds: Sequence[Hold], ranks: Ranks
) -> None:
    if both(thread, sides, holds, ranks).reason is Reason.UNAPPROVED:
        old, new = sides
        assert REMOVING & {*decide(thread, new, holds, ranks, NOW).stages}
        assert not REMOVING & {*decide(thread, old, holds, ranks, NOW).stages} & ENDING


@pytest.mark.slow
@given(*GIVEN)
def test_whoever_tightens_has_a_name(
    thread: Thread, sides: Sides, holds: Sequence[Hold], ranks: Ranks
) -> None:
    old, new = sides
    name = first_to_remove(thread, new, NOW)
    if tightened(thread, old, new, holds, old_ranks=ranks, new_ranks=ranks, now=NOW):
        known = {rule.name for side in sides for rule in side.rules} | {*PSEUDO_POLICIES, None}
        assert name in known


@pytest.mark.slow
@given(*GIVEN)
def test_where_nothing_is_tightened_the_new_policies_remove_nothing_that_waits(
    thread: Thread, sides: Sides, holds: Sequence[Hold], ranks: Ranks
) -> None:
    old, new = sides
    if tightened(thread, old, new, holds, old_ranks=ranks, new_ranks=ranks, now=NOW):
        return
    alone = decide(thread, new, holds, ranks, NOW).stages
    assert REMOVING & {*alone} == REMOVING & {*both(thread, sides, holds, ranks).stages}


@pytest.mark.slow
@given(*GIVEN, metadata)
def test_what_is_no_tightening_unread_is_none_whatever_is_read(
    thread: Thread, sides: Sides, holds: Sequence[Hold], ranks: Ranks, read: Metadata
) -> None:
    old, new = sides
    key = replace(thread.key, kind=Kind.CONVERSATION)  # others have none upstream to be read
    unread = replace(thread, key=key, reported=None, upstream=None)
    if tightened(unread, old, new, holds, old_ranks=ranks, new_ranks=ranks, now=NOW):
        return
    known = replace(unread, reported=read, upstream=read)
    assert not tightened(known, old, new, holds, old_ranks=ranks, new_ranks=ranks, now=NOW)
