"""`keep_until` is the application's word: registered, or upstream as metadata."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from janitor.model import Key, Kind, Reason, Thread
from janitor.policy import decide
from janitor.policy.rules import Delete, Policies, Policy

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=100)
POLICIES = Policies((Policy("all", default=True, delete=Delete(timedelta(days=30))),))


def kept(upstream: str | None, registered: datetime | None = None) -> Reason | None:
    metadata = {} if upstream is None else {"janitor_keep_until": upstream}
    key = Key("main", Kind.CONVERSATION, "conv_1")
    thread = Thread(
        key, created_at=OLD, last_active_at=OLD, upstream=metadata, keep_until=registered
    )
    return decide(thread, POLICIES, (), {}, NOW).reason


@pytest.mark.parametrize("said", ["forever", "2026-06-01T00:00:01Z", "2026-06-02", "who knows", ""])
def test_metadata_upstream_keeps_a_thread_and_what_cannot_be_read_keeps_it_too(said: str) -> None:
    assert kept(said) is Reason.KEEP_UNTIL


@pytest.mark.parametrize("said", [None, "2026-06-01T00:00:00Z", "2026-05-31T23:59:59+00:00"])
def test_a_time_that_has_come_keeps_nothing(said: str | None) -> None:
    assert kept(said) is None


def test_it_only_lengthens() -> None:
    assert kept("2026-01-01", registered=NOW + timedelta(days=1)) is Reason.KEEP_UNTIL
    assert kept("2026-06-02", registered=NOW - timedelta(days=1)) is Reason.KEEP_UNTIL
