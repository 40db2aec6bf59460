from __future__ import annotations

from datetime import datetime

import pytest
from policy_cases_age import AGE
from policy_cases_conflicts import CONFLICTS
from policy_cases_last import LAST_ONES
from policy_cases_metadata import METADATA
from policy_cases_spared import SPARED
from policy_cases_stages import STAGES
from policy_cases_vanished import VANISHED
from policy_facts import NOW, Row, at, policies

from janitor.model import Decision, Reason
from janitor.policy import decide

WANTING = (Reason.UNANSWERED, Reason.NOT_PROBED)
FOREIGN = (
    *(Reason.UNAPPROVED, Reason.NOT_SERVED, Reason.SOURCE_DOWN, Reason.OTHER_PROJECT),
    *WANTING,
)
"""Reasons that a sweep adds to what the policies decide."""
ROWS = [*STAGES, *CONFLICTS, *AGE, *METADATA, *LAST_ONES, *SPARED, *VANISHED]


def decided(row: Row, now: datetime = NOW) -> Decision:
    given = policies(*row.rules, life=row.life, expire=row.expire)
    return decide(row.thread, given, row.holds, row.ranks, now)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_sentence_of_the_language(row: Row) -> None:
    decision = decided(row)

    assert " ".join(decision.stages) == row.stages
    assert decision.reason == row.reason
    assert row.policy in (..., decision.policy)
    for expected, found in ((row.due, decision.due_at), (row.review, decision.review_at)):
        if isinstance(expected, int | float):
            assert found == at(expected)
        else:
            assert expected is ... or found is None


def test_every_reason_stands_in_the_table() -> None:
    said = {row.reason for row in ROWS} - {None}
    assert said == set(Reason) - {*FOREIGN}


def test_the_ids_of_the_table_are_unique() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
