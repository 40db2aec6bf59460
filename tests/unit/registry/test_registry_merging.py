"""What is reported of a thread again, by the same or by another, and what stays of before."""

from __future__ import annotations

from datetime import UTC, datetime

from janitor.model import Key, Kind, Metadata
from janitor.registry import Registration, Registry

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Key("main", Kind.THREAD, "t")
MARK = "janitor_keep_until"


def reported(registry: Registry, *said: Registration) -> Metadata | None:
    for one in said:
        registry.registrations.add([one], NOW)
    entry = registry.threads.get(KEY)
    assert entry is not None
    return entry.thread.reported


def of_source(**metadata: str) -> Registration:
    about = frozenset({"user_id", "tier"})
    return Registration(KEY, metadata=metadata, source="chats", speaks_of=about)


def test_what_a_source_does_not_speak_of_stays(registry: Registry) -> None:
    imported = Registration(KEY, metadata={"plan": "trial", "user_id": "u-1"})
    after = reported(registry, imported, of_source(user_id="u-2", tier="gold"))
    assert after == {"plan": "trial", "user_id": "u-2", "tier": "gold"}


def test_what_a_source_speaks_of_and_no_longer_says_is_cleared(registry: Registry) -> None:
    assert reported(registry, of_source(user_id="u-1", tier="gold"), of_source(user_id="u-1")) == {
        "user_id": "u-1"
    }


def test_what_speaks_of_everything_replaces_everything(registry: Registry) -> None:
    first, then = ({"plan": "trial", "user_id": "u-1"}, {"plan": "paid"})
    assert (
        reported(registry, Registration(KEY, metadata=first), Registration(KEY, metadata=then))
        == then
    )


def test_an_import_without_the_mark_keeps_it(registry: Registry) -> None:
    marked = Registration(KEY, metadata={MARK: "2027-01-01", "plan": "trial"})
    plain = Registration(KEY, metadata={"plan": "paid"})
    assert reported(registry, marked, plain) == {MARK: "2027-01-01", "plan": "paid"}


def test_an_import_with_an_earlier_mark_does_not_shorten_it(registry: Registry) -> None:
    marked = Registration(KEY, metadata={MARK: "2027-01-01"})
    earlier = Registration(KEY, metadata={MARK: "2026-04-01"})
    assert reported(registry, marked, earlier) == {MARK: "2027-01-01"}
