"""Every registry takes the same notices: SQLite, PostgreSQL, and a janitor's own HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from postgres import Server
from tracked import Place

from janitor.errors import ConfigError
from janitor.model import Key, Kind, NoticeEvent
from janitor.registry import Registry
from janitor.tracking.inbox import BATCH_BYTES, HttpInbox, NoticeInbox, inbox_of
from janitor.tracking.metrics import COUNTERS
from janitor.tracking.notices import Notice

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
NOTICES = [
    Notice(
        "main", Kind.THREAD, "t", NOW, NoticeEvent.REGISTER, NOW - timedelta(days=1), {"plan": "ä'"}
    ),
    Notice("other", Kind.CONVERSATION, "conv_1", NOW, NoticeEvent.TOUCH),
]


def inbox(registry: str) -> NoticeInbox:
    found = inbox_of(registry)
    assert not isinstance(found, Path)
    return found


def judge(url: str) -> None:
    """The registry reads back what was told, to the microsecond."""
    with Registry.open(url) as registry:
        assert registry.inbox.drain(NOW).judged == 2
        told, touched = (
            registry.threads.get(Key(one.project, one.kind, one.id)) for one in NOTICES
        )
    assert told is not None
    assert touched is not None
    assert told.thread.created_at == NOW - timedelta(days=1)
    assert told.thread.reported == {"plan": "ä'"}
    assert (told.thread.last_active_at, touched.thread.last_active_at) == (NOW, NOW)
    assert (touched.thread.created_at, touched.thread.reported) == (None, None)


def test_sqlite(place: Place) -> None:
    inbox(place.url).add(NOTICES)
    judge(place.url)


@pytest.mark.parametrize("name", ["a%20b.db", "a b.db", "100%.db", "a%2520b.db", "a%3Fb#c+d.db"])
def test_an_address_names_the_same_file_to_the_application_and_the_janitor(
    name: str, tmp_path: Path
) -> None:
    Registry.open(f"sqlite:///{tmp_path}/{name}").close()
    inbox(f"sqlite:///{tmp_path}/{name}").add(NOTICES)
    judge(f"sqlite:///{tmp_path}/{name}")


def test_postgresql_under_a_role_that_may_only_insert(postgres: Server) -> None:
    with postgres.database() as name:
        Registry.open(postgres.url(name)).close()
        role = f"app_{name}"
        postgres.execute(f"CREATE ROLE {role} LOGIN", name)
        postgres.execute(f"GRANT INSERT ON janitor_inbox TO {role}", name)
        postgres.execute(f"GRANT USAGE ON SEQUENCE janitor_inbox_seq_seq TO {role}", name)
        inbox(postgres.url(name, role)).add(NOTICES)
        judge(postgres.url(name))
        postgres.execute(f"DROP OWNED BY {role}", name)
        postgres.execute(f"DROP ROLE {role}", name)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("postgresql://u@h/d?sslmode=BAD", "invalid value for `sslmode`: write disa"),
        ("postgresql://u@h/d?sslmode=", "invalid value for `sslmode`: write disa"),
        ("postgresql+psycopg://u@h/d?foo=BAD", "unknown parameter `foo`; remove it"),
        ("sqlite:////var/lib/janitor.db?mode=BAD", "a file takes no parameters; remove the ?"),
    ],
)
def test_a_parameter_that_is_wrong_is_told_to_the_application(address: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        inbox_of(address)
    assert str(refused.value).startswith(f"the registry's address: {why}")
    assert "BAD" not in str(refused.value)


def test_no_address_shows_its_password() -> None:
    for registry in ("postgresql://user:hunter2@host/db", "https://hunter2@host/base/"):
        assert "hunter2" not in inbox(registry).name
    assert inbox("https://hunter2@host/base/").name == "https://host/base"


@contextmanager
def janitor(
    status: int, answer: bytes = b""
) -> Iterator[tuple[str, list[tuple[str, str | None, Any]]]]:
    """A server that answers so, its address, and what it was told."""
    told: list[tuple[str, str | None, Any]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.append((self.path, self.headers["authorization"], json.loads(body)))
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", told
        finally:
            server.shutdown()
            thread.join()


def test_http_posts_rows_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANITOR_TOKEN", "of the environment")
    with janitor(202) as (address, told):
        HttpInbox(f"http://of%20the%20url@{address}/base/").add(NOTICES)
        HttpInbox(f"http://{address}").add(NOTICES * 300)
    paths, tokens, bodies = zip(*told, strict=True)
    assert paths == ("/base/api/threads", "/api/threads", "/api/threads")
    assert tokens == ("Bearer of the url", *["Bearer of the environment"] * 2)
    assert [len(body["threads"]) for body in bodies] == [2, 500, 100]
    assert bodies[0]["threads"] == [one.document for one in NOTICES]
    said = '{"v":1,"project":"other","kind":"conversation","id":"conv_1","event":"touch",'
    said += '"at":"2026-03-01T12:30:15.123456+00:00","created_at":null,"metadata":null}'
    assert bodies[0]["threads"][1] == json.loads(said)


def test_http_posts_no_more_bytes_at_once_than_a_janitor_takes() -> None:
    large = Notice("main", Kind.THREAD, "t", NOW, NoticeEvent.REGISTER, NOW, {"a": "x" * 512})
    with janitor(202) as (address, told):
        HttpInbox(f"http://{address}").add([large] * 1200)
    bodies = [body["threads"] for _, _, body in told]
    assert sum(map(len, bodies)) == 1200
    assert max(len(json.dumps({"threads": body})) for body in bodies) <= BATCH_BYTES + 100
    assert len(bodies) == 3, "no smaller than they need be"


@pytest.mark.parametrize(("status", "number"), [(202, 1), (422, 2)])
def test_what_a_janitor_refuses_is_dropped_and_counted(
    status: int, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    refused = [{"index": n, "id": "t", "reason": "project 'x'\n is"} for n in range(number)]
    COUNTERS.forget()
    with janitor(status, json.dumps({"refused": refused}).encode()) as (address, told):
        HttpInbox(f"http://{address}").add(NOTICES)
    assert (len(told), COUNTERS.dropped) == (1, number)
    (said,) = caplog.messages
    assert "refuses: \"project 'x'\\n is\"" in said


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"refused": [{"reason": "r"}]}', b'{"refused": 5}']
)
def test_a_422_that_does_not_speak_of_all_is_tried_again(answer: bytes) -> None:
    COUNTERS.forget()
    with janitor(422, answer) as (address, _), pytest.raises(httpx2.HTTPStatusError):
        HttpInbox(f"http://{address}").add(NOTICES)
    assert COUNTERS.dropped == 0


def test_http_that_refuses_is_tried_again() -> None:
    with janitor(401) as (address, _), pytest.raises(httpx2.HTTPStatusError):
        HttpInbox(f"http://{address}").add(NOTICES)
