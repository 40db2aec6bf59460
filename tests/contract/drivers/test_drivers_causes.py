"""Why there was no answer is said as it was, made real each time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
from container_server import ENDPOINT, probe
from scarce import few_files

from janitor.drivers import Endpoint, connect
from janitor.errors import TransientError
from janitor.model import Kind


async def told(endpoint: Endpoint, *, scarce: bool = False) -> str:
    """What a look says under this endpoint, where files are `scarce` without one to open."""
    async with connect(endpoint) as drivers:
        with few_files() if scarce else nullcontext(), pytest.raises(TransientError) as caught:
            await probe(drivers[Kind.CONVERSATION])
    message = str(caught.value)
    assert message.endswith("; tried again at a later sweep")
    return message


@contextmanager
def nobody() -> Iterator[int]:
    """A port that is taken and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def at(base_url: str, timeout: float = 20.0) -> Endpoint:
    return replace(ENDPOINT, base_url=base_url, timeout=timeout)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refused_connection(host: str) -> None:
    with nobody() as port:
        said = asyncio.run(told(at(f"http://{host}:{port}/v1")))
    assert f"no answer from {host}: it refused the connection; is it running?" in said


def test_a_name_that_nobody_knows() -> None:
    said = asyncio.run(told(at("http://nowhere.invalid/v1")))
    assert "its name is not known; check base_url of project main and the DNS" in said


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_a_proxy_that_is_not_there(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"correct {variable}, or unset it"
    with nobody() as port:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        assert said in asyncio.run(told(at("http://api.example/v1")))
    monkeypatch.setenv(variable, "nowhere.invalid:3128")
    assert said in asyncio.run(told(at("http://api.example/v1")))


def test_what_passes_no_proxy_blames_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        said = asyncio.run(told(at(f"http://127.0.0.1:{port}/v1")))
    assert "it refused the connection; is it running?" in said


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        said = asyncio.run(told(at(f"http://127.0.0.1:{port}/v1", 0.2)))
    assert "no answer from 127.0.0.1: none came within 0.2 s" in said


def test_too_many_open_files() -> None:
    asyncio.run(told(at("http://127.0.0.1:1/v1")))  # imports what a call needs
    said = asyncio.run(told(at("http://127.0.0.1:1/v1"), scarce=True))
    assert "Too many open files; raise the limit of this process" in said


def test_a_server_without_tls() -> None:
    async def main() -> str:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await told(at(f"https://127.0.0.1:{port}/v1"))

    assert "it does not speak TLS as this machine does; check base_url" in asyncio.run(main())
