"""Which container an answer names, however its bytes come, and that nothing in it can raise."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.model import Kind
from janitor.tracking.calls import (
    EVENTS,
    LOOKED_AT,
    Act,
    Call,
    NamedContainer,
    ReplyReader,
    found_in,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
SAID = int(AT.timestamp())
CREATE = Call(Act.CREATE, Kind.CONVERSATION)
RUN = Call(Act.CREATE_AND_RUN, Kind.THREAD)
SESSION = Call(Act.CREATE, Kind.AGENT_SESSION)
RESPOND = Call(Act.RESPOND, Kind.CONVERSATION)
CONVERSATION = {"id": "conv_1", "object": "conversation", "created_at": SAID, "metadata": {}}
CALLS = st.sampled_from([CREATE, RUN, SESSION, RESPOND])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["id", "object", "type", "created_at", "conversation", "response", "x"]
            ),
            inner | st.sampled_from(["conversation", "thread", "conv_1"]),
        )
    ),
)


def whole(raw: bytes) -> Iterable[bytes]:
    return (raw,)


def read(
    call: Call, chunks: Iterable[bytes], *, is_stream: bool = False
) -> list[NamedContainer | None]:
    """Everything that a reading said."""
    reading = ReplyReader(call, is_stream=is_stream, decode=whole)
    return [*(reading.feed(chunk) for chunk in chunks), reading.end()]


def events(*data: object) -> bytes:
    return b"".join(f"event: e\r\ndata: {json.dumps(one)}\r\n\r\n".encode() for one in data)


@pytest.mark.parametrize(
    ("call", "said", "found"),
    [
        (CREATE, CONVERSATION, NamedContainer("conv_1", AT)),
        (CREATE, {"id": "conv_1", "created_at": "2026"}, NamedContainer("conv_1")),
        (CREATE, {"id": "conv_1", "created_at": 10**30}, NamedContainer("conv_1")),
        (CREATE, {"id": "m", "object": "message"}, None),
        (CREATE, {"id": "../x", "object": "conversation"}, None),
        (CREATE, {"error": {"code": "x"}}, None),
        (CREATE, [], None),
        (
            RUN,
            {"id": "run_1", "object": "thread.run", "thread_id": "thread_1"},
            NamedContainer("thread_1"),
        ),
        (
            RUN,
            {"id": "thread_1", "object": "thread", "created_at": SAID},
            NamedContainer("thread_1", AT),
        ),
        (RUN, {"object": "thread.run", "metadata": {"id": "x"}}, None),
        (
            SESSION,
            {"type": "agent.session.created", "session": {"id": "s", "object": "agent.session"}},
            NamedContainer("s"),
        ),
        (
            RESPOND,
            {"object": "response", "conversation": {"id": "conv_1"}},
            NamedContainer("conv_1"),
        ),
        (
            RESPOND,
            {"type": "response.created", "response": {"conversation": "c"}},
            NamedContainer("c"),
        ),
        (RESPOND, {"object": "response", "conversation": None}, None),
        (Call(Act.USE, Kind.THREAD, "t"), {"id": "t", "object": "thread"}, None),
    ],
)
def test_a_document_names_its_container(
    call: Call, said: object, found: NamedContainer | None
) -> None:
    assert found_in(call, said) == found


@given(st.integers(1, 40), st.booleans())
def test_an_answer_may_come_in_any_pieces(size: int, is_stream: bool) -> None:
    body = (
        events({"type": "ping"}, CONVERSATION) if is_stream else json.dumps(CONVERSATION).encode()
    )
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert [one for one in read(CREATE, chunks, is_stream=is_stream) if one] == [
        NamedContainer("conv_1", AT)
    ]


def test_an_answer_of_known_length_is_understood_before_its_last_byte_is_handed_on() -> None:
    body = json.dumps(CONVERSATION).encode()
    reading = ReplyReader(CREATE, is_stream=False, decode=whole, length=len(body))
    assert reading.feed(body[:-1]) is None
    assert reading.feed(body[-1:]) == NamedContainer("conv_1", AT)


def test_an_event_is_understood_as_soon_as_it_is_whole() -> None:
    reading = ReplyReader(CREATE, is_stream=True, decode=whole)
    assert reading.feed(events(CONVERSATION)) == NamedContainer("conv_1", AT)


def test_no_more_is_kept_of_an_answer_than_is_looked_at() -> None:
    for is_stream in (True, False):
        reading = ReplyReader(RESPOND, is_stream=is_stream, decode=whole)
        for _ in range(LOOKED_AT // 65536 + 1):
            assert reading.feed(b"x" * 65536) is None
        assert reading.is_over
    assert read(RESPOND, [events(*[{}] * EVENTS, CONVERSATION)], is_stream=True) == [None, None]


def test_what_cannot_be_decoded_names_nothing() -> None:
    def broken(_: bytes) -> Iterable[bytes]:
        raise ValueError("no gzip")

    reading = ReplyReader(CREATE, is_stream=False, decode=broken)
    assert (reading.feed(b"x"), reading.end()) == (None, None)


@given(CALLS, DOCUMENTS)
def test_no_document_raises(call: Call, said: Any) -> None:  # noqa: ANN401
    found = found_in(call, said)
    assert found is None or isinstance(found, NamedContainer)


@given(CALLS, st.lists(st.binary() | DOCUMENTS.map(events)), st.booleans())
def test_no_bytes_raise(call: Call, chunks: list[bytes], is_stream: bool) -> None:
    assert all(found is None or found.id for found in read(call, chunks, is_stream=is_stream))
