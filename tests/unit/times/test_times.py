"""One parser reads every time that enters, and nothing that nobody set reads as old."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.model import Key, Kind, Thread
from janitor.policy.evaluate import kept_until
from janitor.times import CEILING, FLOOR, FOREVER, LOWEST, heard, heard_until, is_set, parse

AT = datetime(2026, 6, 19, 9, 54, 44, 33000, tzinfo=UTC)
SECOND = AT.replace(microsecond=0)
SPELLED = {
    "2026-06-19 09:54:44.033 +00:00": AT,  # Sequelize
    "2026-06-19T09:54:44.033Z": AT,
    "2026-06-19t09:54:44.033z": AT,
    "2026-06-19 09:54:44.033+00": AT,  # PostgreSQL
    "2026-06-19T11:54:44.033+0200": AT,
    "2026-06-19 11:54:44,033 +02:00": AT,
    "2026-06-19 09:54:44.033 +0000 UTC": AT,  # Go
    "2026-06-19 09:54:44.033 UTC": AT,
    "2026-06-19T09:54:44.033000123Z": AT,
    "2026-06-19 09:54:44.033": AT,
    "20260619T095444Z": SECOND,
    "2026-06-19": SECOND.replace(hour=0, minute=0, second=0),
    str(int(SECOND.timestamp())): SECOND,
    str(int(SECOND.timestamp() * 1000)): SECOND,
    str(int(SECOND.timestamp() * 1_000_000)): SECOND,
    f"{int(SECOND.timestamp())}.0": SECOND,
    "  2026-06-19 09:54:44 ": SECOND,
}
NEVER_SET = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+02:00",
    "0001-01-01 00:00:00 +0000 UTC",
    "0000-00-00 00:00:00",
    "-000001-01-01T00:00:00Z",
    "0044-03-15 00:00:00 BC",
    "1970-01-01",
    "1970-01-01T01:00:00+01:00",
    "1972-12-31T23:59:59.999999Z",
    "1899-12-30",
    "-infinity",
    "0",
    "-62135596800",
    "-1",
    0,
    0.0,
    Decimal(0),
    -62135596800000,
    float("-inf"),
    date(1, 1, 1),
    datetime(1, 1, 1),  # noqa: DTZ001
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
]
BEYOND = [
    "infinity",
    "Infinity",
    "12026-01-01 00:00:00+00",
    "+012026-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59-01:00",
    "294276-12-31 23:59:59.999999+00",
    "5874897-12-31",
    10**400,
    float("inf"),
    Decimal("1E+999"),
    253402300799.5,
    253402300800,  # Python: `datetime.max.timestamp()`
    "253402300800",
    253402344000,  # the same, taken as local time west of Greenwich
    253402300799999,  # .NET, Java and JavaScript: the last millisecond of the year 9999
    "253402300799999",
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
]
NO_TIMES: list[object] = [
    *("soon", "", "2026", "20260131", "nan", "2026-13-01", "2026-02-30T00:00:00Z", "1e", "12:00"),
    *("2026-06-19T25:00:00", "2026-06-19T09:54:44+99:00", None, True, b"2026-06-19", [], 2026),
    *(float("nan"), Decimal("NaN")),
]


@pytest.mark.parametrize("text", SPELLED)
def test_a_time_is_read_in_every_spelling(text: str) -> None:
    assert parse(text) == SPELLED[text]
    assert heard("at", text) == (SPELLED[text], None)


@pytest.mark.parametrize("value", NEVER_SET, ids=repr)
def test_before_the_floor_nothing_was_said(value: object) -> None:
    assert heard("created_at", value) == (None, "created_at is before 1973: taken as never set")
    assert heard_until("keep_until", value).at is None


@pytest.mark.parametrize("value", BEYOND, ids=lambda value: repr(value)[:40])
def test_above_the_ceiling_a_protection_never_ends_and_else_nothing_was_said(
    value: object,
) -> None:
    assert heard("at", value) == (None, "at is after the year 9999: taken as never set")
    assert heard_until("keep_until", value) == (FOREVER, None)


@pytest.mark.parametrize("value", NO_TIMES, ids=repr)
def test_what_cannot_be_read_is_refused_and_as_a_protection_keeps(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse(value)
    if value not in (None, ""):
        with pytest.raises(ValueError, match="created_at: not a time"):
            heard("created_at", value)
        assert heard_until("keep_until", value).at == FOREVER


@pytest.mark.parametrize("text", ["9999-01-01", "9999-12-31T23:59:59Z", "253402300799"])
def test_the_last_year_is_for_ever(text: str) -> None:
    end = heard_until("keep_until", text).at
    assert end is not None
    assert datetime(9999, 1, 1, tzinfo=UTC) <= end <= FOREVER


@pytest.mark.parametrize("text", ["soon", "infinity", "12026-01-01", "9999-12-31T23:59:59-01:00"])
def test_a_mark_to_keep_is_read_by_the_same_parser(text: str) -> None:
    thread = Thread(Key("main", Kind.THREAD, "t"), upstream={"janitor_keep_until": text})
    assert kept_until(thread) == CEILING


zones = st.none() | st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)


@given(st.datetimes(timezones=zones))
def test_any_time_of_the_calendar_is_read_and_never_overflows(at: datetime) -> None:
    for value in (at, at.isoformat(), at.isoformat(" ")):
        found = parse(value)
        assert found.utcoffset() == timedelta()
        if LOWEST < found < CEILING and at.tzinfo is not None:
            assert abs(found - at) < timedelta(minutes=1)  # an offset of seconds is cut
        assert heard("at", value).at == (found if is_set(found) else None)
        assert (heard_until("at", value).at is None) == (found < FLOOR)


@given(st.text(max_size=60) | st.integers() | st.floats() | st.decimals() | st.booleans())
def test_nothing_breaks_the_parser(value: object) -> None:
    try:
        found = parse(value)
    except ValueError:
        return
    assert found.tzinfo is UTC


@given(st.integers(10**8, 10**17))
def test_a_number_is_never_read_older_than_as_seconds_where_it_may_be_seconds(number: int) -> None:
    if number <= 253_402_300_799:
        assert parse(number) == datetime.fromtimestamp(number, UTC)
    assert parse(number) == parse(str(number))


@given(st.datetimes())
def test_the_usual_spelling_is_read_like_any_other(at: datetime) -> None:
    day, time = at.strftime("%Y-%m-%d").rjust(10, "0"), at.strftime("%H:%M:%S")
    assert parse(f"{day}T{time}Z") == parse(f"{day} {time} +00:00")


def test_a_year_that_no_calendar_has_is_read_like_any_other() -> None:
    assert parse("0000-01-31T00:00:00Z") == parse("0000-01-31 00:00:00")
