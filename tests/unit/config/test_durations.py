from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.config.fields import DURATION_PATTERN, LONGEST, format_duration, parse_duration

DURATIONS = st.integers(1, int(LONGEST.total_seconds())).map(lambda s: timedelta(seconds=s))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(days=1)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("1y", timedelta(days=365)),
        ("3d12h", timedelta(days=3, hours=12)),
        ("P30D", timedelta(days=30)),
        ("PT1H", timedelta(hours=1)),
        ("P1DT12H30M", timedelta(days=1, hours=12, minutes=30)),
        ("P1Y", timedelta(days=365)),
        ("0d1s", timedelta(seconds=1)),
    ],
)
def test_a_duration_is_what_it_says(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected
    assert re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize(
    "value",
    [
        30,
        30.0,
        True,
        None,
        "",
        "30",
        "1M",
        "1mo",
        "1 month",
        "P1M",
        "P1M2D",
        "P1Y1M",
        "0s",
        "0d0h",
        "PT0S",
        "-1d",
        "+1d",
        "1.5h",
        "PT1.5H",
        "30 d",
        " 30d",
        "30d\n",
        "1D",
        "1d1d",
        "12h3d",
        "P",
        "PT",
        "P1H",
        "PT1D",
        "P1DT",
        "1d PT1H",
        "٣d",
        "1e3s",
        "1001y",
        "9" * 5000 + "s",
        "999999999999y",
    ],
)
def test_what_may_be_misread_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"duration|month|each unit|zero"):
        parse_duration(value)


@given(DURATIONS)
def test_what_is_formatted_reads_back_as_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.lists(st.integers(0, 99), min_size=6, max_size=6).filter(any))
def test_iso_and_short_forms_agree(counts: list[int]) -> None:
    short = "".join(f"{count}{unit}" for count, unit in zip(counts, "ywdhms", strict=True))
    years, weeks, days, hours, minutes, seconds = counts
    iso = f"P{years}Y{weeks}W{days}DT{hours}H{minutes}M{seconds}S"
    assert parse_duration(short) == parse_duration(iso)


@given(st.text(max_size=8))
def test_any_text_is_read_as_more_than_nothing_or_refused(text: str) -> None:
    try:
        assert parse_duration(text) > timedelta()
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most texts are refused, each with a sentence
