"""When the service sweeps, driven by a virtual clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from janitor.service.scheduler import JOB, Schedule, Trigger, scheduler

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "UTC")
SPRING = {"Europe/Berlin": date(2026, 3, 29), "America/New_York": date(2026, 3, 8)}
AUTUMN = {"Europe/Berlin": date(2026, 10, 25), "America/New_York": date(2026, 11, 1)}
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 365 * 86400).map(lambda seconds: YEAR + timedelta(seconds=seconds))


def driven(schedule: Schedule, start: datetime, seed: float = 0.5) -> Iterator[datetime]:
    """The times at which a clock that never sleeps would see the schedule fire."""
    trigger = Trigger(schedule, seed)
    previous, now = None, start
    while True:
        previous = now = trigger.get_next_fire_time(previous, now)
        yield now


def during(schedule: Schedule, start: datetime, span: timedelta) -> list[datetime]:
    found: list[datetime] = []
    for at in driven(schedule, start):
        if at >= start + span:
            return found
        found.append(at)
    return found


def cron(text: str, zone: str = "UTC", **options: timedelta) -> Schedule:
    return Schedule(text, None, zone, **options)


def local(times: list[datetime], zone: str) -> list[str]:
    return [f"{at.astimezone(ZoneInfo(zone)):%a %d %H:%M}" for at in times]


START = datetime(2026, 11, 1, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize("sunday", ["0", "7", "sun"])
def test_zero_and_seven_are_sunday(sunday: str) -> None:
    found = during(cron(f"0 4 * * {sunday}"), START, 14 * DAY)
    assert local(found, "UTC") == ["Sun 01 04:00", "Sun 08 04:00"]


def test_one_is_monday() -> None:
    assert local(during(cron("0 4 * * 1"), START, 7 * DAY), "UTC") == ["Mon 02 04:00"]


def test_day_of_month_or_day_of_week() -> None:
    found = during(cron("0 0 13 * 5"), START, 15 * DAY)
    assert local(found, "UTC") == ["Fri 06 00:00", "Fri 13 00:00"]
    found = during(cron("0 0 10 * 5"), START, 15 * DAY)
    assert local(found, "UTC") == ["Fri 06 00:00", "Tue 10 00:00", "Fri 13 00:00"]


def test_a_star_and_a_day_must_both_hold() -> None:
    found = during(cron("0 0 * * 5"), START, 8 * DAY)
    assert local(found, "UTC") == ["Fri 06 00:00"]


@pytest.mark.parametrize("zone", SPRING)
@pytest.mark.parametrize("minute", [0, 30])
def test_a_time_that_the_spring_night_leaves_out_comes_once_at_the_gaps_end(
    zone: str, minute: int
) -> None:
    night = SPRING[zone]
    start = datetime(night.year, night.month, night.day, tzinfo=ZoneInfo(zone)) - DAY
    found = local(during(cron(f"{minute} 2 * * *", zone), start, 3 * DAY), zone)
    assert [one.split()[-1] for one in found] == [f"02:{minute:02}", "03:00", f"02:{minute:02}"]


@pytest.mark.parametrize("zone", AUTUMN)
def test_a_time_that_the_autumn_night_has_twice_comes_once(zone: str) -> None:
    night = AUTUMN[zone]
    start = datetime(night.year, night.month, night.day, tzinfo=ZoneInfo(zone)) - DAY
    found = local(during(cron("30 1,2 * * *", zone), start, 3 * DAY), zone)
    assert [one.split()[-1] for one in found] == ["01:30", "02:30"] * 3


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("start", [date(2026, 3, 1), date(2026, 9, 20)])
@pytest.mark.parametrize("time", ["30 2", "0 0", "59 23", "15 1"])
def test_through_the_months_of_both_dst_nights_every_local_day_has_its_run_once(
    zone: str, start: date, time: str
) -> None:
    begin = datetime(start.year, start.month, start.day, 12, tzinfo=ZoneInfo(zone))
    found = during(cron(f"{time} * * *", zone, jitter=5 * MINUTE), begin, 50 * DAY)
    plain = during(cron(f"{time} * * *", zone), begin, 50 * DAY)
    days = [at.astimezone(ZoneInfo(zone)).date() for at in plain]
    assert len(set(days)) == len(days)
    assert {late - early for early, late in pairwise(days)} == {DAY}
    delays = [late - early for early, late in zip(plain, found, strict=True)]
    assert all(timedelta(0) <= delay <= 5 * MINUTE for delay in delays)


@settings(max_examples=60, deadline=None)
@given(
    MOMENTS,
    st.sampled_from(ZONES),
    st.sampled_from(["30 2 * * *", "*/20 * * * *", "15 0,1,2,3 * * 0", "0 3 1 * 1", "5 */6 * * *"]),
    st.floats(0, 1),
)
def test_the_times_do_not_depend_on_where_one_begins_to_look(
    start: datetime, zone: str, text: str, share: float
) -> None:
    first = next(at for at in driven(cron(text, zone), start - 2 * DAY) if at > start)
    assert next(driven(cron(text, zone), start)) == first
    between = start + share * (first - start)
    assert next(driven(cron(text, zone), min(between, first - MINUTE / 60))) == first


@settings(max_examples=60, deadline=None)
@given(MOMENTS, st.sampled_from(ZONES), st.integers(0, 3600), st.floats(0, 1))
def test_jitter_only_delays_and_loses_no_run(
    start: datetime, zone: str, seconds: int, seed: float
) -> None:
    jitter = timedelta(seconds=seconds)
    found = list(islice(driven(cron("10 */2 * * *", zone, jitter=jitter), start, seed), 20))
    plain = list(islice(driven(cron("10 */2 * * *", zone), start - jitter), 21))
    # Of a time that has passed just before the start, only the delayed run may be still to come.
    due = plain[0 if found[0] - plain[0] <= jitter else 1 :]
    delays = [at - base for base, at in zip(due, found, strict=False)]
    assert all(timedelta(0) <= delay <= jitter for delay in delays)


@settings(max_examples=60, deadline=None)
@given(MOMENTS, st.integers(2, 100_000), st.floats(0, 1), st.floats(0, 0.99))
def test_an_interval_begins_at_once_and_keeps_its_beat(
    start: datetime, seconds: int, seed: float, share: float
) -> None:
    every = timedelta(seconds=seconds)
    found = list(islice(driven(Schedule(None, every, jitter=share * every), start, seed), 20))
    assert found[0] == start
    for number, at in enumerate(found):
        assert timedelta(0) <= at - (start + number * every) <= share * every


def test_times_that_passed_unnoticed_are_made_up_for_by_one_run() -> None:
    trigger = Trigger(Schedule(None, timedelta(seconds=1)), 0.5)
    first = trigger.get_next_fire_time(None, START)
    woken = START + 30 * DAY
    assert trigger.get_next_fire_time(first, woken) == woken + timedelta(seconds=1)


def test_a_run_that_lasts_is_never_doubled_and_what_falls_due_is_told() -> None:
    going, skipped, release = threading.Event(), threading.Event(), threading.Event()
    running: list[int] = []

    def job() -> None:
        running.append(1)
        assert len(running) == 1, "two at once"
        going.set()
        release.wait(30)
        running.pop()

    made = scheduler(Schedule(None, timedelta(seconds=0.05)), job, skipped.set)
    made.start()
    try:
        assert going.wait(30)
        assert skipped.wait(30)
        options = made.get_job(JOB)
        assert (options.coalesce, options.misfire_grace_time) == (True, None)
    finally:
        release.set()
        made.shutdown()
