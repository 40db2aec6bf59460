"""What is added upstream never touches what the application set, and metadata stays sane."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from janitor.model import Kind
from janitor.registry.registrations import check_metadata
from janitor.texts import PAIRS
from janitor.tracking.calls import Act, Call, added, clean, with_metadata

CREATE = Call(Act.CREATE, Kind.CONVERSATION)
RUN = Call(Act.CREATE_AND_RUN, Kind.THREAD)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["metadata", "thread", "items"]) | st.text(), inner)
    ),
)
WORDS = st.text("abcdefghij", min_size=1, max_size=3)


def sent(call: Call, body: object, extra: dict[str, str]) -> Any:  # noqa: ANN401
    made = with_metadata(call, json.dumps(body).encode(), extra)
    return None if made is None else json.loads(made)


def test_the_time_goes_first_then_what_is_named_and_known() -> None:
    told = {"user_id": "u", "plan": "p"}
    expected = {"janitor_created_at": "2026-01-31T12:00:00Z", "plan": "p"}
    assert added(told, NOW, tag=True, send=["plan", "other"]) == expected
    assert added(told, NOW, tag=False, send=[]) == {}


def test_metadata_is_made_where_there_is_none() -> None:
    nothing: list[dict[str, str] | None] = [None, {}]
    for own in nothing:
        assert sent(CREATE, {"metadata": own}, {"a": "b"}) == {"metadata": {"a": "b"}}
        assert sent(RUN, {"thread": own}, {"a": "b"}) == {"thread": {"metadata": {"a": "b"}}}
    assert sent(CREATE, {}, {"a": "b"}) == {"metadata": {"a": "b"}}
    assert sent(RUN, {}, {"a": "b"}) == {"thread": {"metadata": {"a": "b"}}}
    assert sent(RUN, {"metadata": {"of": "the run"}}, {"a": "b"}) == {
        "metadata": {"of": "the run"},
        "thread": {"metadata": {"a": "b"}},
    }


@given(st.dictionaries(WORDS, WORDS, max_size=20), st.dictionaries(WORDS, WORDS, max_size=20))
def test_no_key_is_changed_and_never_are_there_more_than_sixteen(
    own: dict[str, str], extra: dict[str, str]
) -> None:
    made = sent(CREATE, {"metadata": own, "items": ["ä\ud800"]}, extra)
    if made is None:
        assert len(own) >= 16 or extra.keys() <= own.keys()
        return
    assert made["items"] == ["ä\ud800"]
    assert own.items() <= made["metadata"].items() <= (extra | own).items()
    assert len(made["metadata"]) <= 16


@given(st.sampled_from([CREATE, RUN]), JSON)
def test_no_body_raises(call: Call, body: Any) -> None:  # noqa: ANN401
    made = sent(call, body, {"a": "b"})
    assert made is None or isinstance(made, dict)


@given(
    st.dictionaries(
        st.text() | st.integers(), st.none() | st.text() | st.integers() | st.booleans()
    )
)
def test_metadata_is_kept_as_the_registry_takes_it(said: dict[Any, object]) -> None:
    kept, left_out = clean(said)
    check_metadata("id", kept)
    assert len(kept) + left_out == sum(value is not None for value in said.values())


def test_values_are_written_as_text_and_nothing_is_cut() -> None:
    said = {"user": 42, "paid": True, "none": None, "long": "x" * 513, "": "x", 7: "x"}
    large = {"\U00020000" * 64: "\U00020000" * 512, "nul": "\0", "half": "\ud800"}
    assert clean({**said, **large}) == ({"user": "42", "paid": "true"}, 6)
    assert len(clean({str(n): "x" for n in range(70)})[0]) == PAIRS
