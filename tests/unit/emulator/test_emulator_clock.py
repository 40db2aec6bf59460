from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from janitor.emulator import Clock

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_it_runs_with_the_machine_until_it_is_set() -> None:
    before = datetime.now(UTC)
    assert before <= Clock().now() <= datetime.now(UTC)


def test_it_stands_still_where_it_is_set() -> None:
    clock = Clock()
    clock.set(AT)
    assert (clock.now(), clock.now()) == (AT, AT)


def test_it_advances_standing_or_running() -> None:
    running, standing = Clock(), Clock(AT)
    running.advance(timedelta(days=1))
    standing.advance(timedelta(days=1))
    assert running.now() - datetime.now(UTC) > timedelta(hours=23)
    assert standing.now() == AT + timedelta(days=1)


def test_setting_it_undoes_the_advance() -> None:
    clock = Clock()
    clock.advance(timedelta(days=1))
    clock.set(AT)
    assert clock.now() == AT


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        Clock().set(AT.replace(tzinfo=None))
