"""Whatever the registry, the disk or the application's function does: calls go on, loudly."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from openai import OpenAI
from tracked import DEADLINE, Place

import janitor
from janitor.registry import Registry
from janitor.testing import Emulated
from janitor.tracking import COUNTERS, deliver, delivery, flush, inbox
from janitor.tracking.inbox import inbox_of
from janitor.tracking.spool import Spool, make_private

SECRET = "a value that nobody may read in a log"  # noqa: S105 - metadata of a test


@pytest.fixture
def client(api: Emulated) -> Iterator[OpenAI]:
    with OpenAI(base_url=api.base_url, api_key=api.api_key, max_retries=0) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that does not answer is given up soon, and tried again soon."""
    monkeypatch.setattr(inbox, "PATIENCE", 0.2)
    monkeypatch.setattr(delivery, "LONGEST", 0.1)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "janitor.tracking"]


def until_warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    deadline = time.monotonic() + DEADLINE
    while not warned(caplog):
        assert time.monotonic() < deadline, "nobody was warned"
        time.sleep(0.01)
    return warned(caplog)


def test_a_locked_registry_holds_nobody_up_and_gets_all_of_it_later(
    client: OpenAI, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(place.database, isolation_level=None)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        tracked = janitor.track(client, place.url, metadata={"secret": SECRET})
        made = [tracked.conversations.create().id for _ in range(3)]
        assert not flush(0.5)
        (said,) = until_warned(caplog)
        locker.execute("ROLLBACK")
    assert "another process has been writing to it for too long; 0 dropped" in said
    assert SECRET not in said
    assert place.told() == [("register", one) for one in made]
    assert COUNTERS.dropped == 0


def test_a_registry_that_is_not_there_is_waited_for(
    client: OpenAI, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.database.unlink()
    made = janitor.track(client, place.url).conversations.create()
    assert "the registry does not exist yet, or its path is wrong" in until_warned(caplog)[0]
    assert not place.database.exists()
    assert [one["id"] for one in place.spooled()] == [made.id]
    Registry.open(place.url).close()
    assert place.told() == [("register", made.id)]


def test_a_full_spool_drops_loudly_and_once_a_minute(
    client: OpenAI,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place.database.unlink()
    monkeypatch.setattr(delivery, "LIMIT", 300)
    tracked = janitor.track(client, place.url)
    made = [tracked.conversations.create().id for _ in range(5)]
    assert [one["id"] for one in place.spooled()] == made[:1]
    assert COUNTERS.dropped == 4
    assert len(warned(caplog)) == 1


def test_a_spool_that_cannot_be_written_drops_loudly(
    client: OpenAI,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = place.directory / "file"
    file.write_text("in the way")
    tracked = janitor.track(client, f"spool://{file}")
    assert tracked.conversations.create().id
    assert COUNTERS.dropped == 1
    assert "spool" in until_warned(caplog)[0]


def test_a_spool_that_cannot_be_read_is_not_the_registrys_fault(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    (place.directory / "file").write_text("in the way")

    def opened() -> Spool:
        make_private(place.directory / "file" / "spool")
        raise AssertionError

    registry = inbox_of(place.url)
    assert not isinstance(registry, Path)
    working = delivery.Delivery(registry, opened, lambda: None)
    working.begin()
    (said,) = until_warned(caplog)
    working.end()
    assert "the spool cannot be read; retrying: File exists; let this user" in said
    assert "sqlite" not in said


@pytest.mark.parametrize("failure", [ValueError(SECRET), KeyError(SECRET)])
def test_an_applications_function_that_raises_costs_the_metadata_alone(
    client: OpenAI, place: Place, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def metadata() -> Mapping[str, object]:
        raise failure

    made = janitor.track(client, place.url, metadata=metadata).conversations.create()
    assert place.told() == [("register", made.id)]
    assert place.rows()[0].metadata is None
    (said,) = warned(caplog)
    assert type(failure).__name__ in said
    assert SECRET not in said


def test_metadata_that_cannot_be_kept_is_left_out_loudly(
    client: OpenAI, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    told = {"user_id": "u", "long": "x" * 600}
    tracked = janitor.track(client, place.url, metadata=told, send=["long", "user_id"])
    made = tracked.conversations.create()
    assert made.metadata is not None
    assert made.metadata.keys() == {"janitor_created_at", "user_id"}
    assert place.told() == [("register", made.id)]
    assert place.rows()[0].metadata == {"user_id": "u"}
    assert "left out" in warned(caplog)[0]


def test_nothing_raises_where_the_post_itself_fails(
    client: OpenAI, place: Place, api: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(SECRET)

    tracked = janitor.track(client, place.url)
    monkeypatch.setattr(delivery.Post, "put", broken)
    tracked.conversations.create()
    tracked.conversations.update(api.server.add_conversation(), metadata={})
    assert COUNTERS.dropped == 2


def test_a_spool_of_ones_own_is_delivered_by_somebody_else(client: OpenAI, place: Place) -> None:
    directory = place.directory / "given"
    tracked = janitor.track(client, f"spool://{directory}", metadata={"plan": "trial"})
    made = tracked.conversations.create()
    assert flush(DEADLINE)
    assert deliver(directory, place.url) == 1
    assert deliver(directory, place.url) == 0
    assert [(row.id, row.metadata) for row in place.rows()] == [(made.id, {"plan": "trial"})]


@pytest.mark.usefixtures("place")
def test_one_logger_says_it_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            COUNTERS.drop("a reason")
    assert len(warned(caplog)) == 1
    assert COUNTERS.dropped == 100
