"""What applications say only adds; an operator's word may replace a mere first sight."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.model import Key, Kind, State
from janitor.policy import Policies, Policy, decide
from janitor.policy.activity import Sightings, last_activity
from janitor.policy.rules import AgeFrom, Delete, Lifetime
from janitor.registry import InboxNotice, Registered, Registration, Registry, Settlement
from janitor.registry.entries import entry_of
from janitor.registry.mapping import Values, sightings_of
from janitor.registry.registrations import fresh, merged
from janitor.registry.tables import THREAD

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Key("main", Kind.CONVERSATION, "conv_1")


def seen(registry: Registry) -> None:
    """A thread whose activity is known from a first sight alone."""
    registry.registrations.add([Registration(KEY)], NOW - 9 * DAY)
    sight = Sightings(None, None, NOW, None, "item", NOW)
    registry.settlements.settle(
        [Settlement(KEY, NOW + DAY, sightings=sight, upstream={}, decided=True)]
    )


def active_at(registry: Registry) -> datetime | None:
    entry = registry.threads.get(KEY)
    assert entry is not None
    return entry.thread.last_active_at


@pytest.mark.parametrize("event", ["touch", "register"])
@pytest.mark.parametrize("metadata", [None, {"plan": "x"}])
@pytest.mark.parametrize("created_at", [None, NOW - 90 * DAY])
def test_a_word_dated_before_the_first_sight_takes_nothing_away(
    registry: Registry, event: str, metadata: dict[str, str] | None, created_at: datetime | None
) -> None:
    seen(registry)
    early = NOW - 60 * DAY
    said = InboxNotice("main", "conversation", "conv_1", early, event, created_at, metadata)
    registry.inbox.append([said])
    registry.inbox.drain(NOW + DAY)
    assert active_at(registry) == NOW
    registry.inbox.append([replace(said, at=NOW + DAY)])
    registry.inbox.drain(NOW + DAY)
    assert active_at(registry) == NOW + DAY


def test_a_use_told_together_with_the_registration_is_not_forgotten_by_later_words(
    registry: Registry,
) -> None:
    said = InboxNotice("main", "conversation", "conv_1", NOW, "register", NOW, {"plan": "x"})
    used = InboxNotice("main", "conversation", "conv_1", NOW + DAY, "touch")
    registry.inbox.append([said, used])
    registry.inbox.drain(NOW + DAY)
    assert active_at(registry) == NOW + DAY
    registry.inbox.append([replace(said, metadata={"plan": "x", "more": "y"})])
    registry.inbox.drain(NOW + DAY)
    assert active_at(registry) == NOW + DAY


def test_a_word_about_a_thread_of_unknown_activity_dates_it_from_its_first_sight(
    registry: Registry,
) -> None:
    registry.registrations.add([Registration(KEY)], NOW - 9 * DAY)
    registry.inbox.append([InboxNotice("main", "conversation", "conv_1", NOW - 60 * DAY, "touch")])
    registry.inbox.drain(NOW)
    assert active_at(registry) is None
    sight = Sightings(None, None, NOW, None, "item", NOW)
    registry.settlements.settle([Settlement(KEY, NOW + DAY, sightings=sight, decided=True)])
    assert active_at(registry) == NOW


def test_saying_it_again_changes_nothing(registry: Registry) -> None:
    said = InboxNotice(
        "main", "conversation", "conv_1", NOW - DAY, created_at=NOW - DAY, metadata={}
    )
    registry.inbox.append([said])
    registry.inbox.drain(NOW)
    registry.settlements.reschedule([(KEY, NOW + 9 * DAY, None, None)])
    registry.inbox.append([said])
    registry.inbox.drain(NOW)
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.review_at == NOW + 9 * DAY


def test_an_operator_may_replace_a_first_sight_and_it_is_counted(registry: Registry) -> None:
    seen(registry)
    said = Registration(KEY, last_active_at=NOW - 60 * DAY)
    assert registry.registrations.compare([said]) == Registered(updated=1, due_earlier=1)
    assert registry.registrations.add([said], NOW + DAY) == Registered(updated=1, due_earlier=1)
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert (entry.thread.last_active_at, entry.dated_before) == (NOW - 60 * DAY, NOW)
    assert registry.registrations.add([said], NOW + DAY) == Registered(unchanged=1)
    settled = Settlement(KEY, NOW + DAY, sightings=entry.sightings, decided=True)
    registry.settlements.settle([settled])
    decided = registry.threads.get(KEY)
    assert decided is not None
    assert decided.dated_before is None, "it was decided on"


def test_a_touch_outlives_an_operators_earlier_word(registry: Registry) -> None:
    seen(registry)
    registry.inbox.append([InboxNotice("main", "conversation", "conv_1", NOW - 5 * DAY, "touch")])
    registry.inbox.drain(NOW)
    registry.registrations.add([Registration(KEY, last_active_at=NOW - 60 * DAY)], NOW)
    assert active_at(registry) == NOW - 5 * DAY


def test_a_touch_goes_out_with_a_report_and_never_alone(registry: Registry) -> None:
    touch = InboxNotice("main", "conversation", "conv_1", NOW + DAY, "touch")
    registry.registrations.add([Registration(KEY)], NOW)
    registry.inbox.append([touch])
    registry.inbox.drain(NOW)
    assert [one.last_active_at for one in registry.registrations.stream()] == [None]
    registry.registrations.add([Registration(KEY, last_active_at=NOW)], NOW)
    assert [one.last_active_at for one in registry.registrations.stream()] == [NOW + DAY]


times = st.integers(-400, 40).map(lambda days: NOW + days * DAY)
maybe = st.none() | times
words = st.builds(
    Registration,
    st.just(KEY),
    created_at=maybe,
    last_active_at=maybe,
    keep_until=maybe,
    metadata=st.none() | st.just({"plan": "x"}),
)
rows = st.builds(
    lambda said, **seen: fresh(said) | seen,
    words,
    upstream_at=maybe,
    baseline_at=maybe,
    changed_at=maybe,
    touched_at=maybe,
)
POLICIES = [
    Policies((Policy("all", delete=Delete(30 * DAY), age_from=age),), lifetime=lifetime)
    for age in AgeFrom
    for lifetime in (Lifetime(), Lifetime(min=DAY), Lifetime(max=400 * DAY))
]


def due_at(row: Values, policies: Policies) -> datetime:
    names = {column.name: None for column in THREAD.c} | {"copy_is_current": False, "attempts": 0}
    thread = entry_of({**names, **row}, frozenset()).thread
    due = decide(thread, policies, (), {}, NOW).due_at
    return datetime.max.replace(tzinfo=UTC) if due is None else due


@given(row=rows, said=st.lists(words, min_size=1, max_size=6), policies=st.sampled_from(POLICIES))
def test_no_word_of_an_application_brings_a_due_date_forward(
    row: Values, said: list[Registration], policies: Policies
) -> None:
    before = due_at(row, policies)
    for word in said:
        row = merged(row, word, adds_only=True)
        after = due_at(row, policies)
        assert after >= before
        before = after


@given(row=rows, said=words, sight=times)
def test_no_word_brings_the_date_of_a_later_first_sight_forward(
    row: Values, said: Registration, sight: datetime
) -> None:
    unseen = row | {"baseline_at": None}

    def dated(one: Values) -> datetime | None:
        looked = one | {"baseline_at": sight}
        return last_activity(looked["created_at"], sightings_of(looked))

    before, after = dated(unseen), dated(merged(unseen, said, adds_only=True))
    assert before is not None
    assert after is not None
    assert after >= before


def test_a_tombstone_hears_nothing() -> None:
    row = fresh(Registration(KEY)) | {"state": State.DELETED}
    said = Registration(KEY, NOW, NOW, NOW)
    assert merged(row, said, adds_only=True) == merged(row, said, adds_only=False) == row
