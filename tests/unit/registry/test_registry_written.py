"""Registries that an earlier program wrote are read by the floor of today."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from postgres import Server

from janitor.model import Key, Kind, State
from janitor.policy.activity import Sightings
from janitor.registry import Entry, Registry

TABLES = Path(__file__).parents[2] / "fixtures" / "069d9ca"
ROWS = Path(__file__).parent / "written"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def key(id: str, project: str = "main") -> Key:
    return Key(project, Kind.CONVERSATION, id)


@pytest.fixture(params=["sqlite", "postgresql"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a registry that commit 069d9ca wrote, with only the rows of odd times."""
    tables = (TABLES / f"{request.param}.sql").read_text(encoding="utf-8")
    rows = (ROWS / f"odd_times.{request.param}.sql").read_text(encoding="utf-8")
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "janitor.db")) as connection:
            connection.executescript(tables + rows)
        return f"sqlite:///{tmp_path / 'janitor.db'}"
    url: str = request.getfixturevalue("postgres_url")
    server: Server = request.getfixturevalue("postgres")
    name = url.partition("@/")[2].partition("?")[0]
    target = server.admin.rpartition(" dbname=")[0]
    with psycopg.connect(f"{target} dbname={name}", autocommit=True) as connection:
        connection.execute((tables + rows).encode())
    return url


@pytest.fixture
def upgraded(written: str) -> dict[str, Entry]:
    with Registry.open(written, untrusted=None, screen=None) as registry:
        return {entry.thread.key.id: entry for entry in registry.threads.select()}


def test_times_that_were_never_set_are_gone_and_the_others_stand(
    upgraded: dict[str, Entry],
) -> None:
    both = upgraded["conv_both_epoch"].thread
    assert (both.created_at, both.last_active_at) == (None, None)
    assert both.reported == {"plan": "trial"}
    active = upgraded["conv_active_zero"].thread
    assert (active.created_at, active.last_active_at) == (NOW - 90 * DAY, None)
    sound = upgraded["conv_sound"]
    assert sound.thread.created_at == NOW - 90 * DAY
    assert (sound.thread.last_active_at, sound.thread.keep_until) == (NOW - 80 * DAY, NOW + 9 * DAY)
    assert sound.review_at == NOW


def test_what_is_left_dates_a_thread_and_it_is_decided_anew(upgraded: dict[str, Entry]) -> None:
    for name in ("conv_seen_epoch", "conv_marked"):
        entry = upgraded[name]
        assert entry.thread.last_active_at == NOW
        assert entry.sightings == Sightings(baseline_at=NOW, newest_item="i1")
        assert entry.due_at is None
        assert entry.review_at is not None
        assert entry.review_at > NOW + DAY, "up for review from the migration on"
    assert upgraded["conv_marked"].thread.state is State.SOFT_DELETED


def test_who_is_trusted_dates_as_before(written: str) -> None:
    opened = Registry.open(written, untrusted=None, screen=None)
    with opened as registry, registry.store.reading() as connection:
        found = connection.exec_driver_sql(
            "SELECT last_active_at FROM thread WHERE id = 'conv_distrusted'"
        ).scalar()
    assert str(found).startswith("2026-03-01 00:00:00")


def test_what_waited_in_the_inbox_is_read_by_the_same_floor(written: str) -> None:
    with Registry.open(written) as registry:
        drained = registry.inbox.drain(NOW + DAY)
        waiting, sound = (
            registry.threads.get(key("conv_waiting")),
            registry.threads.get(key("conv_sound")),
        )
    assert (drained.judged, drained.refused, drained.odd_times) == (2, 0, 2)
    said = "is before 1973: taken as never set"
    assert drained.remarks == (
        f"conv_waiting: created_at {said}, at {said}",
        f"conv_sound: at {said}",
    )
    assert waiting is not None
    assert (waiting.thread.created_at, waiting.thread.last_active_at) == (None, None)
    assert waiting.thread.reported == {"plan": "x"}
    assert sound is not None
    assert sound.thread.last_active_at == NOW - 80 * DAY
