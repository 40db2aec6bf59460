from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sweep_world import DAY, DELETED, KEYS, NOW, World, enforced, matching, path_of

from janitor.emulator import Emulator, Fault, How
from janitor.engine.accept_missing import Acceptance, accept_missing
from janitor.engine.clock import ClockWatch, Uptime
from janitor.engine.context import RunContext
from janitor.engine.plan import PlanScope
from janitor.model import State
from janitor.policy.rules import Delete, KeepLast, Policy

YEAR = timedelta(days=365)


@dataclass
class Skewed(World):
    """A world whose janitor's clock is `off` the API's."""

    off: timedelta = timedelta()
    since_boot: Callable[[], Uptime | None] = lambda: None

    def clock(self) -> datetime:
        return self.now + self.off

    @asynccontextmanager
    async def context(self, *, changing: bool = True) -> AsyncIterator[RunContext]:
        async with super().context(changing=changing) as context:
            watch = ClockWatch(timedelta(hours=6), self.clock, self.since_boot)
            context.guard.dated = watch.hear
            yield replace(context, clock=self.clock, watch=watch)


@pytest.fixture
def skewed(tmp_path: Path) -> Iterator[Skewed]:
    server = Emulator(KEYS)
    server.clock.set(NOW)
    with server.serve() as served:
        world = Skewed(tmp_path, server, served.base_url, policies=enforced(DELETED))
        yield world
        world.close()


@pytest.mark.parametrize("off", [YEAR, DAY, -DAY])
def test_by_a_clock_that_the_api_contradicts_nothing_is_done(
    skewed: Skewed, off: timedelta
) -> None:
    keys = [skewed.add() for _ in range(12)]
    young = skewed.add(created_at=NOW - DAY, active_at=NOW - DAY)
    skewed.off = off
    wrong = skewed.sweep()
    assert wrong.exit_code == 4
    assert [stop.limit for stop in wrong.stops] == ["clock_step"]
    assert wrong.run.result == "failed"
    assert not skewed.server.deletes
    skewed.off = timedelta()
    assert skewed.sweep().exit_code == 0
    assert {skewed.state(key) for key in keys} == {State.DELETED}
    assert skewed.state(young) is State.ACTIVE


def test_by_a_wrong_clock_no_thread_is_said_to_be_active_again(skewed: Skewed) -> None:
    key = skewed.add()
    skewed.off = DAY
    wanted = Acceptance("gone", "ops", ids=(key.id,), needs_canary=False)
    report = skewed.run(lambda context: accept_missing(context, wanted, threading.Event()))
    (answer,) = report.answers
    assert answer.failed
    assert "clock" in answer.said
    assert skewed.story(key) == []


def test_by_a_clock_so_far_behind_that_all_is_future_nothing_is_done(skewed: Skewed) -> None:
    keys = [skewed.add() for _ in range(12)]
    skewed.off = -YEAR
    skewed.sweep()
    assert not skewed.server.deletes
    skewed.off = timedelta()
    assert skewed.sweep().exit_code == 0
    assert {skewed.state(key) for key in keys} == {State.DELETED}


def test_once_it_is_found_to_be_wrong_nothing_more_is_asked(skewed: Skewed) -> None:
    skewed.concurrency = 1
    keys = [skewed.add(items=0) for _ in range(9)]
    skewed.off = YEAR
    skewed.sweep()
    asked = {key for key in keys for one in skewed.server.log if key.id in one.path}
    assert len(asked) <= 2


def test_a_failure_by_a_wrong_clock_sets_no_date(skewed: Skewed) -> None:
    key = skewed.add()
    before = skewed.entry(key)
    skewed.off = YEAR
    with skewed.server.faulty(Fault(How.STATUS, status=500)):
        skewed.sweep()
    after = skewed.entry(key)
    assert (after.review_at, after.attempts) == (before.review_at, 0)


def test_a_clock_that_goes_wrong_between_items_stops_the_rest(skewed: Skewed) -> None:
    key = skewed.add(items=20)
    skewed.on("DELETE", f"{path_of(key)}/items/*", lambda: setattr(skewed, "off", YEAR))
    assert skewed.sweep().exit_code == 4
    assert 1 <= len(skewed.changing_calls()) <= 16
    assert skewed.state(key) is State.DELETING


def test_a_plan_is_not_applied_by_a_clock_that_the_api_contradicts(skewed: Skewed) -> None:
    key = skewed.add()
    made = skewed.plan()
    skewed.off = YEAR
    assert skewed.apply(made, max_age=2 * YEAR).exit_code == 4
    assert skewed.state(key) is State.ACTIVE
    assert not skewed.server.deletes


def test_what_a_wrong_clock_decided_is_decided_anew(skewed: Skewed) -> None:
    skewed.policies = enforced(replace(DELETED, match=matching(plan="trial")))
    unmatched = skewed.add()
    skewed.sweep()
    assert skewed.entry(unmatched).review_at is None
    skewed.policies = enforced(
        replace(DELETED, match=matching(plan="trial")),
        Policy("last", keep_last=KeepLast(5), delete=Delete(30 * DAY)),
    )
    skewed.approve()
    skewed.add(metadata={"plan": "trial"})
    skewed.off = YEAR
    assert skewed.sweep().exit_code == 4
    skewed.off = timedelta()
    skewed.sweep()
    assert skewed.entry(unmatched).review_at == skewed.now + DAY


def test_a_step_that_the_api_confirms_passes_and_is_remembered(skewed: Skewed) -> None:
    up = [DAY]
    skewed.since_boot = lambda: Uptime("b1", up[0])
    young = skewed.add(created_at=NOW - DAY, active_at=NOW - DAY)
    assert skewed.sweep().exit_code == 0
    skewed.advance(10 * DAY)
    asked = len(skewed.exchanges)
    assert skewed.sweep().exit_code == 0
    assert len(skewed.exchanges) == asked + 2  # one probe
    up[0] += DAY
    skewed.advance(DAY)
    assert skewed.sweep().exit_code == 0
    assert len(skewed.exchanges) == asked + 2  # one probe
    assert skewed.state(young) is State.ACTIVE


def test_a_step_that_nobody_confirms_stops_before_anything_is_counted(skewed: Skewed) -> None:
    skewed.since_boot = lambda: Uptime("b1", DAY)
    key = skewed.add(created_at=NOW - DAY, active_at=NOW - DAY)
    assert skewed.sweep().exit_code == 0
    skewed.advance(YEAR)
    skewed.server.add_fault(Fault("reset"))
    report = skewed.sweep()
    assert report.exit_code == 4
    assert [stop.limit for stop in report.stops] == ["clock_step"]
    assert not report.backlog.due
    assert skewed.state(key) is State.ACTIVE


def test_an_empty_registry_has_nothing_to_lose(skewed: Skewed) -> None:
    skewed.since_boot = lambda: Uptime("b1", DAY)
    assert skewed.sweep().exit_code == 0
    skewed.advance(YEAR)
    assert skewed.sweep().exit_code == 0


def test_a_plan_tells_what_is_wrong_with_the_clock(skewed: Skewed) -> None:
    skewed.since_boot = lambda: Uptime("b1", DAY)
    skewed.add()
    skewed.add(created_at=NOW - DAY, active_at=NOW - DAY)
    assert skewed.plan().document()["limits"]["clock_step"] is None
    skewed.sweep()
    skewed.advance(40 * DAY)
    assert skewed.plan().clock_trouble is None
    assert "since the machine booted" in (skewed.plan(PlanScope(offline=True)).clock_trouble or "")
    skewed.off = YEAR
    assert "the API's answers" in skewed.plan().document()["limits"]["clock_step"]
    assert skewed.plan(hypothetical=True).clock_trouble is None
