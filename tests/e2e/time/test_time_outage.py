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
from janitor.service.schedule import Trigger

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
            world.metric("janitor_limit_tripped"),
            world.metric("janitor_overdue_seconds", policy="old"),
            world.now.timestamp() - last,
            world.metric("janitor_sweeps_total", result="failed"),
            world.metric("janitor_actions_total", outcome="failed"),
            world.metric("janitor_registry_up"),
        )

    def pages(self, before: Scrape) -> list[str]:
        """The alerts that fire, given what was scraped before the window of the increases."""
        fires = {
            "registry": self.up != 1,
            "tripped": self.tripped > 0,
            "overdue": self.overdue > (7 * DAY).total_seconds(),
            "no success": self.since_success > (2 * DAY).total_seconds(),
            "failed sweeps": self.failed_sweeps > before.failed_sweeps,
            "failed actions": self.failed_actions > before.failed_actions,
        }
        return [name for name, is_firing in fires.items() if is_firing]


class Days:
    """A service through the days: each `every` a new conversation, every other hour a sweep."""

    def __init__(self, world: Timed, every: timedelta, ask: Ask) -> None:
        self.world = world
        self._ask = ask
        self.every = every
        self._created: dict[Key, datetime] = {}
        self._trigger = Trigger(world.live.schedule(), 0.5)
        self._fired_at: datetime | None = None
        self._newest = BEGIN - AFTER
        self._arrive(BEGIN)

    def until(self, end: datetime) -> list[Scrape]:
        """Sweep at each fire time before `end`; what is scraped after each."""
        scrapes = []
        while (at := self._trigger.get_next_fire_time(self._fired_at, self.world.now)) < end:
            self._fired_at = at
            self.world.clock.set(max(at, self.world.now))
            self._arrive(self.world.now)
            self.world.sweep()
            assert (self._ask("/healthz"), self._ask("/readyz")) == (200, 200)
            scrapes.append(Scrape.of(self.world))
        self.world.clock.set(max(end, self.world.now))
        return scrapes

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
    assert [scrape.pages(healthy[0]) for scrape in healthy] == [[]] * len(healthy)
    with server.faulty(refusing(asked)):
        days.until(BEGIN + 1.5 * DAY)
    with server.faulty(Fault(How.STATUS, status=500)):
        days.until(BEGIN + 2 * DAY)
    with server.faulty(Fault(How.RESET)):
        ill = days.until(BEGIN + 2.5 * DAY)
    assert ill[-1].overdue > (46 * HOUR).total_seconds(), "an outage is seen"
    healthy = days.until(BEGIN + 3.5 * DAY)
    assert [scrape.pages(ill[-1]) for scrape in healthy] == [[]] * len(healthy)
    assert {scrape.overdue for scrape in healthy} == {0}
    assert list(registry.select(failed=True)) == []
    gone = days.due()
    states = {entry.thread.key: entry.thread.state for entry in registry.select()}
    assert {key for key, state in states.items() if state is State.DELETED} == gone
    assert {states[key] for key in days.keys - gone} == {State.ACTIVE}
    assert server.deletes == Counter({key.id: 1 for key in gone})
