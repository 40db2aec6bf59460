"""Answers pass as they come: no stream is read ahead, and requests change only as said."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI
from tracked import DEADLINE, Place

import janitor
from janitor.testing import Emulated
from janitor.tracking import COUNTERS, delivery, flush

THREAD = {"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {}}
EVENTS = [
    ("thread.created", THREAD),
    ("thread.run.created", {"id": "run_1", "object": "thread.run", "thread_id": "thread_1"}),
    ("done", "[DONE]"),
]

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API:DeprecationWarning")


class Slow(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A stream that notes how far it was read."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks
        self.read = 0
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.read += 1
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


class Server:
    """A transport that answers with one stream and keeps what it was sent."""

    def __init__(self, stream: Slow, **headers: str) -> None:
        self.sent: list[httpx2.Request] = []
        self._stream = stream
        self._headers = headers

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request)
        headers = {name.replace("_", "-"): value for name, value in self._headers.items()}
        return httpx2.Response(200, headers=headers, stream=self._stream)


def client_of(server: Server, **options: Any) -> OpenAI:  # noqa: ANN401
    http = httpx2.Client(transport=httpx2.MockTransport(server))
    return OpenAI(base_url="http://api/v1", api_key="k", http_client=http, **options)


def events() -> Slow:
    said = [data if isinstance(data, str) else json.dumps(data) for _, data in EVENTS]
    names = [name for name, _ in EVENTS]
    return Slow([f"event: {n}\ndata: {d}\n\n".encode() for n, d in zip(names, said, strict=True)])


def test_a_stream_is_read_no_further_than_the_application_reads(place: Place) -> None:
    stream = events()
    with client_of(Server(stream, content_type="text/event-stream")) as client:
        tracked = janitor.track(client, place.url)
        with tracked.beta.threads.create_and_run(assistant_id="a", stream=True) as answer:
            assert stream.read == 0
            assert next(answer).event == "thread.created"
            assert stream.read == 1
            assert place.told() == [("register", "thread_1")]
            assert stream.read == 1
    assert stream.is_closed


def test_an_asynchronous_stream_is_read_no_further_either(place: Place) -> None:
    stream = events()

    async def work() -> None:
        transport = httpx2.MockTransport(Server(stream, content_type="text/event-stream"))
        async with httpx2.AsyncClient(transport=transport) as http:
            client = AsyncOpenAI(base_url="http://api/v1", api_key="k", http_client=http)
            tracked = janitor.track(client, place.url)
            answer = await tracked.beta.threads.create_and_run(assistant_id="a", stream=True)
            async with answer:
                assert (await anext(aiter(answer))).event == "thread.created"
                assert stream.read == 1

    asyncio.run(work())
    assert stream.is_closed
    assert place.told() == [("register", "thread_1")]


def test_a_compressed_answer_is_understood_and_handed_on_as_it_came(place: Place) -> None:
    packed = gzip.compress(json.dumps(THREAD).encode())
    stream = Slow([packed[at : at + 7] for at in range(0, len(packed), 7)])
    with client_of(Server(stream, content_encoding="gzip", content_type="application/json")) as one:
        made = janitor.track(one, place.url).beta.threads.create()
    assert made.id == "thread_1"
    assert place.told() == [("register", "thread_1")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "AWS4-HMAC-SHA256 Credential=x"},
        {"Content-Digest": "sha-256=:x:"},
        {"Content-Encoding": "gzip"},
    ],
)
def test_a_body_that_must_not_change_is_left_alone(place: Place, headers: dict[str, str]) -> None:
    server = Server(Slow([json.dumps(THREAD).encode()]), content_type="application/json")
    with client_of(server) as client:
        tracked = janitor.track(client, place.url)
        tracked.beta.threads.create(extra_headers=headers, metadata={"a": "b"})
    (sent,) = server.sent
    assert json.loads(sent.content) == {"metadata": {"a": "b"}}
    assert place.told() == [("register", "thread_1")]


def test_a_tagged_request_is_otherwise_the_same(place: Place) -> None:
    plain, tagged = (
        Server(Slow([json.dumps(THREAD).encode()]), content_type="application/json")
        for _ in range(2)
    )
    with client_of(plain) as client:
        client.beta.threads.create(metadata={"a": "b"}, timeout=7)
    with client_of(tagged) as client:
        janitor.track(client, place.url).beta.threads.create(metadata={"a": "b"}, timeout=7)
    (before,), (after,) = plain.sent, tagged.sent
    assert before.extensions == after.extensions
    assert (before.method, before.url) == (after.method, after.url)
    changed = {"content-length"}
    assert [h for h in before.headers.items() if h[0] not in changed] == [
        h for h in after.headers.items() if h[0] not in changed
    ]
    assert int(after.headers["content-length"]) == len(after.content)
    body = json.loads(after.content)
    assert body["metadata"].pop("janitor_created_at")
    assert body == json.loads(before.content)


def test_nothing_is_forced_to_disk_on_the_threads_of_the_application(
    place: Place, api: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing: list[str] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        syncing.append(threading.current_thread().name)
        sync(descriptor)

    async def work() -> None:
        async with AsyncOpenAI(base_url=api.base_url, api_key=api.api_key) as client:
            tracked = janitor.track(client, place.url)
            await asyncio.gather(*(tracked.conversations.create() for _ in range(5)))

    monkeypatch.setattr(os, "fsync", noted)
    asyncio.run(work())
    assert flush(DEADLINE)
    assert set(syncing) <= {"janitor_keep_safe"}
    assert len(place.told()) == 5


def test_a_container_is_told_of_again_after_a_minute(
    place: Place, api: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = api.server.add_conversation(), api.server.add_conversation()
    monkeypatch.setattr(delivery, "REMEMBERED", 1)
    with OpenAI(base_url=api.base_url, api_key=api.api_key) as client:
        tracked = janitor.track(client, place.url)
        for used in (one, one, two, one):  # the second pushes the first out of memory
            tracked.conversations.update(used, metadata={})
        monkeypatch.setattr(delivery, "EVERY", 0.0)
        tracked.conversations.update(one, metadata={})
    assert place.told() == [("touch", used) for used in (one, two, one, one)]


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "janitor.tracking"]


def closed(tracked: OpenAI) -> None:
    with tracked.beta.threads.create_and_run(assistant_id="a", stream=True):
        pass


def unread(tracked: OpenAI) -> None:
    with tracked.beta.threads.with_streaming_response.create():
        pass


def lost(tracked: OpenAI) -> None:
    tracked.beta.threads.create_and_run(assistant_id="a", stream=True)
    gc.collect()


@pytest.mark.parametrize("leave", [closed, unread, lost])
def test_a_creation_whose_answer_nobody_reads_is_counted_as_dropped(
    place: Place, leave: Callable[[OpenAI], None], caplog: pytest.LogCaptureFixture
) -> None:
    stream = events()
    with client_of(Server(stream, content_type="text/event-stream")) as client:
        tracked = janitor.track(client, place.url)
        leave(tracked)
        assert (stream.read, COUNTERS.dropped) == (0, 1)
        assert "not read" in warned(caplog)[0]
        tracked.beta.threads.create_and_run(assistant_id="a", stream=True).close()
    assert COUNTERS.dropped == 2
    assert place.told() == []


@pytest.mark.parametrize("answer", [b"{}", b"no JSON", b"[" * 100_000, b" " * (2 << 20)])
def test_a_creation_whose_answer_names_nothing_is_counted_as_dropped(
    place: Place, answer: bytes
) -> None:
    with client_of(Server(Slow([answer]), content_type="application/json")) as client:
        tracked = janitor.track(client, place.url)
        with tracked.beta.threads.with_streaming_response.create() as made:
            made.read()
    assert COUNTERS.dropped == 1
    assert place.told() == []


def test_a_response_that_belongs_to_no_conversation_is_no_loss(place: Place) -> None:
    said = json.dumps({"id": "resp_1", "object": "response", "conversation": None}).encode()
    with client_of(Server(Slow([said]), content_type="application/json")) as client:
        tracked = janitor.track(client, place.url)
        with tracked.responses.with_streaming_response.create(model="m", input="x") as made:
            made.read()
    assert (COUNTERS.dropped, place.told()) == (0, [])
