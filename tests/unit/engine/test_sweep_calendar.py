"""Days are days of 24 hours: neither the calendar nor the machine's time zone moves a date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sweep_world import DELETED, World, enforced

from janitor.model import Key, State

MICROSECOND = timedelta(microseconds=1)

# When a thread was last active, and when thirty days later are over.
THIRTY_DAYS = {
    "due on the leap day": ("2028-01-30T00:00:00", "2028-02-29T00:00:00"),
    "last active on the leap day": ("2028-02-29T23:59:59.999999", "2028-03-30T23:59:59.999999"),
    "due in the hour that New York leaves out": ("2028-02-11T07:30:00", "2028-03-12T07:30:00"),
    "due in the hour that Berlin leaves out": ("2028-02-25T01:30:00", "2028-03-26T01:30:00"),
    "last active as Berlin leaps": ("2028-03-26T00:59:59.999999", "2028-04-25T00:59:59.999999"),
    "Berlin's first half past two": ("2028-10-29T00:30:00", "2028-11-28T00:30:00"),
    "Berlin's second half past two": ("2028-10-29T01:30:00", "2028-11-28T01:30:00"),
    "New York's first half past one": ("2028-11-05T05:30:00", "2028-12-05T05:30:00"),
    "New York's second half past one": ("2028-11-05T06:30:00", "2028-12-05T06:30:00"),
    "due at the year's end": ("2028-12-01T23:59:59.999999", "2028-12-31T23:59:59.999999"),
    "last active at the year's end": ("2028-12-31T23:59:59.999999", "2029-01-30T23:59:59.999999"),
}
Put = Callable[[str], None]


@pytest.fixture
def machine_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Puts the process into a time zone."""

    def put(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("registered_in", "swept_in"),
    [
        ("America/New_York", "Europe/Berlin"),
        ("Europe/Berlin", "America/New_York"),
    ],
)
def test_each_goes_at_its_microsecond_and_not_one_before(
    world: World, machine_in: Put, registered_in: str, swept_in: str
) -> None:
    world.policies, keys = enforced(DELETED), dict[str, Key]()

    def register(name: str, at: datetime) -> None:
        machine_in(registered_in)
        keys[name] = world.add(items=0, created_at=at.replace(microsecond=0), active_at=at)

    def expect(name: str, state: State) -> None:
        machine_in(swept_in)
        world.sweep()
        assert world.state(keys[name]) is state, name

    def keep(name: str, _: datetime) -> None:
        expect(name, State.ACTIVE)

    def go(name: str, _: datetime) -> None:
        expect(name, State.DELETED)

    timeline = [
        (at, name, act)
        for name, (active_at, due_at) in THIRTY_DAYS.items()
        for at, act in (
            (utc(active_at), register),
            (utc(due_at) - MICROSECOND, keep),
            (utc(due_at), go),
        )
    ]
    for at, name, act in sorted(timeline, key=lambda line: line[0]):
        world.server.clock.set(at)
        act(name, at)
