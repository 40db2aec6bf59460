"""A service under a flood of connections, with few descriptors: it sweeps, reloads and answers."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from postgres import Server
from world import World, until

from serve.serving import Serving, Start, scheduled

DESCRIPTORS = 256
# Whoever asks is told to come again, where so many ask at once that none is left to make room.
REFUSED = ("closed to make room for newer connections", "told to try again")
HALF = b"GET /metrics HTTP/1.1\r\nHost: loc"
SCRAPES = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20


@contextmanager
def few_descriptors() -> Iterator[None]:
    """What is started meanwhile may hold no more than so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def flood(one: Serving, stack: ExitStack, first: bytes, number: int) -> None:
    """Connections that are never finished and never read from."""
    for _ in range(number):
        address = ("127.0.0.1", one.port)
        stack.enter_context(socket.create_connection(address, timeout=240)).sendall(first)


@pytest.fixture
def on_postgresql(world: World, postgres: Server) -> Iterator[None]:
    """The world's registry is a database of its own on a server, over real connections."""
    with postgres.database() as name:
        text = world.config.read_text(encoding="utf-8")
        text = text.replace("sqlite:///janitor.db", postgres.url(name))
        world.config.write_text(text, encoding="utf-8")
        yield


@pytest.mark.parametrize("first", [b"", HALF, SCRAPES], ids=["silent", "half-sent", "unread"])
def test_a_flood_of_connections_disturbs_nothing_else(
    world: World, serving: Start, first: bytes
) -> None:
    flooded(world, serving, first)


@pytest.mark.usefixtures("on_postgresql")
def test_a_flood_of_connections_takes_no_descriptor_that_postgresql_needs(
    world: World, serving: Start
) -> None:
    """The connections to the registry are descriptors of the same process."""
    flooded(world, serving, HALF)


def flooded(world: World, serving: Start, first: bytes) -> None:
    """Sweeps, a reload and /healthz go on amid more connections than there are descriptors."""
    scheduled(world, "1s")
    with few_descriptors():
        one = serving()
    with ExitStack() as stack:
        flood(one, stack, first, DESCRIPTORS + 50)
        before = one.text.count(": done,")
        until(lambda: one.get("/healthz") == (200, "ok") and one.text.count(": done,") > before + 1)
        scheduled_again = world.config.read_text(encoding="utf-8").replace("1s", "2s")
        world.config.write_text(scheduled_again, encoding="utf-8")
        flood(one, stack, first, 50)
        until(lambda: "configuration reloaded" in one.text)
        assert one.get("/healthz") == (200, "ok")
        assert one.stop() == 0
    assert any(words in one.text for words in REFUSED)
    assert "Traceback" not in one.text
    assert " ERROR " not in one.text
