"""What goes over the wire: headers, keys, projects, the log, the quota."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

import pytest

from janitor.emulator import Clock, Emulator, Served
from janitor.kinds import CATALOGUE, Kind

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = {"sk-a": "alpha", "sk-b": "beta"}
BETAS = ", ".join(trait.beta for trait in CATALOGUE.values() if trait.beta)


@pytest.fixture
def server() -> Emulator:
    return Emulator(KEYS, clock=Clock(AT))


@pytest.fixture
def served(server: Emulator) -> Iterator[Served]:
    with server.serve() as served:
        yield served


def ask(
    served: Served,
    method: str,
    path: str,
    *,
    key: str | None = "sk-a",
    betas: str = BETAS,
    body: object = None,
) -> tuple[int, dict[str, str], Any]:
    connection = HTTPConnection(served.url.removeprefix("http://"), timeout=240)
    headers = {"OpenAI-Beta": betas} | ({"Authorization": f"Bearer {key}"} if key else {})
    raw = body if isinstance(body, str) else json.dumps(body)
    connection.request(method, f"/v1{path}", None if body is None else raw, headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content


@pytest.mark.parametrize("kind", Kind)
def test_another_projects_key_sees_nothing(server: Emulator, served: Served, kind: Kind) -> None:
    mine = server.add(kind, project="alpha", items=2)
    assert ask(served, "GET", f"{CATALOGUE[kind].path}/{mine}")[0] == 200
    for method in ("GET", "DELETE"):
        status, _, answer = ask(served, method, f"{CATALOGUE[kind].path}/{mine}", key="sk-b")
        assert (status, answer["error"]["code"]) == (404, None)
    assert server.exists(mine)


@pytest.mark.parametrize("kind", Kind)
def test_what_was_deleted_is_unknown(server: Emulator, served: Served, kind: Kind) -> None:
    mine = server.add(kind, project="alpha", items=2)
    path = f"{CATALOGUE[kind].path}/{mine}"
    assert ask(served, "DELETE", path)[2]["deleted"] is True
    assert [ask(served, method, path)[0] for method in ("GET", "DELETE")] == [404, 404]
    assert server.deletes == {mine: 1}


@pytest.mark.parametrize(
    ("key", "code"), [(None, None), ("sk-wrong", "invalid_api_key")], ids=["none", "wrong"]
)
def test_a_missing_or_wrong_key_is_unauthorised(
    served: Served, key: str | None, code: str | None
) -> None:
    status, _, answer = ask(served, "GET", "/conversations/conv_1", key=key)
    assert (status, answer["error"]["code"]) == (401, code)
    assert "sk-wrong" not in json.dumps(answer)


@pytest.mark.parametrize("kind", [kind for kind in Kind if CATALOGUE[kind].beta])
def test_the_beta_kinds_demand_their_header(server: Emulator, served: Served, kind: Kind) -> None:
    mine = server.add(kind, project="alpha", items=2)
    status, _, answer = ask(served, "GET", f"{CATALOGUE[kind].path}/{mine}", betas="")
    assert (status, answer["error"]["code"]) == (400, "invalid_beta")


def test_answers_carry_the_emulators_date_and_an_id_each(server: Emulator, served: Served) -> None:
    first = ask(served, "GET", "/conversations/conv_1")[1]
    server.clock.advance(timedelta(days=1))
    second = ask(served, "GET", "/conversations/conv_1")[1]
    assert first["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    assert second["date"] == "Fri, 02 Jan 2026 00:00:00 GMT"
    assert first["x-request-id"] != second["x-request-id"]


@pytest.mark.parametrize("body", ["{", "[]", "null"])
def test_a_body_that_is_no_object_is_refused(served: Served, body: str) -> None:
    assert ask(served, "POST", "/conversations", body=body)[0] == 400


def test_new_containers_take_the_emulators_time(server: Emulator, served: Served) -> None:
    assert ask(served, "POST", "/conversations")[2]["created_at"] == AT.timestamp()


def test_the_log_knows_every_request_in_order(server: Emulator, served: Served) -> None:
    mine = server.add_conversation(items=1)
    item = server.items(mine)[0]["id"]
    ask(served, "DELETE", f"/conversations/{mine}/items/{item}?include=x")
    ask(served, "GET", "/nothing", key=None)
    first, second = server.log
    assert (first.order, first.method, first.kind, first.call) == (
        1,
        "DELETE",
        "conversation",
        "items.delete",
    )
    assert (first.path, first.id) == (f"/conversations/{mine}/items/{item}", item)
    assert (first.status, first.project, first.at) == (200, "alpha", AT)
    assert (second.order, second.status, second.project, second.call) == (2, 401, None, "")
    server.clear_log()
    assert server.log == []


def test_the_quota_is_per_project_and_method() -> None:
    server = Emulator(KEYS, quota={"GET": 2})
    with server.serve() as served:
        answers = [ask(served, "GET", "/conversations/conv_1") for _ in range(3)]
        other = ask(served, "GET", "/conversations/conv_1", key="sk-b")
        deletion = ask(served, "DELETE", "/conversations/conv_1")
    assert [status for status, _, _ in answers] == [404, 404, 429]
    assert [headers["x-ratelimit-remaining-requests"] for _, headers, _ in answers] == list("100")
    assert answers[2][2]["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[2][1]["retry-after"]) <= 60
    assert (other[0], deletion[0]) == (404, 404)
    assert "x-ratelimit-limit-requests" not in deletion[1]


def test_the_quota_comes_back_with_time() -> None:
    server = Emulator(quota={"GET": 1}, quota_window=0.05)
    with server.serve() as served:
        key = server.key
        statuses = [ask(served, "GET", "/conversations/c", key=key)[0] for _ in range(2)]
        while statuses[-1] == 429:
            statuses.append(ask(served, "GET", "/conversations/c", key=key)[0])
    assert statuses[0] == 404
    assert statuses[-1] == 404


def test_latency_is_waited_before_every_answer(server: Emulator, served: Served) -> None:
    server.latency = 0.05
    before = datetime.now(UTC)
    ask(served, "GET", "/conversations/conv_1")
    assert datetime.now(UTC) - before >= timedelta(seconds=0.05)
