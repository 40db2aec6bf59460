from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.engine.clock import BOOTS, ClockWatch, Uptime
from janitor.errors import LimitError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
STEP = timedelta(hours=6)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)
SPANS = st.timedeltas(-2 * YEAR, 2 * YEAR)


@dataclass
class Machine:
    """A machine whose clock may be set, and whose time since boot may not."""

    now: datetime = NOW
    up: timedelta = DAY
    boot: str | None = "b1"

    def watch(self) -> ClockWatch:
        return ClockWatch(STEP, lambda: self.now, self.uptime)

    def uptime(self) -> Uptime | None:
        return None if self.boot is None else Uptime(self.boot, self.up)

    def pass_by(self, span: timedelta, *, stepped: timedelta = timedelta()) -> None:
        self.up += span
        self.now += span + stepped

    def dated(self, off: timedelta = timedelta()) -> str:
        return format_datetime((self.now - off).astimezone(UTC), usegmt=True)


@given(span=st.timedeltas(timedelta(), YEAR), stepped=SPANS)
def test_a_step_since_the_last_run_is_suspected_however_long_it_slept(
    span: timedelta, stepped: timedelta
) -> None:
    machine = Machine()
    before = machine.watch().remembered(None)
    machine.pass_by(span, stepped=stepped)
    watch = machine.watch()
    watch.compare(before)
    assert watch.is_suspected == (abs(stepped) > STEP)
    assert (watch.trouble is not None) == (abs(stepped) > STEP)


@given(off=SPANS)
def test_an_answer_dated_otherwise_stops(off: timedelta) -> None:
    machine = Machine()
    watch = machine.watch()
    watch.hear(machine.dated(off))
    is_wrong = abs(machine.now - datetime.fromisoformat(_seconds(machine.now - off))) > STEP
    assert (watch.trouble is not None) == is_wrong


def _seconds(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat()


def test_an_answer_that_agrees_lets_a_step_pass() -> None:
    machine = Machine()
    before = machine.watch().remembered(None)
    machine.pass_by(DAY, stepped=YEAR)
    watch = machine.watch()
    watch.compare(before)
    watch.hear(machine.dated(timedelta(minutes=6)))
    assert watch.is_suspected
    watch.hear(machine.dated(timedelta(minutes=4)))
    watch.check()
    again = machine.watch()
    again.compare(watch.remembered(before))
    again.check()


def test_a_clock_once_found_wrong_stays_so_for_the_run() -> None:
    machine = Machine()
    watch = machine.watch()
    watch.hear(machine.dated(DAY))
    watch.hear(machine.dated())
    with pytest.raises(LimitError, match=r"1d ahead of the dates .*clock_step 6h"):
        watch.check()


def test_a_step_back_is_told() -> None:
    machine = Machine()
    before = machine.watch().remembered(None)
    machine.pass_by(DAY, stepped=-YEAR)
    watch = machine.watch()
    watch.compare(before)
    with pytest.raises(LimitError, match=r"365d behind the time since .*timedatectl"):
        watch.check()


@pytest.mark.parametrize("header", [None, "", "yesterday", "Mon, 99 Foo 2026 00:00:00 GMT"])
def test_a_date_that_cannot_be_read_says_nothing(header: str | None) -> None:
    machine = Machine()
    before = machine.watch().remembered(None)
    watch = machine.watch()
    watch.hear(header)
    watch.check()
    machine.pass_by(DAY, stepped=YEAR)
    stepped = machine.watch()
    stepped.compare(before)
    stepped.hear(header)
    assert stepped.is_suspected


def test_other_boots_and_machines_without_a_boot_are_left_alone() -> None:
    machine = Machine()
    before = machine.watch().remembered(None)
    for other in (Machine(NOW + YEAR, boot="b2"), Machine(NOW + YEAR, boot=None)):
        watch = other.watch()
        watch.compare(before)
        watch.check()
        back = machine.watch()
        back.compare(watch.remembered(before))
        back.check()


def test_only_so_many_boots_are_remembered() -> None:
    remembered = None
    for number in range(3 * BOOTS):
        remembered = Machine(boot=f"b{number}").watch().remembered(remembered)
    assert remembered is not None
    assert remembered.count(":") == BOOTS
    assert f'"b{3 * BOOTS - 1}"' in remembered


def test_a_date_that_no_calendar_holds_says_nothing() -> None:
    watch = Machine().watch()
    watch.hear("Mon, 01 Jan 99999999999999999999 00:00:00 GMT")
    assert watch.trouble is None
