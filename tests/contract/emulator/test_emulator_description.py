"""The emulator's answers against the vendor's API description, where it is at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from janitor.emulator.app import TABLE
from janitor.testing import Emulated, emulator

Json = dict[str, Any]

FOUND = sorted((Path(__file__).parents[4] / "shared" / "openapi").glob("*.json"))
if not FOUND:
    pytest.skip("the API description is not at hand", allow_module_level=True)

# What the description has and the emulator leaves out: nothing that holds a conversation.
NOT_SERVED = re.compile(
    r"/files.*|/vector_stores.*|/chatkit/sessions.*|/responses/(input_tokens|compact)|.*\?beta=true"
)
BETAS = "assistants=v2, chatkit_beta=v1, agents=v1"


def described() -> Json:
    """The description, with `nullable` said as JSON Schema says it."""

    def plain(node: object) -> object:
        if isinstance(node, list):
            return [plain(one) for one in node]
        if not isinstance(node, dict):
            return node
        out = {name: plain(value) for name, value in node.items()}
        return {"anyOf": [out, {"type": "null"}]} if node.get("nullable") is True else out

    document = plain(json.loads(FOUND[0].read_bytes()))
    assert isinstance(document, dict)
    return document


DESCRIBED = described()


def validator_of(method: str, path: str) -> Draft202012Validator:
    answer = DESCRIBED["paths"][path][method.lower()]["responses"]["200"]
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    return Draft202012Validator({**schema, "components": DESCRIBED["components"]})


def error_validator() -> Draft202012Validator:
    schema = {"$ref": "#/components/schemas/ErrorResponse"}
    return Draft202012Validator({**schema, "components": DESCRIBED["components"]})


def shape(path: str) -> str:
    """A path whose parameters have no names."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def operations() -> Iterator[tuple[str, str]]:
    for path, verbs in DESCRIBED["paths"].items():
        for verb in verbs:
            if verb in {"get", "post", "delete"}:
                yield verb.upper(), path


def ask(at: Emulated, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
    connection = HTTPConnection(at.base_url.split("/")[2])
    headers = {"Authorization": f"Bearer {at.api_key}", "OpenAI-Beta": BETAS}
    connection.request(method, f"/v1{path}", json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    status, content = answer.status, json.loads(answer.read())
    connection.close()
    return status, content


@pytest.fixture(scope="module")
def at() -> Iterator[Emulated]:
    with emulator() as running:
        yield running


ITEM = {"role": "user", "content": "Hello."}
BODIES: dict[tuple[str, str], Json] = {
    ("POST", "/conversations"): {"items": [ITEM], "metadata": {"a": "b"}},
    ("POST", "/conversations/{}"): {"metadata": {"a": "b"}},
    ("POST", "/conversations/{}/items"): {"items": [ITEM]},
    ("POST", "/responses"): {"model": "gpt-5", "input": "Hello."},
    ("POST", "/threads"): {"messages": [ITEM]},
    ("POST", "/threads/runs"): {"assistant_id": "asst_1", "thread": {"messages": [ITEM]}},
    ("POST", "/threads/{}"): {"metadata": {"a": "b"}},
    ("POST", "/threads/{}/messages"): ITEM,
    ("POST", "/threads/{}/messages/{}"): {"metadata": {"a": "b"}},
    ("POST", "/threads/{}/runs"): {"assistant_id": "asst_1"},
    ("POST", "/threads/{}/runs/{}"): {"metadata": {"a": "b"}},
    ("POST", "/threads/{}/runs/{}/submit_tool_outputs"): {"tool_outputs": []},
}
SERVED = sorted(
    operation for operation in operations() if NOT_SERVED.fullmatch(operation[1]) is None
)


def ids_for(at: Emulated, method: str, path: str) -> dict[str, str]:
    """A fresh container of the path's kind, and what is in it, by parameter."""
    server = at.server
    if path.startswith("/responses"):
        body = {"model": "gpt-5", "input": "Hello.", "background": path.endswith("/cancel")}
        return {"response_id": ask(at, "POST", "/responses", body)[1]["id"]}
    if path.startswith("/chatkit"):
        return {"thread_id": server.add_chatkit_thread(items=3)}
    if path.startswith("/conversations"):
        talk = server.add_conversation(items=3)
        return {"conversation_id": talk, "item_id": server.items(talk)[1]["id"]}
    return thread_ids(at, path, busy=path.endswith(("/cancel", "/submit_tool_outputs")))


def thread_ids(at: Emulated, path: str, *, busy: bool) -> dict[str, str]:
    thread = at.server.add_thread(items=2)
    ids = {"thread_id": thread, "message_id": at.server.items(thread)[0]["id"]}
    if "{run_id}" in path or path.endswith("/runs"):
        ids["run_id"] = at.server.start_run(thread, "requires_action" if busy else "completed")
    if "/steps" in path:
        steps = ask(at, "GET", f"/threads/{thread}/runs/{ids['run_id']}/steps")[1]
        ids["step_id"] = steps["data"][0]["id"]
    return ids


@pytest.mark.parametrize(("method", "path"), SERVED, ids=lambda part: part)
def test_an_answer_is_as_described(at: Emulated, method: str, path: str) -> None:
    concrete = path.format_map(ids_for(at, method, path)) if "{" in path else path
    status, answer = ask(at, method, concrete, BODIES.get((method, shape(path))))
    assert status == 200, answer
    assert [error.message for error in validator_of(method, path).iter_errors(answer)] == []


def test_every_described_path_is_served_or_left_out_by_name() -> None:
    served = {(route.method, shape(route.path)) for route in TABLE.routes}
    missing = {
        operation for operation in SERVED if (operation[0], shape(operation[1])) not in served
    }
    assert missing == set()


def test_what_is_served_beyond_the_description_is_agent_sessions_alone() -> None:
    known = {(method, shape(path)) for method, path in operations()}
    beyond = {
        route.path for route in TABLE.routes if (route.method, shape(route.path)) not in known
    }
    assert {path.split("/")[1] for path in beyond} == {"agents"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/conversations/conv_none", None, 404),
        ("GET", "/conversations", None, 405),
        ("GET", "/nothing", None, 404),
        ("POST", "/conversations", {"metadata": {"a": 1}}, 400),
        ("POST", "/conversations", {"surprise": 1}, 400),
        ("GET", "/chatkit/threads?limit=101", None, 400),
    ],
)
def test_an_error_is_as_described(
    at: Emulated, method: str, path: str, body: Json | None, status: int
) -> None:
    answered, answer = ask(at, method, path, body)
    assert answered == status
    assert [error.message for error in error_validator().iter_errors(answer)] == []
    assert answer["error"]["type"] == "invalid_request_error"


def test_an_answer_that_lacks_a_field_is_found_out(at: Emulated) -> None:
    """The check above can fail."""
    _, answer = ask(at, "POST", "/conversations", {"items": [ITEM]})
    del answer["created_at"]
    assert list(validator_of("POST", "/conversations").iter_errors(answer)) != []
