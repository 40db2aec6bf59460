"""Which requests concern a container: every base path, every call of the SDK, and any nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.model import Kind
from janitor.tracking.calls import Act, Call, recognise

BASES = (
    "",
    "/v1",
    "/openai/v1",
    "/openai/deployments/gpt-5",
    "/api/projects/threads/openai",
    "/gateway/conversations/v1",
)
CALLS = [
    ("POST", "/conversations", Call(Act.CREATE, Kind.CONVERSATION)),
    ("POST", "/conversations/conv_1", Call(Act.USE, Kind.CONVERSATION, "conv_1")),
    ("POST", "/conversations/conv_1/items", Call(Act.USE, Kind.CONVERSATION, "conv_1")),
    ("DELETE", "/conversations/conv_1/items/i", Call(Act.USE, Kind.CONVERSATION, "conv_1")),
    ("DELETE", "/conversations/conv_1", Call(Act.DELETE, Kind.CONVERSATION, "conv_1")),
    ("GET", "/conversations/conv_1", None),
    ("GET", "/conversations/conv_1/items", None),
    ("POST", "/threads", Call(Act.CREATE, Kind.THREAD)),
    ("POST", "/threads/runs", Call(Act.CREATE_AND_RUN, Kind.THREAD)),
    ("POST", "/threads/thread_1/runs", Call(Act.USE, Kind.THREAD, "thread_1")),
    ("POST", "/threads/thread_1/runs/r/cancel", Call(Act.USE, Kind.THREAD, "thread_1")),
    ("POST", "/threads/thread_1/messages", Call(Act.USE, Kind.THREAD, "thread_1")),
    ("DELETE", "/threads/thread_1", Call(Act.DELETE, Kind.THREAD, "thread_1")),
    ("DELETE", "/chatkit/threads/cthr_1", Call(Act.DELETE, Kind.CHATKIT_THREAD, "cthr_1")),
    ("POST", "/chatkit/sessions", None),
    ("POST", "/agents/sessions", Call(Act.CREATE, Kind.AGENT_SESSION)),
    ("POST", "/agents/sessions/s/events", Call(Act.USE, Kind.AGENT_SESSION, "s")),
    ("DELETE", "/agents/sessions/s/artifacts/a", Call(Act.USE, Kind.AGENT_SESSION, "s")),
    ("DELETE", "/agents/sessions/s", Call(Act.DELETE, Kind.AGENT_SESSION, "s")),
    ("POST", "/responses", Call(Act.RESPOND, Kind.CONVERSATION)),
    ("GET", "/responses/resp_1", None),
    ("POST", "/responses/resp_1/cancel", None),
    ("POST", "/chat/completions", None),
    ("POST", "/conversations/..%2Fx", None),
    ("POST", "/conversations/%20", None),
]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("method", "path", "call"), CALLS)
def test_a_call_is_known_below_any_base_path(
    base: str, method: str, path: str, call: Call | None
) -> None:
    assert recognise(method, base + path, base) == call
    assert recognise(method, f"{base}{path}?api-version=2026-01-01&after=x", f"{base}/") == call


@pytest.mark.parametrize("base", ["/v1", "/openai/v1", "/openai/deployments/gpt-5"])
@pytest.mark.parametrize(("method", "path", "call"), CALLS)
def test_a_call_is_known_below_another_base_path_than_the_clients(
    base: str, method: str, path: str, call: Call | None
) -> None:
    assert recognise(method, base + path, "/elsewhere") == call


@given(
    st.text(max_size=10), st.text() | st.lists(st.sampled_from(["threads", ".", "a"])).map("/".join)
)
def test_nothing_that_looks_like_a_request_raises(method: str, path: str) -> None:
    call = recognise(method, path)
    assert call is None or isinstance(call, Call)
