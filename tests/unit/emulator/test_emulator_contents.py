"""What tests do to the emulator by hand, and what the API then says of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from janitor.emulator import Clock, Emulator

AT = datetime(2026, 1, 1, tzinfo=UTC)
OLD = AT - timedelta(days=30)
HEADERS = {
    "Authorization": "Bearer sk-emulator",
    "OpenAI-Beta": "assistants=v2, chatkit_beta=v1, agents=v1",
}


@pytest.fixture
def server() -> Emulator:
    return Emulator(clock=Clock(AT))


@pytest.fixture
def api(server: Emulator) -> Iterator[httpx2.Client]:
    with (
        server.serve() as served,
        httpx2.Client(base_url=served.base_url, headers=HEADERS) as client,
    ):
        yield client


def get(api: httpx2.Client, path: str) -> dict[str, Any]:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_containers_can_be_back_dated(server: Emulator, api: httpx2.Client) -> None:
    talk = server.add_conversation(created_at=OLD, metadata={"a": "b"}, id="conv_old")
    thread = server.add_thread(created_at=OLD, last_active_at=AT, items=["Hi.", "Ho."])
    assert talk == "conv_old"
    assert get(api, f"conversations/{talk}") == {
        "id": talk,
        "object": "conversation",
        "created_at": OLD.timestamp(),
        "metadata": {"a": "b"},
    }
    newest, oldest = get(api, f"threads/{thread}/messages")["data"]
    assert (oldest["created_at"], newest["created_at"]) == (OLD.timestamp(), AT.timestamp())
    assert [one["content"][0]["text"]["value"] for one in (oldest, newest)] == ["Hi.", "Ho."]
    assert [one["role"] for one in (oldest, newest)] == ["user", "assistant"]


def test_a_taken_id_is_refused(server: Emulator) -> None:
    server.add_conversation(id="conv_1")
    with pytest.raises(ValueError, match="conv_1"):
        server.add_thread(id="conv_1")


def test_ids_differ_between_emulators_unless_seeded() -> None:
    assert Emulator().add_conversation() != Emulator().add_conversation()
    assert Emulator(seed=7).add_conversation() == Emulator(seed=7).add_conversation()


@pytest.mark.parametrize("outlive", [True, False])
def test_items_outlive_their_conversation_where_set(*, outlive: bool) -> None:
    server = Emulator(items_outlive=outlive)
    talk = server.add_conversation(items=3)
    item = server.items(talk)[0]["id"]
    with (
        server.serve() as served,
        httpx2.Client(base_url=served.base_url, headers=HEADERS) as api,
    ):
        api.delete(f"conversations/{talk}/items/{item}").raise_for_status()
        api.delete(f"conversations/{talk}").raise_for_status()
        assert api.get(f"conversations/{talk}/items").status_code == 404
        assert api.get(f"conversations/{talk}/items/{item}").status_code == 404
    assert len(server.items(talk)) == (2 if outlive else 0)
    assert server.deletes == {talk: 1, item: 1}


def test_touching_dates_a_session_and_adds_to_the_others(
    server: Emulator, api: httpx2.Client
) -> None:
    session = server.add_agent_session(created_at=OLD, items=1)
    thread = server.add_chatkit_thread(created_at=OLD, items=1)
    for touched in (session, thread):
        server.touch(touched)
    assert get(api, f"agents/sessions/{session}")["last_active_at"] == AT.timestamp()
    assert len(server.items(session)) == 1
    newest = get(api, f"chatkit/threads/{thread}/items")["data"][0]
    assert (newest["created_at"], len(server.items(thread))) == (AT.timestamp(), 2)


def test_an_appended_item_is_the_newest(server: Emulator, api: httpx2.Client) -> None:
    talk = server.add_conversation(items=2)
    added = server.append_item(talk, "And another.")
    assert get(api, f"conversations/{talk}/items?limit=1")["first_id"] == added


def test_a_locked_conversation_is_read_but_not_written(
    server: Emulator, api: httpx2.Client
) -> None:
    talk = server.add_conversation(items=1)
    item = server.items(talk)[0]["id"]
    server.lock(talk)
    get(api, f"conversations/{talk}/items")
    refused = [
        api.delete(f"conversations/{talk}"),
        api.delete(f"conversations/{talk}/items/{item}"),
        api.post(f"conversations/{talk}", json={"metadata": {}}),
        api.post(f"conversations/{talk}/items", json={"items": []}),
        api.post("responses", json={"input": "Hi.", "conversation": talk}),
    ]
    assert {answer.status_code for answer in refused} == {400}
    assert {answer.json()["error"]["code"] for answer in refused} == {"conversation_locked"}
    server.lock(talk, locked=False)
    assert api.delete(f"conversations/{talk}").status_code == 200


def test_a_background_response_locks_until_it_ends(server: Emulator, api: httpx2.Client) -> None:
    talk = server.add_conversation()
    body = {"input": "Hi.", "conversation": {"id": talk}, "background": True}
    response = api.post("responses", json=body).json()["id"]
    assert api.delete(f"conversations/{talk}").status_code == 400
    server.finish_response(response)
    assert get(api, f"responses/{response}")["status"] == "completed"
    assert [item["role"] for item in server.items(talk)] == ["user", "assistant"]
    assert api.delete(f"conversations/{talk}").status_code == 200


@pytest.mark.parametrize(
    ("status", "active"),
    [
        ("queued", True),
        ("in_progress", True),
        ("requires_action", True),
        ("cancelling", True),
        ("cancelled", False),
        ("failed", False),
        ("completed", False),
        ("expired", False),
    ],
)
def test_an_active_run_refuses_messages_and_runs(
    server: Emulator, api: httpx2.Client, status: str, *, active: bool
) -> None:
    thread = server.add_thread()
    run = server.start_run(thread)
    server.set_run(run, status)
    assert get(api, f"threads/{thread}/runs")["data"][0]["status"] == status
    posts = [
        api.post(f"threads/{thread}/messages", json={"role": "user", "content": "Hi."}),
        api.post(f"threads/{thread}/runs", json={"assistant_id": "asst_1"}),
    ]
    assert {post.status_code for post in posts} == ({400} if active else {200})


def test_a_busy_session_is_not_deleted(server: Emulator, api: httpx2.Client) -> None:
    session = server.add_agent_session()
    server.start_run(session)
    assert get(api, f"agents/sessions/{session}")["status"] == "in_progress"
    assert api.delete(f"agents/sessions/{session}").status_code == 409
    assert server.exists(session)


def test_a_locked_chatkit_thread_says_so(server: Emulator, api: httpx2.Client) -> None:
    thread = server.add_chatkit_thread()
    server.lock(thread)
    assert get(api, f"chatkit/threads/{thread}")["status"] == {"type": "locked", "reason": None}


def test_updating_replaces_the_whole_map(server: Emulator, api: httpx2.Client) -> None:
    paths = {
        "conversations": server.add_conversation(metadata={"a": "b"}),
        "threads": server.add_thread(metadata={"a": "b"}),
        "agents/sessions": server.add_agent_session(metadata={"a": "b"}),
    }
    for path, named in paths.items():
        api.post(f"{path}/{named}", json={"metadata": {"c": "d"}}).raise_for_status()
        assert server.metadata(named) == {"c": "d"}
    assert api.post(f"conversations/{paths['conversations']}", json={}).status_code == 400


def test_the_newest_container_is_listed_first(server: Emulator, api: httpx2.Client) -> None:
    young = server.add_chatkit_thread(created_at=AT)
    old = server.add_chatkit_thread(created_at=OLD)
    assert [one["id"] for one in get(api, "chatkit/threads")["data"]] == [young, old]


def test_twenty_items_at_a_time(server: Emulator, api: httpx2.Client) -> None:
    talk = server.add_conversation()
    items = [{"role": "user", "content": str(n)} for n in range(21)]
    assert api.post(f"conversations/{talk}/items", json={"items": items}).status_code == 400
    assert server.items(talk) == []
