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

from janitor.drivers import Endpoint
from janitor.drivers.connect import connect
from janitor.errors import ConfigError, TransientError
from janitor.model import Kind


async def told(endpoint: Endpoint, *, scarce: bool = False) -> str:
    """What a look says under this endpoint, where files are `scarce` without one to open."""
    async with connect(endpoint) as drivers:
        with few_files() if scarce else nullcontext(), pytest.raises(TransientError) as caught:
            await probe(drivers[Kind.CONVERSATION])
    message = str(caught.value)
    assert message.endswith("; retried by a later sweep")
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
    assert "its name cannot be resolved; check base_url of project main and the DNS" in said


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_a_proxy_that_is_not_there(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"correct {variable}, or unset it"
    with nobody() as port:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        assert said in asyncio.run(told(at("http://api.example/v1")))
    monkeypatch.setenv(variable, "nowhere.invalid:3128")
    assert said in asyncio.run(told(at("http://api.example/v1")))


LONG = "a" * 64
PROXIES = {
    "a part that is too long": f"http://me:MARK@{LONG}.example:3128",
    "an empty part": "http://me:MARK@a..b:3128",
    "no part": "http://.:3128",
    "a name that is too long": f"http://{'.'.join(['a' * 50] * 6)}:3128",
    "a blank": "http://me:MARK@ho st:3128",
    "an escape": "http://me:MARK@h%41:3128",
    "no letter of a name": "http://me:MARK@\u2603..com:3128",
    "a port out of range": "http://me:MARK@host:70000",
    "a port that is none": "http://me:MARK@host:abc",
    "an IPv6 address without brackets": "http://me:MARK@::1:3128",
    "half a bracket": "http://me:MARK@[::1:3128",
}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES)
def test_a_proxy_that_no_call_can_pass(
    proxy: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(ConfigError, match=f"^{variable}: .* is not a usable proxy") as no:
        asyncio.run(told(at("http://127.0.0.1:1/v1")))
    assert "MARK" not in str(no.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of aiohttp about its own client
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost.", "exa_mple.invalid", "bücher"])
def test_a_proxy_that_a_call_may_pass(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:MARK@{host}:1")
    said = asyncio.run(told(at("http://api.example/v1")))
    assert "correct HTTP_PROXY, or unset it" in said
    assert "MARK" not in said


@pytest.mark.parametrize("no", [LONG, "a..b", "[zz]", "h:99999", "127.0.0.0/99", "ho st", "\u2603"])
def test_what_passes_no_proxy_may_be_anything(no: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", f"{no},127.0.0.1")
        said = asyncio.run(told(at(f"http://127.0.0.1:{port}/v1")))
    assert "it refused the connection; is it running?" in said


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
