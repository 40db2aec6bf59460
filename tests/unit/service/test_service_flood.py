"""Peers who are too many, too slow, or speak no HTTP, over real sockets: nobody waits for them."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import pytest
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection
from uvicorn import Config

from janitor.metrics import Metrics
from janitor.service.endpoints import Access, Health, Token, TokenScope, application
from janitor.service.server import BoundedProtocol, Bounds, ConnectionLimiter, Server

HOUR = 3600.0
PATIENT = Bounds(connections=4, requests=2, request=HOUR, body=HOUR, answer=HOUR)
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF = b"GET /metrics HTTP/1.1\r\nHost: loc"
BODY = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n{"
LARGE = 64 * 1024 * 1024  # more than all buffers between two sockets hold


def well() -> None:
    """Nothing is wrong."""


def face(
    ready: Callable[[], str | None] = well,
    reveal: Callable[[], str] = lambda: "secret",
    refresh: Callable[[], None] = well,
) -> ASGIApp:
    access = Access(frozenset(), (Token("ops", TokenScope.OPERATE, reveal),))
    return application(Metrics().app(refresh), Health(well, ready), access)


async def large(scope: Connection, receive: Receive, send: Send) -> None:
    """Answers much to /metrics; takes what is sent; everything else is well."""
    while (message := await receive()).get("more_body"):
        pass
    size = LARGE if scope["path"] == "/metrics" else 2
    if message["type"] != "http.disconnect":
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"k" * size})


class Call:
    """Opens connections to a server, and closes them all in the end."""

    def __init__(self) -> None:
        self.port = 0
        self.stack = ExitStack()

    def __call__(self, first: bytes = b"") -> socket.socket:
        address = ("127.0.0.1", self.port)
        made = self.stack.enter_context(socket.create_connection(address, timeout=60))
        made.sendall(first)
        return made


@pytest.fixture
def call() -> Iterator[Call]:
    made = Call()
    with made.stack:
        yield made


@contextmanager
def serving(call: Call, app: ASGIApp, bounds: Bounds = PATIENT) -> Iterator[None]:
    """Runs a server that is called."""
    with Server(app, "127.0.0.1:0", bounds) as server:
        call.port = server.port
        yield


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    said = b""
    try:
        while part := connection.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    return said


def answer(connection: socket.socket) -> bytes:
    """One answer, whole."""
    said = b""
    while b"\r\n\r\n" not in said:
        part = connection.recv(4096)
        assert part, said
        said += part
    (length,) = re.findall(rb"content-length: (\d+)", said)
    while len(said.partition(b"\r\n\r\n")[2]) < int(length):
        said += connection.recv(4096)
    return said


def is_answered(connection: socket.socket) -> bool:
    """Whether what was asked on it is answered well."""
    return answer(connection).startswith(b"HTTP/1.1 200")


def is_well(connection: socket.socket) -> bool:
    """Whether /healthz is answered on a connection."""
    connection.sendall(HEALTHZ)
    return is_answered(connection)


def until_told(log: pytest.LogCaptureFixture, words: str) -> None:
    deadline = time.monotonic() + 60
    while words not in log.text:
        assert time.monotonic() < deadline, log.text
        time.sleep(0.01)


@pytest.mark.parametrize("first", [b"", HALF, HEALTHZ], ids=["silent", "half-sent", "idle"])
def test_above_the_bound_the_longest_wait_ends(call: Call, first: bytes) -> None:
    with serving(call, face()):
        waiting = [call(first) for _ in range(4)]
        if first == HEALTHZ:
            assert all(is_answered(one) for one in waiting)
        newest = call(HEALTHZ)
        assert is_answered(newest)
        assert rest(waiting[0]) == b""
        if first == HALF:
            waiting[3].sendall(b"alhost\r\n\r\n")
            assert waiting[3].recv(12) == b"HTTP/1.1 200"
        else:
            assert is_well(waiting[3])


def test_a_crowd_is_served_though_it_is_larger_than_the_bound(call: Call) -> None:
    with serving(call, face()):
        crowd = [call(HALF) for _ in range(300)]
        for _ in range(10):
            assert is_answered(call(HEALTHZ))
        assert rest(crowd[0]) == b""


def test_a_lack_of_room_is_told(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    with serving(call, face()):
        for _ in range(7):
            assert is_well(call(b""))
    told = sum(int(one) for one in re.findall(r"(\d+) closed to make room", caplog.text))
    assert told == 3


@pytest.mark.parametrize(
    ("first", "said"),
    [(b"", b""), (HALF, b"HTTP/1.1 408"), (BODY, b"HTTP/1.1 408")],
    ids=["silent", "half-sent", "half a body"],
)
def test_what_does_not_come_in_time_is_waited_for_no_longer(
    call: Call, first: bytes, said: bytes
) -> None:
    bounds = replace(PATIENT, request=HOUR if first == BODY else 1.0, body=0.2)
    with serving(call, large, bounds):
        assert rest(call(first))[: len(said) or None] == said


@pytest.mark.parametrize("first", [b"", BODY], ids=["headers", "body"])
def test_a_byte_now_and_then_earns_no_more_time(call: Call, first: bytes) -> None:
    bounds = replace(PATIENT, request=0.3 if not first else HOUR, body=0.3)
    endless = b"GET / HTTP/1.1\r\nX: " if not first else b""
    with serving(call, large, bounds):
        slow = call(first + endless)
        slow.settimeout(0.05)
        with suppress(ConnectionError):  # what is sent after the end may be told before it
            while True:
                slow.sendall(b"x")
                with suppress(TimeoutError):
                    assert slow.recv(12) == b"HTTP/1.1 408"
                    break


def test_each_request_of_a_connection_has_its_own_time() -> None:
    async def since() -> list[float]:
        loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
        limiter, config = ConnectionLimiter(PATIENT), Config(face(), log_config=None)
        with theirs:
            theirs.setblocking(False)
            transport, connection = await loop.create_connection(
                lambda: BoundedProtocol(config, limiter, {}), sock=ours
            )
            times = [connection.progress(loop.time()).since]
            for part in (HEALTHZ, HALF, b"al"):
                theirs.send(part)
                if part == HEALTHZ:
                    assert await loop.sock_recv(theirs, 4096)
                while not connection.conn.trailing_data[0].endswith(part[-2:].strip()):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                times.append(connection.progress(loop.time()).since)
            transport.close()
        return times

    new, answered, begun, gone_on = asyncio.run(since())
    assert new < answered < begun == gone_on


def test_an_answer_that_nobody_reads_ends(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    with serving(call, large, replace(PATIENT, answer=0.2)):
        slow = call(HEALTHZ.replace(b"healthz", b"metrics"))
        until_told(caplog, "1 closed because the response was not read in time")
        assert len(rest(slow)) < LARGE


def test_readers_who_do_not_read_make_room(call: Call) -> None:
    with serving(call, large, replace(PATIENT, requests=64)):
        slow = [call(HEALTHZ.replace(b"healthz", b"metrics") * 3) for _ in range(4)]
        assert all(one.recv(12) == b"HTTP/1.1 200" for one in slow)
        assert all(is_answered(call(HEALTHZ)) for _ in range(3))
        assert len(rest(slow[0])) < LARGE


def test_requests_beyond_what_can_be_worked_on_are_told_to_come_again(call: Call) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def ready() -> None:
        begun.release()
        go.wait(60)

    with serving(call, face(ready), replace(PATIENT, connections=9)):
        first = [call(HEALTHZ.replace(b"healthz", b"readyz")) for _ in range(2)]
        assert begun.acquire(timeout=60)
        assert begun.acquire(timeout=60)
        refused = call(HEALTHZ.replace(b"healthz", b"metrics")).recv(4096)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in refused
        assert is_answered(call(HEALTHZ))
        go.set()
        assert all(is_answered(one) for one in first)
        assert is_answered(call(HEALTHZ.replace(b"healthz", b"readyz")))


def test_health_is_told_while_every_thread_waits_for_a_secret(call: Call) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def reveal() -> str:
        begun.release()
        go.wait(60)
        return "secret"

    asking = HEALTHZ.replace(b"healthz", b"").replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer x")
    with serving(call, face(reveal=reveal), Bounds()):
        crowd = [call(asking + b"\r\n\r\n") for _ in range(50)]
        for _ in range(40):  # as many threads as there are
            assert begun.acquire(timeout=60)
        assert is_answered(call(HEALTHZ))
        go.set()
        assert all(one.recv(4096).startswith(b"HTTP/1.1 401") for one in crowd)


def test_scrapes_that_come_together_share_a_look() -> None:
    looks: list[None] = []
    app = Metrics().app(lambda: looks.append(None))

    async def scrape() -> list[str]:
        sent: list[str] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, object]) -> None:
            sent.append(str(message["type"]))

        await app({"type": "http", "headers": [], "query_string": b""}, receive, send)
        return sent

    async def crowd() -> list[list[str]]:
        return await asyncio.gather(*(scrape() for _ in range(20)))

    assert asyncio.run(crowd()) == [["http.response.start", "http.response.body"]] * 20
    assert len(looks) == 2  # one had begun when the others came
    asyncio.run(scrape())
    assert len(looks) == 3


@pytest.mark.parametrize(
    "accept",
    [b"application/openmetrics-text; version=abc", b"text/plain; version=a", b"\xff"],
    ids=["no version", "no plain version", "no text"],
)
def test_a_scrape_may_accept_nonsense(
    call: Call, caplog: pytest.LogCaptureFixture, accept: bytes
) -> None:
    scrape = HEALTHZ.replace(b"healthz", b"metrics")
    with serving(call, face()):
        said = call(scrape[:-2] + b"Accept: " + accept + b"\r\n\r\n").recv(4096)
    assert said.startswith(b"HTTP/1.1 200")
    assert b"text/plain; version=0.0.4" in said
    assert caplog.text == ""


STRANGE = {
    "a TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(range(160)),
    "no HTTP": b"\x00" * 100 + b"\r\n\r\n",
    "large headers": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000,
    "two lengths": HEALTHZ[:-2] + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "an upgrade": HEALTHZ[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "bytes behind the last request": HEALTHZ[:-2] + b"Connection: close\r\n\r\nmore",
    "a broken chunk after the refusal": HEALTHZ.replace(b"GET", b"POST")[:-2]
    + b"Transfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_request_is_refused_without_a_word_of_ours(
    call: Call, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with serving(call, face()):
        strange = call(STRANGE[name])
        assert strange.recv(9) == b"HTTP/1.1 "
        if name == "a broken chunk after the refusal":
            strange.sendall(b"zz\r\n")
            assert rest(strange)
        assert is_well(call(b""))
    assert {(one.name, one.levelno) for one in caplog.records} <= {
        ("janitor", logging.WARNING), ("uvicorn.error", logging.WARNING)
    }  # fmt: skip


REFUSED = {
    "too long": (b"Content-Length: 4000000\r\n\r\n" + b"x" * 4_000_000, b"HTTP/1.1 413"),
    "without an end": (
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 4000,
        b"HTTP/1.1 411",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["kept open", "closed"])
def test_whoever_sends_too_much_reads_why_it_is_refused(call: Call, name: str, last: bytes) -> None:
    body, status = REFUSED[name]
    with serving(call, face()):
        sent = call(b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\n" + last + body)
        assert sent.recv(12) == status


def test_who_ends_before_the_body_does_is_told(call: Call) -> None:
    with serving(call, large):
        short = call(BODY)
        short.shutdown(socket.SHUT_WR)
        said = rest(short)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert said.endswith(b"the body is shorter than its Content-Length\r\n0\r\n\r\n")


def test_pipelined_requests_are_answered_one_by_one(call: Call) -> None:
    with serving(call, face()):
        busy = call(HEALTHZ * 500 + HEALTHZ[:-2] + b"Connection: close\r\n\r\n")
        assert is_well(call(b""))
        assert rest(busy).count(b"HTTP/1.1 200") == 501


def test_refusals_are_told_once_and_at_the_end(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(call, face()):
        assert rest(call(b"\x00\r\n\r\n"))
        until_told(caplog, "1 closed because the request was not valid HTTP")
        for _ in range(30):
            assert rest(call(b"\x00\r\n\r\n"))
    told = [one.getMessage() for one in caplog.records if one.name == "janitor"]
    assert told == [
        "HTTP: 1 closed because the request was not valid HTTP",
        "HTTP: 30 closed because the request was not valid HTTP",
    ]


def test_a_lack_of_descriptors_is_told_once_and_survived(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(call, face()), socket.socket() as late:
        early = call(b"")
        assert is_well(early)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            late.settimeout(60)
            late.connect(early.getpeername())
            until_told(caplog, "not accepted because no file descriptor was free")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert is_well(late)
    assert {one.name for one in caplog.records} == {"janitor"}


async def endless(scope: Connection, receive: Receive, send: Send) -> None:
    """Answers /healthz, and never anything else."""
    if scope["path"] == "/healthz":
        await large(scope, receive, send)
    else:
        await asyncio.Event().wait()


def test_a_stop_is_quiet_whoever_is_connected(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    with serving(call, endless, Bounds()):
        crowd = [call(first) for first in (b"", HALF, BODY, HEALTHZ, HEALTHZ.replace(b"z", b""))]
        assert is_well(call(b""))
    assert [rest(one)[:12] for one in crowd] == [b"", b"", b"", b"HTTP/1.1 200", b""]
    assert not [one for one in caplog.records if one.levelno > logging.INFO]


def test_a_stop_lets_a_request_in_progress_end(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FINISH_SECONDS", "STOP_SECONDS"):
        monkeypatch.setattr(f"janitor.service.server.{name}", 60.0)
    go, begun = threading.Event(), threading.Event()

    def ready() -> None:
        begun.set()
        go.wait(60)

    def go_once_nobody_listens() -> None:
        with suppress(ConnectionError):
            while True:
                socket.create_connection(("127.0.0.1", call.port), timeout=60).close()
        go.set()

    with serving(call, face(ready)):
        asked = call(HEALTHZ.replace(b"healthz", b"readyz"))
        assert begun.wait(60)
        thread = threading.Thread(target=go_once_nobody_listens)
        thread.start()
    assert is_answered(asked)
    thread.join()
