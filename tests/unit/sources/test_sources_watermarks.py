"""Where the next reading begins: no row is lost to equal dates, late commits or skewed clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from janitor.errors import ConfigError
from janitor.sources.watermark import Layout, Newest, Watermark, mark_of, moved, start_of

AT = datetime(2026, 3, 1, 12, 30, 45, 123456, tzinfo=UTC)
OVERLAP = timedelta(minutes=10)
SECONDS = int(AT.timestamp())

SPELLINGS: dict[str, Any] = {
    "aware": lambda at: at,
    "naive": lambda at: at.replace(tzinfo=None),
    "date": lambda at: at.date(),
    "seconds": lambda at: int(at.timestamp()),
    "fraction": lambda at: Decimal(int(at.timestamp() * 1000)) / 1000,
    "milliseconds": lambda at: int(at.timestamp() * 1000),
    "microseconds": lambda at: int(at.timestamp() * 1_000_000),
    "sqlite": lambda at: f"{at:%Y-%m-%d %H:%M:%S}",
    "minutes": lambda at: f"{at:%Y-%m-%d %H:%M}",
    "day": lambda at: f"{at:%Y-%m-%d}",
    "javascript": lambda at: f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z",
    "django": lambda at: str(at.replace(tzinfo=None)),
    "zone": lambda at: (at + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_time_is_read_as_it_is_spelled(name: str) -> None:
    mark = mark_of(SPELLINGS[name](AT))
    assert mark is not None
    assert AT - timedelta(days=1) < mark.at <= AT
    assert Watermark.of(mark.spelled()) == mark


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 99_999_999, 10**18, float("nan"), float("inf"), "", "soon", "12345", b"x"],
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert mark_of(value) is None


moments = st.integers(-(10**9), 10**9).map(lambda seconds: AT + timedelta(seconds=seconds))


@pytest.mark.slow
@pytest.mark.parametrize("name", SPELLINGS)
@given(at=moments, later=st.timedeltas(timedelta(), timedelta(minutes=10)))
def test_the_beginning_stands_before_every_spelling_within_the_overlap(
    name: str, at: datetime, later: timedelta
) -> None:
    spell = SPELLINGS[name]
    mark = mark_of(spell(at))
    assert mark is not None
    begins = start_of(mark, at + OVERLAP, OVERLAP)
    assert begins < spell(mark.at - OVERLAP + later)
    assert begins < spell(at)


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_beginning_is_no_more_than_two_units_earlier(name: str) -> None:
    spell = SPELLINGS[name]
    mark = mark_of(spell(AT))
    assert mark is not None
    early = spell(mark.at - OVERLAP - timedelta(seconds=2 * mark.layout.unit + 1))
    assert early <= start_of(mark, AT, OVERLAP)


@given(
    commits=st.lists(
        st.tuples(
            st.integers(0, 3600),  # when it is committed
            st.integers(0, 280),  # how long it was open before that, dated at its begin
            st.integers(-300, 300),  # by how much its writer's clock is off
        ),
        max_size=40,
    ),
    syncs=st.lists(st.integers(0, 3600), max_size=12),
)
def test_no_row_is_lost(commits: list[tuple[int, int, int]], syncs: list[int]) -> None:
    """Rows dated up to 580 s before they are seen, or after: ten minutes of overlap cover that."""
    rows = [(at, AT + timedelta(seconds=at - lasted + off)) for at, lasted, off in commits]
    known: Watermark | None = None
    seen: set[int] = set()
    for sync_at in [*sorted(syncs), 3600]:
        clock = AT + timedelta(seconds=sync_at)
        begins: Any = None if known is None else start_of(known, clock, OVERLAP)
        newest = Newest("updated_at")
        for number, (at, dated) in enumerate(rows):
            if at <= sync_at and (begins is None or dated > begins):
                seen.add(number)
                newest.see(dated)
        known = moved(known, newest.seen, clock, OVERLAP)
        assert known is None or known.at <= clock
    assert seen == set(range(len(rows)))


def seen(*marks: Watermark | None) -> dict[Layout, datetime]:
    return {mark.layout: mark.at for mark in marks if mark is not None}


def test_the_future_carries_nothing_past_the_databases_clock() -> None:
    ahead = mark_of(AT + timedelta(days=365))
    mark = moved(mark_of(AT), seen(ahead), AT + timedelta(hours=1), OVERLAP)
    assert mark is not None
    assert mark.at == AT + timedelta(hours=1)


def test_a_clock_that_was_set_back_takes_the_remembered_time_with_it() -> None:
    earlier = AT - timedelta(days=1)
    mark = moved(mark_of(AT), {}, earlier, OVERLAP)
    assert mark is not None
    assert mark.at == earlier
    known = mark_of(AT)
    assert known is not None
    assert start_of(known, earlier, OVERLAP) == earlier - OVERLAP - timedelta(seconds=1)


def test_what_was_seen_before_is_not_forgotten() -> None:
    known, earlier = mark_of(AT), mark_of(AT - OVERLAP)
    assert moved(known, seen(earlier), AT, OVERLAP) == known
    assert moved(known, {}, AT, OVERLAP) == known
    assert moved(None, {}, AT, OVERLAP) is None


def test_a_zero_time_leaves_room_to_count_back() -> None:
    zero = mark_of(datetime(1, 1, 1, tzinfo=UTC))
    assert zero is not None
    begins: Any = start_of(zero, AT, OVERLAP)
    assert begins < datetime(1, 1, 3, tzinfo=UTC)


FAMILIES = (
    ("seconds", "milliseconds", "microseconds"),
    ("sqlite", "minutes", "day", "javascript", "django", "zone"),
)
PAIRS = [(a, b) for family in FAMILIES for a in family for b in family if a != b]


@pytest.mark.parametrize(("one", "other"), PAIRS)
@settings(max_examples=20)
@given(at=moments, later=st.timedeltas(timedelta(), timedelta(minutes=9)))
def test_the_beginning_stands_before_each_format_seen_of_late(
    one: str, other: str, at: datetime, later: timedelta
) -> None:
    at = max(at, AT - timedelta(days=300))  # long before, milliseconds read as seconds
    marks = mark_of(SPELLINGS[one](at)), mark_of(SPELLINGS[other](at + later))
    known = moved(None, seen(*marks), at + OVERLAP, OVERLAP)
    assert known is not None
    assert Watermark.of(known.spelled()) == known
    begins = start_of(known, at + OVERLAP, OVERLAP)
    assert begins < min(SPELLINGS[one](at), SPELLINGS[other](at + later))


def test_a_format_of_long_ago_holds_nothing_back() -> None:
    old, new = mark_of(SECONDS), mark_of((SECONDS + 3600) * 1000)
    known = moved(old, seen(old, new), AT + timedelta(days=1), OVERLAP)
    assert known is not None
    assert known.layouts == (known.layout,)
    assert start_of(known, AT + timedelta(days=1), OVERLAP) > SECONDS * 1000


def test_a_mark_that_was_remembered_without_others_is_read() -> None:
    said = {"at": AT.isoformat(), "form": "text", "separator": "T", "offset": 0, "unit": 1}
    assert Watermark.of(said) == Watermark(AT, Layout("text", "T"))


@pytest.mark.parametrize("fraction", ["", ".5", ".123456"])
def test_a_fraction_or_utc_by_another_name_is_the_same_format(fraction: str) -> None:
    newest = Newest("updated_at")
    for zone in ("Z", "+00:00", ""):
        newest.see(f"2026-03-01T12:00:00{fraction}{zone}")
    assert len(newest.seen) == 1


@pytest.mark.parametrize("value", [1, 99_999_999, "later", True])
def test_a_sequence_is_no_watermark(value: object) -> None:
    newest = Newest("number")
    newest.see(value)
    with pytest.raises(ConfigError, match="sequence"):
        newest.require_times()


ODD = (
    *(0, -62135596800, float("inf"), datetime(1, 1, 1, tzinfo=UTC), "infinity", "-infinity"),
    *("0044-03-15 00:00:00 BC", "12026-01-01", "5874897-12-31", "0001-01-01 00:00:00+02:00"),
    *("9999-12-31T23:59:59-01:00", "0000-00-00 00:00:00"),
)


def test_a_row_that_was_never_dated_is_passed_over() -> None:
    newest = Newest("updated_at")
    for value in (None, 0, SECONDS, *ODD):
        newest.see(value)
    assert newest.seen == seen(mark_of(SECONDS))


@pytest.mark.parametrize("value", ODD)
def test_a_time_that_nobody_meant_is_no_sequence(value: object) -> None:
    newest = Newest("updated_at")
    newest.see(value)
    newest.require_times()
    assert newest.seen == {}


def test_a_date_is_a_day() -> None:
    mark = mark_of(date(2026, 3, 1))
    assert mark is not None
    assert start_of(mark, AT, OVERLAP) == date(2026, 2, 27)
