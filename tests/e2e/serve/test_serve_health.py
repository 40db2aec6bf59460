"""`janitor health`: what a supervisor that asks by a command is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from world import World

from serve.serving import Start, scheduled

VARIABLE = "JANITOR_TEST_TOKEN"
TOKENS = f"tokens: {{ops: {{env: {VARIABLE}, scope: operate}}}}"


def listening_on(world: World, port: int, host: str = "127.0.0.1") -> None:
    """Let the configuration name an address."""
    scheduled(world, more=TOKENS)
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("127.0.0.1:0", f"{host}:{port}"), encoding="utf-8")


@contextmanager
def reserved() -> Iterator[tuple[socket.socket, int]]:
    """A port that belongs to this test, and on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held, int(held.getsockname()[1])


def a_free_port() -> int:
    with reserved() as (_, port):
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - with tokens
def test_a_service_that_lives_is_found_where_it_listens(
    world: World, serving: Start, host: str
) -> None:
    listening_on(world, a_free_port(), host)
    serving(**{VARIABLE: "a secret"})
    done = world.process("health", environment={"http_proxy": "http://127.0.0.1:1"})
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"alive on {host}:")
    assert world.process("--output", "json", "health").document["serving"] is True


def test_where_nothing_listens_only_a_service_is_missed(world: World) -> None:
    with reserved() as (_, port):
        listening_on(world, port)
        missed, forgiven = world.run("health"), world.run("health", "--if-serving")
    assert missed.code == 3
    assert missed.err == (
        f"janitor: nothing is listening on 127.0.0.1:{port}: is `janitor serve` running?\n"
    )
    assert (forgiven.code, forgiven.out) == (0, f"nothing listens on 127.0.0.1:{port}\n")


def test_a_service_that_does_not_answer_is_not_well(world: World) -> None:
    with reserved() as (held, port):
        held.listen()
        listening_on(world, port)
        done = world.run("health", "--if-serving")
    assert done.code == 3
    assert f"the service on 127.0.0.1:{port} does not answer: timed out" in done.err


class Unwell(BaseHTTPRequestHandler):
    """Says what a service says whose main loop hangs."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b"the main loop\x1b[2J stands still")

    def log_message(self, *_: object) -> None:
        pass


def test_a_service_that_says_so_is_not_well(world: World) -> None:
    with HTTPServer(("127.0.0.1", 0), Unwell) as server:
        listening_on(world, server.server_port)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        done = world.run("health", "--if-serving")
        thread.join()
    assert done.code == 3
    assert r"answers 503: the main loop\x1b[2J stands still" in done.err


def test_a_broken_file_is_told_to_a_person_and_no_reason_for_a_restart(world: World) -> None:
    world.config.write_text("version: [", encoding="utf-8")
    assert world.run("health").code == 2
    assert world.run("health", "--if-serving").code == 0
