"""Who is answered, with what, over real sockets."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import pytest

from janitor.errors import ConfigError
from janitor.metrics import Metrics
from janitor.service.endpoints import Access, Health, Token, TokenScope, application
from janitor.service.server import Server

OPEN = ["/metrics", "/healthz", "/readyz"]
CLOSED = ["/", "/api/threads", "/metrics/", "/metrics/x", "/healthz/..", "//metrics", "/nothing"]


@dataclass
class Face:
    """A running server, and what its answers depend on."""

    port: int = 0
    secrets: list[str] = field(default_factory=lambda: ["first", "second"])
    alive: str | None = None
    ready: str | None = None

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, str]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.raw(method, path, given, body)[:2]

    def raw(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {**headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def secret(self, number: int) -> str:
        if len(self.secrets) <= number:
            raise ConfigError("the secret file is gone")
        return self.secrets[number]


@pytest.fixture(scope="module")
def running() -> Iterator[Face]:
    made = Face()
    tokens = tuple(Token("ops", TokenScope.OPERATE, partial(made.secret, n)) for n in range(2))
    health = Health(lambda: made.alive, lambda: made.ready)
    access = Access(frozenset({"Janitor.Example"}), tokens)
    app = application(Metrics().app(lambda: None), health, access)
    with Server(app, "127.0.0.1:0") as server:
        made.port = server.port
        yield made


@pytest.fixture
def face(running: Face) -> Iterator[Face]:
    """The one server of this file, as if it had just been started."""
    running.secrets[:] = ["first", "second"]
    yield running
    running.alive = running.ready = None


@pytest.mark.parametrize("path", OPEN)
def test_open_paths_need_no_token(face: Face, path: str) -> None:
    status, text = face.ask(path)
    assert status == 200
    assert ("janitor_build_info" in text) is (path == "/metrics")


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_else_answers_without_a_token(face: Face, path: str) -> None:
    assert face.ask(path)[0] == 401
    assert face.ask(path, "POST", b"{}")[0] == 401
    assert face.ask(path, Authorization="Bearer wrong")[0] == 401
    assert face.ask(path, Authorization="Bearer second")[0] == 404


@pytest.mark.parametrize(
    "given",
    [
        "first",
        "Basic first",
        "Bearer",
        "Bearer ",
        "Bearer firs",
        "Bearer first,Bearer x",
        "Bearer ü",
    ],
)
def test_a_wrong_token_is_none(face: Face, given: str) -> None:
    status, _, headers = face.raw("GET", "/", {"Authorization": given})
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_token_that_is_not_ascii_is_compared_by_its_bytes(face: Face) -> None:
    face.secrets[:] = ["schlüssel", ""]
    as_utf8 = "schlüssel".encode().decode("latin-1")
    assert face.ask("/", Authorization=f"bearer {as_utf8}")[0] == 404
    assert face.ask("/", Authorization="Bearer schlüssel")[0] == 401


def test_two_tokens_of_one_name_let_a_secret_be_rotated(face: Face) -> None:
    for token in ("first", "second"):
        assert face.ask("/", Authorization=f"Bearer {token}")[0] == 404
    face.secrets[0] = "third"
    assert face.ask("/", Authorization="Bearer first")[0] == 401
    assert face.ask("/", Authorization="Bearer third")[0] == 404


def test_a_secret_that_cannot_be_read_opens_nothing_and_breaks_nothing(face: Face) -> None:
    del face.secrets[1]
    assert face.ask("/", Authorization="Bearer second")[0] == 401
    assert face.ask("/", Authorization="Bearer first")[0] == 404


def test_an_empty_secret_opens_nothing(face: Face) -> None:
    face.secrets[1] = ""
    assert face.ask("/", Authorization="Bearer ")[0] == 401
    assert face.ask("/", Authorization="Bearer first")[0] == 404


@pytest.mark.parametrize(
    "host",
    [
        "localhost:9464", "LOCALHOST", "127.0.0.1", "[::1]:9464", "10.1.2.3:80", "[2001:db8::1]",
        "janitor.example", "JANITOR.example.:9464",
    ],
)  # fmt: skip
def test_our_own_names_and_addresses_are_known(face: Face, host: str) -> None:
    assert face.ask("/healthz", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "localhost.evil.example", "evil.example:127.0.0.1", "", "a@localhost",
        "localhost:1/metrics?", "localhost/healthz", "127.0.0.1.evil.example", "localhost:999999",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/metrics", "/"])
def test_a_foreign_host_is_misdirected(face: Face, host: str, path: str) -> None:
    assert face.ask(path, Host=host, Authorization="Bearer first")[0] == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", OPEN)
def test_open_paths_are_only_read(face: Face, method: str, path: str) -> None:
    status, _, headers = face.raw(method, path, {})
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", OPEN)
def test_head_has_no_body(face: Face, path: str) -> None:
    assert face.ask(path, "HEAD") == (200, "")


def test_bodies_are_limited(face: Face) -> None:
    assert face.ask("/", "POST", b"x" * (64 * 1024 + 1), Authorization="Bearer first")[0] == 413
    assert face.ask("/", "POST", b"x" * (64 * 1024), Authorization="Bearer first")[0] == 404
    assert face.ask("/", "POST", Transfer_Encoding="chunked")[0] == 411


def test_health_and_readiness_say_what_is_wrong(face: Face) -> None:
    face.ready = "the registry: janitor.db is damaged"
    assert face.ask("/readyz") == (503, "the registry: janitor.db is damaged")
    assert face.ask("/healthz") == (200, "ok")
    face.alive = "the main loop has not moved for 31 s"
    assert face.ask("/healthz") == (503, "the main loop has not moved for 31 s")
    assert face.ask("/metrics")[0] == 200


def test_a_slow_client_holds_nobody_up(face: Face) -> None:
    slow = [socket.create_connection(("127.0.0.1", face.port), timeout=30) for _ in range(50)]
    for one in slow:
        one.sendall(b"GET /metrics HTTP/1.1\r\nHost: loc")
    assert face.ask("/metrics")[0] == 200
    for one in slow:
        one.sendall(b"alhost\r\n\r\n")
        assert one.recv(12) == b"HTTP/1.1 200"
        one.close()


def test_a_request_line_without_end_is_refused(face: Face) -> None:
    with socket.create_connection(("127.0.0.1", face.port), timeout=30) as endless:
        endless.sendall(b"GET /metrics HTTP/1.1\r\nX-Long: " + b"x" * 200_000)
        assert endless.recv(12) == b"HTTP/1.1 400"
    assert face.ask("/healthz")[0] == 200


def test_an_address_that_is_taken_is_refused_with_a_sentence(face: Face) -> None:
    app = application(Metrics().app(lambda: None), Health(lambda: None, lambda: None), Access())
    with pytest.raises(ConfigError, match="choose another address or port"):
        Server(app, f"127.0.0.1:{face.port}")
    with pytest.raises(ConfigError, match="choose another address or port"):
        Server(app, "127.0.0.1:99999")
