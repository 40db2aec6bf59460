from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.emulator import limits
from janitor.emulator.errors import ApiError

METADATA = st.dictionaries(st.text(max_size=64), st.text(max_size=512), max_size=16)


@given(METADATA)
def test_metadata_within_the_limits_is_stored_as_it_is(given: dict[str, str]) -> None:
    assert limits.metadata(given) == given


@pytest.mark.parametrize(
    "over",
    [
        {str(n): "" for n in range(17)},
        {"k" * 65: ""},
        {"k": "v" * 513},
        {"k": 1},
        {"k": None},
        ["k"],
        "k",
    ],
)
def test_metadata_over_the_limits_is_refused(over: object) -> None:
    with pytest.raises(ApiError) as refused:
        limits.metadata(over)
    assert refused.value.status == 400
    assert str(refused.value.param).startswith("metadata")


def test_no_metadata_is_an_empty_map() -> None:
    assert limits.metadata(None) == {}
