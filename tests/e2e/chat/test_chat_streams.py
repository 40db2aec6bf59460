"""Answers pass as they come: the server goes on only once the application has the half before."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from chat_house import House
from openai import AsyncOpenAI, OpenAI
from world import DEADLINE

import janitor

CONVERSATION = {"id": "conv_1", "object": "conversation", "created_at": 1, "metadata": {}}
THREAD = {"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {}}
RESPONSE = {"id": "resp_1", "object": "response", "conversation": {"id": "conv_1"}}


def _event(name: str, said: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(said)}\n\n".encode()


def _response(name: str) -> bytes:
    return _event(name, {"type": name, "response": RESPONSE, "sequence_number": 0})


# What is asked for, by the path below the base, the parts of the answer, and what is told of it.
RESPOND = ("responses", [_response("response.created"), _response("response.completed")], "conv_1")
RUN = (
    "threads/runs",
    [_event("thread.created", THREAD), b"event: done\ndata: [DONE]\n\n"],
    "thread_1",
)
HALVED = json.dumps(CONVERSATION).encode()
CREATE = ("conversations", [HALVED[:20], HALVED[20:]], "conv_1")
Asked = tuple[str, list[bytes], str]
BODIES: dict[str, dict[str, Any]] = {
    "responses": {"model": "gpt-5", "input": "x", "stream": True},
    "threads/runs": {"assistant_id": "asst_1", "stream": True},
    "conversations": {"metadata": {"topic": "help"}},
}


class Server:
    """Answers one request part by part, each only once the part before was acknowledged."""

    def __init__(self, parts: list[bytes]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._parts = parts
        self.acknowledged = threading.Semaphore(0)
        self.sent = 0
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def _answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection, suppress(BrokenPipeError, ConnectionResetError):  # the client gave up
            _hear(connection)
            kind = "text/event-stream" if self._parts[0][:5] == b"event" else "application/json"
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head.encode())
            for part in self._parts:
                self.sent += 1
                connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
                if not self.acknowledged.acquire(timeout=DEADLINE):
                    return
            connection.sendall(b"0\r\n\r\n")

    def close(self) -> None:
        self._thread.join(DEADLINE)
        self._listener.close()


def _hear(connection: socket.socket) -> None:
    """Take the request; what is left unread would reset the connection."""
    with connection.makefile("rb") as request:
        length = 0
        while line := request.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        request.read(length)


@contextmanager
def answering(parts: list[bytes]) -> Iterator[Server]:
    server = Server(parts)
    yield server
    server.close()


def read(chunks: Iterator[bytes], server: Server) -> list[bytes]:
    """All chunks, each acknowledged once it is there."""
    found = []
    for chunk in chunks:
        found.append(chunk)
        server.acknowledged.release()
    return found


async def read_async(chunks: AsyncIterator[bytes], server: Server) -> list[bytes]:
    """The same on an event loop."""
    found = []
    async for chunk in chunks:
        found.append(chunk)
        server.acknowledged.release()
    return found


def sync(server: Server, path: str, wrap: Callable[[Any], Any]) -> list[bytes]:
    """The raw chunks of an answer."""
    with OpenAI(base_url=server.base_url, api_key="k", max_retries=0, timeout=DEADLINE) as made:
        client = wrap(made)
        with _asked(client, path) as answer:
            return read(answer.http_response.iter_raw(), server)


def on_loop(server: Server, path: str, wrap: Callable[[Any], Any]) -> list[bytes]:
    """The same on an event loop."""

    async def ask() -> list[bytes]:
        client = AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0, timeout=DEADLINE)
        async with client, _asked(wrap(client), path) as answer:
            return await read_async(answer.http_response.aiter_raw(), server)

    return asyncio.run(ask())


def _asked(client: Any, path: str) -> Any:  # noqa: ANN401  either client's
    methods = {
        "responses": client.responses,
        "threads/runs": client.beta.threads,
        "conversations": client.conversations,
    }
    resource = methods[path].with_streaming_response
    method = resource.create_and_run if path == "threads/runs" else resource.create
    return method(**BODIES[path])


@pytest.mark.filterwarnings("ignore:The Assistants API:DeprecationWarning")
@pytest.mark.parametrize("call", [sync, on_loop], ids=["sync", "async"])
@pytest.mark.parametrize("asked", [RESPOND, RUN, CREATE], ids=["respond", "run", "create"])
def test_chunks_come_one_by_one_and_as_they_were_sent(
    house: House, call: Callable[..., list[bytes]], asked: Asked
) -> None:
    path, parts, made = asked

    def tracked(client: Any) -> Any:  # noqa: ANN401
        return janitor.track(client, house.tracked)

    with answering(parts) as server:
        plain = call(server, path, lambda client: client)
    with answering(parts) as server:
        assert call(server, path, tracked) == plain
    assert plain == parts
    assert house.listed().keys() == {made}


@pytest.mark.parametrize("asked", [RESPOND, CREATE], ids=["respond", "create"])
def test_what_was_read_of_an_answer_that_is_given_up_is_told(house: House, asked: Asked) -> None:
    path, parts, made = asked
    with answering(parts) as server:
        with OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as plain:
            tracked = janitor.track(plain, house.tracked)
            with _asked(tracked, path) as answer:
                assert next(answer.http_response.iter_raw()) == parts[0]
                assert server.sent == 1
        server.acknowledged.release(2)
    assert house.listed().keys() == ({made} if path == "responses" else set())
