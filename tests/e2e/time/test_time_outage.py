"""Days on which the provider refuses everybody or is not there, hour by hour, and the day after.

What "pages nobody" means is `Scrape.pages`: none of the alerts of docs/operations.md may fire.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from running_service import Ask, beside_the_service
from timed_world import KEY, Timed, timed
from virtual_time import VirtualClock

from janitor.emulator import Emulator, Fault, How
from janitor.model import Key, State
from janitor.service.scheduler import Trigger

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
AFTER = 7 * DAY
POLICIES = """\
schedule: {every: 2h}
policies:
  - {name: old, default: true, delete: {after: 7d}}
"""
AUTO = "{delete: auto, read: auto, write: auto}"


@dataclass(frozen=True)
class Scrape:
    """What the alerts look at, at one moment."""

    at: datetime
    tripped: float
    overdue: float
    since_success: float
    failed_sweeps: float
    failed_actions: float
    up: float

    @classmethod
    def of(cls, world: Timed) -> Scrape:
        last = world.metric("janitor_sweep_last_success_timestamp_seconds")
        return cls(
            world.now,
            world.metric("janitor_limit_tripped"),
            world.metric("janitor_overdue_seconds", policy="old"),
            world.now.timestamp() - last,
            world.metric("janitor_sweeps_total", result="failed"),
            world.metric("janitor_actions_total", outcome="failed"),
            world.metric("janitor_registry_up"),
        )

    def pages(self, history: list[Scrape]) -> list[str]:
        """The alerts that fire; increases are those over a day."""
        before = next((one for one in history if one.at >= self.at - DAY), self)
        fires = {
            "registry": self.up != 1,
            "limit": self.tripped > 0,
            "overdue": self.overdue > 7 * 86400,
            "no success": self.since_success > 2 * 86400,
            "sweeps": self.failed_sweeps - before.failed_sweeps > 1 and self.since_success > 21600,
            "actions": self.failed_actions > before.failed_actions and self.overdue > 86400,
        }
        return [name for name, is_firing in fires.items() if is_firing]


class Days:
    """A service through the days: each `every` a new conversation, every other hour a sweep."""

    def __init__(self, world: Timed, every: timedelta, ask: Ask) -> None:
        self.world = world
        self._ask = ask
        self.every = every
        self._created: dict[Key, datetime] = {}
        self._history: list[Scrape] = []
        self._trigger = Trigger(world.live.schedule(), 0.5)
        self._fired_at: datetime | None = None
        self._newest = BEGIN - AFTER
        self._arrive(BEGIN)

    def until(self, end: datetime) -> list[list[str]]:
        """Sweep at each fire time before `end`; the alerts that fire after each."""
        fired = []
        while (at := self._trigger.get_next_fire_time(self._fired_at, self.world.now)) < end:
            self._fired_at = at
            self.world.clock.set(max(at, self.world.now))
            self._arrive(self.world.now)
            self.world.sweep()
            assert (self._ask("/healthz"), self._ask("/readyz")) == (200, 200)
            self._history.append(Scrape.of(self.world))
            fired.append(self._history[-1].pages(self._history))
        self.world.clock.set(max(end, self.world.now))
        return fired

    @property
    def overdue(self) -> list[float]:
        """What the last day's scrapes said."""
        return [one.overdue for one in self._history if one.at > self.world.now - DAY]

    @property
    def keys(self) -> set[Key]:
        return set(self._created)

    def due(self) -> set[Key]:
        """What should be gone by now."""
        return {key for key, at in self._created.items() if at + AFTER <= (self._fired_at or BEGIN)}

    def _arrive(self, now: datetime) -> None:
        while self._newest + self.every <= now:
            self._newest += self.every
            self._created[self.world.add(self._newest)] = self._newest


def refusing(asked: str | None) -> Fault:
    headers = {} if asked is None else {"retry-after": asked}
    return Fault(How.STATUS, status=429, headers=headers)


@pytest.mark.parametrize(
    ("asked", "every"), [(None, HOUR), ("20", HOUR), ("3600", HOUR), (None, 3 * HOUR)]
)
def test_days_of_429_and_outage_lose_nothing_and_page_nobody_after(
    tmp_path: Path, asked: str | None, every: timedelta
) -> None:
    clock = VirtualClock(BEGIN)
    server = Emulator({KEY: "main"}, clock=clock)
    with timed(tmp_path, server, clock, AUTO, POLICIES) as world:
        beside_the_service(world.live, lambda ask: live_through(Days(world, every, ask), asked))


def live_through(days: Days, asked: str | None) -> None:
    server, registry = days.world.server, days.world.registry
    healthy = days.until(BEGIN + DAY / 2)
    assert healthy == [[]] * 6
    with server.faulty(refusing(asked)):
        days.until(BEGIN + 1.5 * DAY)
    with server.faulty(Fault(How.STATUS, status=500)):
        days.until(BEGIN + 2 * DAY)
    with server.faulty(Fault(How.RESET)):
        ill = days.until(BEGIN + 2.5 * DAY)
    assert "actions" in ill[-1], "an outage that lasts is told"
    healthy = days.until(BEGIN + 3.5 * DAY)
    assert healthy == [[]] * 11, "quiet from the first sweep on"
    assert set(days.overdue) == {0}
    assert list(registry.threads.select(failed=True)) == []
    gone = days.due()
    states = {entry.thread.key: entry.thread.state for entry in registry.threads.select()}
    assert {key for key, state in states.items() if state is State.DELETED} == gone
    assert {states[key] for key in days.keys - gone} == {State.ACTIVE}
    assert server.deletes == Counter({key.id: 1 for key in gone})
