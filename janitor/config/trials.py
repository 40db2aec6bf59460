"""Run policy fixtures against policies; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from janitor.config.fixtures import Fixture
from janitor.model import Decision
from janitor.policy import Policies, decide
from janitor.policy.ranking import ranks_of


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a decision is not what was expected; times are ISO 8601, `null` stands for none."""

    id: str
    field: str
    expected: str
    actual: str


def try_out(fixture: Fixture, policies: Policies) -> tuple[Difference, ...]:
    """Every difference between what a fixture expects and what the policies decide."""
    ranks = ranks_of(fixture.threads, policies, fixture.now, fixture.holds)
    found: list[Difference] = []
    for thread in fixture.threads:
        if expected := fixture.expected.get(thread.key.id):
            decision = decide(
                thread, policies, fixture.holds, ranks.get(thread.key, {}), fixture.now
            )
            found += _differences(thread.key.id, expected, _said(decision))
    return tuple(found)


def _said(decision: Decision) -> Mapping[str, str | datetime | None]:
    return {
        "stage": decision.stage or "none",
        "policy": decision.policy,
        "due_at": decision.due_at,
        "reason": decision.reason,
    }


def _differences(
    id: str,
    expected: Mapping[str, str | datetime | None],
    said: Mapping[str, str | datetime | None],
) -> Iterator[Difference]:
    for field, value in expected.items():
        if value != said[field]:
            yield Difference(id, field, _shown(value), _shown(said[field]))


def _shown(value: str | datetime | None) -> str:
    match value:
        case None:
            return "null"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            return str(value)
