"""What a progress line says: how far, how long, and what is waited for. By a clock of the test."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rates import UNLIMITED
from sweep_world import COPIED, DELETED, NOW, World, enforced

from janitor.app.run_log import LOGGED_EVERY, logged
from janitor.app.run_metrics import look
from janitor.engine.apply import apply, load
from janitor.engine.context import RunContext
from janitor.engine.progress import Progress, expected_end, tell_end
from janitor.engine.report import Report
from janitor.engine.sweep import Orders, sweep
from janitor.policy.rules import Limits
from janitor.rate_limit import Allowance, Exchange, ProjectLimiter, Urgency, Verb
from janitor.registry import RunResult


class Watch:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def at_rate(progress: Progress, watch: Watch, **rates: Allowance) -> ProjectLimiter:
    limiter = ProjectLimiter(
        "main",
        rates={**UNLIMITED, **{Verb(verb): rate for verb, rate in rates.items()}},
        clock=watch,
    )
    progress.watch(limiter)
    return limiter


def test_without_a_total_it_says_how_long_it_has_taken() -> None:
    watch = Watch()
    progress = Progress(watch)
    progress.begin("upgrading the registry")
    watch.now += 75
    assert (progress.line(), progress.left) == ("upgrading the registry: 75 s so far", None)
    progress.advance(1200)
    assert progress.line() == "upgrading the registry: 1,200 threads, 75 s so far"


def test_without_calls_the_time_left_follows_from_the_time_it_has_taken() -> None:
    watch = Watch()
    progress = Progress(watch)
    progress.begin("importing chats.csv", 4000, noun="bytes")
    assert progress.line() == "importing chats.csv: 0 of 4,000 bytes"
    watch.now += 60
    progress.reach(1000)
    assert progress.line() == "importing chats.csv: 1,000 of 4,000 bytes, about 3 min left"
    progress.reach(4000)
    assert progress.left == 0


def test_with_calls_the_time_left_follows_from_the_rate_at_which_they_leave() -> None:
    watch = Watch()
    progress = Progress(watch)
    at_rate(progress, watch, delete=60.0)
    progress.begin("sweeping", 100, calls={("main", Verb.DELETE): 600.0})
    assert progress.left == pytest.approx(600 / 60 / 0.98 * 60, rel=0.01)
    for _ in range(3 * 50):  # half as many as was expected
        progress.hear("main", Exchange("DELETE", "/conversations/conv_1", 200, 0.0))
    progress.advance(50)
    assert progress.left == pytest.approx(150 / 0.98, rel=0.03)


def test_another_step_begins_anew() -> None:
    progress = Progress(Watch())
    progress.begin("sweeping", 10)
    progress.advance(4)
    progress.begin("removing archive copies", 3, noun="copies")
    assert progress.line() == "removing archive copies: 0 of 3 copies"


def test_no_time_left_is_shown_until_it_can_be_told() -> None:
    watch = Watch()
    progress = Progress(watch)
    progress.begin("sweeping", 100)
    watch.now += 5
    progress.advance(4)
    assert progress.line() == "sweeping: 4 of 100 threads"
    progress.advance()
    assert progress.line() == "sweeping: 5 of 100 threads, about 2 min left"
    progress.begin("sweeping", 100)
    progress.advance()
    watch.now += 9
    assert progress.line() == "sweeping: 1 of 100 threads"
    watch.now += 1
    assert progress.line() == "sweeping: 1 of 100 threads, about 16 min left"


def test_threads_under_way_do_not_make_the_others_look_longer() -> None:
    watch = Watch()
    progress = Progress(watch)
    at_rate(progress, watch, delete=60.0)
    progress.begin("sweeping", 100)

    def delete(times: int) -> None:
        for _ in range(times):
            progress.hear("main", Exchange("DELETE", "/conversations/conv_1", 200, 0.0))

    with ExitStack() as under_way:
        with progress.step():
            delete(4)
        for _ in range(8):
            under_way.enter_context(progress.step())
            delete(2)
        assert progress.left == pytest.approx((400 - 20) / 0.98, rel=0.03)
    assert progress.done == 9


def test_a_step_that_has_a_longest_time_says_so() -> None:
    watch = Watch()
    progress = Progress(watch)
    progress.begin("waiting for another janitor", most=timedelta(seconds=30))
    watch.now += 4
    assert progress.line() == "waiting for another janitor: 4 s of 30 s"


def test_more_than_was_expected_is_no_more_than_all() -> None:
    progress = Progress(Watch())
    progress.begin("sweeping", 2)
    progress.advance(3)
    assert progress.line() == "sweeping: 3 of 3 threads, about 0 s left"


async def call(limiter: ProjectLimiter) -> None:
    async with limiter.admitted(Verb.DELETE, Urgency.SWEEP):
        pass


def test_a_rate_that_is_waited_for_is_named_with_the_setting() -> None:
    watch = Watch()
    progress = Progress(watch)
    limiter = at_rate(progress, watch, delete=300.0)

    async def wait() -> str:
        calls = [asyncio.create_task(call(limiter)) for _ in range(9)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        line = progress.line()
        for one in calls:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return line

    assert asyncio.run(wait()).endswith(
        "; waiting for the delete rate: 300/min, configured; set projects.main.rate.delete to go "
        "faster"
    )


def lines_after(waits: Iterator[bool], caplog: pytest.LogCaptureFixture) -> list[str]:
    progress, asked = Progress(Watch()), list[float]()
    progress.begin("sweeping", 8)
    ended = threading.Event()

    def wait(over: threading.Event, seconds: float) -> bool:
        asked.append(seconds)
        progress.advance()
        if is_over := next(waits):
            ended.set()
        return is_over

    with caplog.at_level(logging.INFO, "janitor.progress"), logged(progress, wait):
        assert ended.wait(60)
    assert set(asked) == {LOGGED_EVERY}
    return [record.getMessage() for record in caplog.records if record.name == "janitor.progress"]


def test_without_a_terminal_a_line_is_logged_every_half_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = lines_after(iter([False, False, True]), caplog)
    assert [line.partition(" threads")[0] for line in lines] == [
        "sweeping: 1 of 8",
        "sweeping: 2 of 8",
    ]


def test_what_takes_less_than_half_a_minute_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert lines_after(iter([True]), caplog) == []


def shown(world: World) -> dict[tuple[str, ...], float]:
    """The expected ends that a scrape finds, by labels."""
    look(world.metrics, world.registry, NOW)
    name = "janitor_sweep_expected_end_timestamp_seconds"
    families = [one for one in world.metrics.families() if one.name == name]
    return {tuple(one.labels.values()): one.value for family in families for one in family.samples}


def test_the_expected_end_is_that_of_the_open_sweep(world: World) -> None:
    watch, registry = Watch(), world.registry
    progress = Progress(watch)
    at_rate(progress, watch, delete=60.0)
    progress.begin("sweeping", 100, calls={("main", Verb.DELETE): 600.0})
    assert expected_end(registry, NOW) is None
    run = registry.runs.start("sweep", "enforce", "digest", NOW)
    assert expected_end(registry, NOW) is None
    tell_end(registry, run.id, progress, NOW)
    end = expected_end(registry, NOW)
    assert end is not None
    assert (end.run, end.mode) == (run.id, "enforce")
    assert end.at - NOW == pytest.approx(timedelta(seconds=612), abs=timedelta(seconds=2))
    assert expected_end(registry, NOW + timedelta(minutes=6)) is None, "nobody renewed it"
    assert shown(world) == {("enforce",): end.at.timestamp()}
    registry.runs.close(run.id, RunResult.DONE, NOW)
    assert expected_end(registry, NOW) is None
    assert shown(world) == {}


class First(Progress):
    """Remembers the time left as it is when threads are first counted."""

    first: float | None = None

    def begin(self, title: str, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - what it takes
        super().begin(title, *arguments, **named)
        if self.total is not None:
            self.first = self.left


@pytest.mark.slow
@pytest.mark.parametrize("costs", [True, False])
def test_apply_begins_with_the_time_left_that_its_plan_told(world: World, *, costs: bool) -> None:
    world.policies, world.rates = enforced(DELETED), {**UNLIMITED, Verb.DELETE: 60.0}
    for _ in range(8):
        world.add(items=9)
    made = world.plan()
    document = json.loads(json.dumps({"schema": 1, **made.document()}, default=str))
    if not costs:
        document["cost"] = {"deletes": "many"}
    read, progress = load(json.dumps(document).encode(), "plan.json"), First()

    async def work(context: RunContext) -> Report:
        for project in context.projects.values():
            assert project.limiter is not None
            progress.watch(project.limiter)
        return await apply(replace(context, progress=progress), read, threading.Event())

    with world.registry.lock():
        assert world.run(work).run.result == RunResult.DONE
    told = made.cost.likely.seconds
    assert progress.first == (pytest.approx(told, rel=0.1) if costs else None)


def first_of_sweep(world: World, limit: int | None) -> tuple[int, float]:
    """How many threads a sweep begins with, and the time left that it begins with."""
    progress = First()

    async def work(context: RunContext) -> Report:
        for project in context.projects.values():
            assert project.limiter is not None
            progress.watch(project.limiter)
        return await sweep(
            replace(context, progress=progress), Orders(limit=limit), threading.Event()
        )

    with world.registry.lock():
        world.run(work)
    assert progress.total is not None
    return progress.total, progress.first or 0.0


UNCHECKED = replace(enforced(DELETED), limits=Limits(max_percent=100))


@pytest.mark.slow
def test_a_limited_sweep_begins_with_the_time_of_its_part(world: World) -> None:
    world.policies, world.rates = UNCHECKED, {**UNLIMITED, Verb.DELETE: 6.0}
    for _ in range(20):
        world.add(items=9)
    with world.registry.lock():
        world.run(lambda context: sweep(context, Orders(limit=1), threading.Event()))  # decides all
    part, part_left = first_of_sweep(world, 2)
    whole, left = first_of_sweep(world, None)
    assert part == 2 < whole
    assert part_left / part == pytest.approx(left / whole, rel=0.3)


@pytest.mark.slow
def test_what_a_limit_stops_takes_no_time(world: World) -> None:
    world.policies, world.rates = enforced(DELETED), {**UNLIMITED, Verb.DELETE: 6.0}
    for _ in range(30):
        world.add(items=9)
    _, stopped = first_of_sweep(world, None)
    world.policies = UNCHECKED
    _, free = first_of_sweep(world, None)
    assert stopped < 1
    assert free > 600


class Titles(Progress):
    """Remembers the steps that were begun."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        super().__init__()

    def begin(self, title: str, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - what it takes
        self.titles.append(title)
        super().begin(title, *arguments, **named)


def decided(world: World) -> list[str]:
    """How a sweep that decides all threads says so."""
    progress = Titles()
    with world.registry.lock():
        world.run(
            lambda context: sweep(replace(context, progress=progress), Orders(), threading.Event())
        )
    return [title for title in progress.titles if title.startswith("deciding")]


def test_only_a_registrys_first_sweep_decides_all_for_the_first_time(world: World) -> None:
    world.add()
    assert decided(world) == ["deciding all threads for the first time"]
    assert decided(world) == []
    world.policies = enforced(DELETED, COPIED)
    assert decided(world) == ["deciding all threads again, since policies or holds changed"]


def test_a_sweep_that_takes_longer_says_when_it_ends(world: World) -> None:
    world.policies, world.concurrency = enforced(DELETED), 1
    keys = [world.add(items=2) for _ in range(3)]
    seen = []
    world.on("DELETE", f"/{keys[0].id}", lambda: world.advance(timedelta(seconds=15)))
    world.on("DELETE", f"/{keys[2].id}", lambda: seen.append(expected_end(world.registry, NOW)))
    world.sweep()
    assert [end is not None for end in seen] == [True]
    assert expected_end(world.registry, world.now) is None, "it is over"
