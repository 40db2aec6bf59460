"""Requests that are refused, and the rarer shapes of those that are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from janitor.emulator import Emulator

HEADERS = {
    "Authorization": "Bearer sk-emulator",
    "OpenAI-Beta": "assistants=v2, chatkit_beta=v1, agents=v1",
}
NO_ENVIRONMENT = {"environment": {"type": "none"}}


@pytest.fixture
def server() -> Emulator:
    return Emulator()


@pytest.fixture
def api(server: Emulator) -> Iterator[httpx2.Client]:
    with (
        server.serve() as served,
        httpx2.Client(base_url=served.base_url, headers=HEADERS) as client,
    ):
        yield client


def post(api: httpx2.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=body)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("conversations", {"items": 7}, "items"),
        ("conversations", {"metadata": {"k" * 65: ""}}, f"metadata.{'k' * 64}"),
        ("conversations/{talk}/items", {}, "items"),
        ("threads", {"surprise": 1}, "surprise"),
        ("threads/{thread}/messages", {"content": "Hi."}, "role"),
        ("threads/{thread}/messages", {"role": "user"}, "content"),
        ("threads/{thread}/messages", {"role": "system", "content": "Hi."}, "role"),
        ("threads/{thread}/messages", {"role": "user", "content": 7}, "content"),
        ("threads/{thread}/runs", {}, "assistant_id"),
        ("threads/{thread}/runs", {"assistant_id": "a", "stream": True}, "stream"),
        ("threads/runs", {}, "assistant_id"),
        ("agents/sessions", {}, "environment"),
        ("agents/sessions", NO_ENVIRONMENT | {"input": 7}, "input"),
        ("agents/sessions/{session}", {"surprise": 1}, "surprise"),
        ("agents/sessions/{session}/events", {}, "events"),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused(
    server: Emulator, api: httpx2.Client, path: str, body: dict[str, Any], param: str
) -> None:
    known = {
        "talk": server.add_conversation(),
        "thread": server.add_thread(),
        "session": server.add_agent_session(),
    }
    answer = api.post(path.format_map(known), json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "path",
    [
        "conversations/{talk}/items/none",
        "threads/{thread}/messages/none",
        "threads/{thread}/runs/none",
        "threads/{thread}/runs/{run}/steps/none",
        "responses/none",
        "agents/sessions/{session}/artifacts",
        "agents/sessions/{session}/turns",
        "agents/sessions/{session}/traces",
    ],
)
def test_what_is_not_there_is_not_found(server: Emulator, api: httpx2.Client, path: str) -> None:
    thread = server.add_thread()
    known = {
        "talk": server.add_conversation(),
        "thread": thread,
        "run": server.start_run(thread),
        "session": server.add_agent_session(),
    }
    answer = api.get(path.format_map(known))
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (
        404,
        "invalid_request_error",
        None,
    )


def test_a_run_that_is_over_takes_no_orders(server: Emulator, api: httpx2.Client) -> None:
    thread = server.add_thread()
    run = server.start_run(thread, "completed")
    for order in ("cancel", "submit_tool_outputs"):
        assert api.post(f"threads/{thread}/runs/{run}/{order}", json={}).status_code == 400


def test_a_response_that_is_over_cannot_be_cancelled(api: httpx2.Client) -> None:
    response = post(api, "responses", {"input": "Hi."})["id"]
    assert api.post(f"responses/{response}/cancel").status_code == 400


def test_a_response_that_is_not_stored_is_not_found(api: httpx2.Client) -> None:
    response = post(api, "responses", {"input": "Hi.", "store": False})["id"]
    assert api.get(f"responses/{response}").status_code == 404


def test_a_response_belongs_to_its_project() -> None:
    server = Emulator({"sk-a": "alpha", "sk-b": "beta"})
    with server.serve() as served, httpx2.Client(base_url=served.base_url) as api:
        mine, other = ({"Authorization": f"Bearer sk-{name}"} for name in "ab")
        response = api.post("responses", json={"input": "Hi."}, headers=mine).json()["id"]
        found = [api.get(f"responses/{response}", headers=who) for who in (mine, other)]
    assert [answer.status_code for answer in found] == [200, 404]


def test_items_other_than_messages_are_stored_as_they_are(
    server: Emulator, api: httpx2.Client
) -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
    text = {"type": "output_text", "text": "Hi."}
    talk = post(api, "conversations", {"items": [call, {"role": "assistant", "content": [text]}]})
    first, second = server.items(talk["id"])
    assert call.items() <= first.items()
    assert first["id"].startswith("fc_")
    assert second["content"] == [text | {"annotations": [], "logprobs": []}]


def test_an_item_keeps_the_id_it_brings(server: Emulator, api: httpx2.Client) -> None:
    item = {"id": "msg_mine", "role": "user", "content": "Hi."}
    talk = post(api, "conversations", {"items": [item]})
    assert [one["id"] for one in server.items(talk["id"])] == ["msg_mine"]


def test_a_session_takes_messages_and_changes_its_agent(
    server: Emulator, api: httpx2.Client
) -> None:
    said = [{"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}]
    session = post(api, "agents/sessions", NO_ENVIRONMENT | {"input": said})["id"]
    message = {"type": "agent.session.input.message", "input": said}
    post(api, f"agents/sessions/{session}/events", {"events": [message]})
    assert len(server.items(session)) == 4
    changed = post(api, f"agents/sessions/{session}", {"agent": {"model": "gpt-5-mini"}})
    assert changed["agent"]["model"] == "gpt-5-mini"


def test_messages_are_listed_by_run(server: Emulator, api: httpx2.Client) -> None:
    thread = server.add_thread(items=2)
    run = server.start_run(thread, "completed")
    listed = api.get(f"threads/{thread}/messages", params={"run_id": run}).json()["data"]
    assert [message["run_id"] for message in listed] == [run]


def test_tool_resources_are_kept_and_changed(server: Emulator, api: httpx2.Client) -> None:
    files = {"code_interpreter": {"file_ids": ["file_1"]}}
    thread = server.add_thread(tool_resources=files)
    assert api.get(f"threads/{thread}").json()["tool_resources"] == files
    assert post(api, f"threads/{thread}", {"tool_resources": None})["tool_resources"] == {}


def test_a_key_under_azures_header_is_let_in(server: Emulator) -> None:
    talk = server.add_conversation()
    with server.serve() as served:
        url = f"{served.base_url}/conversations/{talk}"
        assert httpx2.get(url, headers={"api-key": server.key}).status_code == 200
