"""Times that are written as most are, read and stored by the short ways, and by the long ones."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.registry.tables import _written
from janitor.times import _of_text, _of_usual

TIMES = st.datetimes().map(lambda at: at.replace(tzinfo=UTC))
NEAR = st.one_of(
    st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z", fullmatch=True
    ),
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{6}", fullmatch=True
    ),
    st.from_regex(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.[0-9+Z:-]{6}", fullmatch=True),
    st.from_regex(r"[0-9]{4}-.{2}-.{2}[T ].{9}[0-9Z]{0,7}", fullmatch=True),
)


@given(NEAR)
def test_the_short_way_reads_what_the_long_way_reads(text: str) -> None:
    if (at := _of_usual(text)) is not None:
        assert at == _of_text(text)
        assert at.tzinfo is UTC


@given(TIMES)
def test_usual_times_take_the_short_way(at: datetime) -> None:
    whole = at.replace(microsecond=0)
    assert _of_usual(whole.isoformat()[:19] + "Z") == whole
    assert _of_usual(at.replace(tzinfo=None).isoformat(" ", "microseconds")) == at


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00Z", "2026-01-31 24:00:00.000000"])
def test_what_is_no_time_is_left_to_the_long_way(text: str) -> None:
    assert _of_usual(text) is None
    with suppress(ValueError):
        pytest.fail(f"read as {_of_text(text)}")


@given(TIMES)
def test_a_time_is_stored_as_the_standard_library_writes_it(at: datetime) -> None:
    assert _written(at) == at.isoformat(" ", "microseconds")[:26]
