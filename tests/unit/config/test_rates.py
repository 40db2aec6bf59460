from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.config import parse
from janitor.config.fields import format_rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5/s", 300.0), ("300/min", 300.0), ("1200/h", 20.0), ("auto", "auto"), ("unlimited",) * 2],
)
def test_a_rate_is_calls_a_minute_or_a_word(text: str, rate: object) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "value",
    [
        300,
        5.0,
        0,
        True,
        None,
        "300",
        "0/min",
        "-3/min",
        "5/m",
        "5 /s",
        "5/s\n",
        "Auto",
        "",
    ],
)
def test_anything_else_is_refused_with_what_to_write(value: object) -> None:
    with pytest.raises(ValueError, match="write auto, unlimited or a rate such as 5/s"):
        parse_rate(value)


@given(st.integers(1, 10**8), st.sampled_from(["s", "min", "h"]))
def test_what_is_shown_reads_back(number: int, unit: str) -> None:
    rate = parse_rate(f"{number}/{unit}")
    assert parse_rate(format_rate(rate)) == pytest.approx(rate)


def test_each_verb_of_a_project_has_its_rate_and_auto_is_the_default() -> None:
    key = {"api_key": {"env": "JANITOR_TEST_KEY"}}
    projects = {"bare": key, "set": {**key, "rate": {"delete": "5/s", "write": "unlimited"}}}
    made = parse({"version": 1, "registry": {}, "projects": projects, "policies": []}).projects
    assert asdict(made["bare"].rate) == {"delete": "auto", "read": "auto", "write": "auto"}
    assert asdict(made["set"].rate) == {"delete": 300.0, "read": "auto", "write": "unlimited"}
