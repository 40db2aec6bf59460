"""Connects to an endpoint: the drivers of all kinds, over the vendor's SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import httpx2

from janitor.drivers.catalogue import driver_class
from janitor.drivers.client import Api
from janitor.drivers.driver import Driver
from janitor.drivers.endpoint import Endpoint
from janitor.drivers.environment import check_environment
from janitor.drivers.response_memory import (
    LEAST,
    PROCESS,
    Budget,
    Share,
    share_of_call,
)
from janitor.drivers.unpacker import ACCEPTED, Unpacker
from janitor.errors import AccessError
from janitor.model import Kind

if TYPE_CHECKING:
    from openai import AsyncOpenAI, DefaultAioHttpClient

Transport = httpx2.AsyncBaseTransport
"""The class of transports; other packages import it from here instead of from httpx2."""

OVERALL = 6
LARGEST_ERROR = 1 << 14
"""Bytes of an error's body; of a larger one only the status is read."""
PACKING = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class Outbound(httpx2.AsyncBaseTransport):
    """The SDK's aiohttp connections, through the environment's proxies, as one transport.

    Made to be wrapped: the transports that pace, count and retry have this as their inner one.
    `concurrency` limits the connections. The memory of an answer counts in the share of its call.
    Raises `ConfigError` if the environment names proxies or certificates that cannot be used.
    """

    def __init__(self, concurrency: int) -> None:
        check_environment()
        self._concurrency = concurrency

    @cached_property
    def _client(self) -> DefaultAioHttpClient:
        from openai import DefaultAioHttpClient  # noqa: PLC0415 - see `_client` below

        limits = httpx2.Limits(
            max_connections=self._concurrency, max_keepalive_connections=self._concurrency
        )
        return DefaultAioHttpClient(limits=limits, follow_redirects=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and read the whole answer, through the proxy for its address.

        Raises `httpx2.DecodingError` if the body does not match its length or checksum. Raises
        `httpx2.ReadTimeout` if the answer takes longer than `OVERALL` read time-outs: a server
        that sends a byte now and then must not block a call forever. Raises `TooLargeError` if the
        answer is larger than allowed for its call.
        """
        read, share = request.extensions.get("timeout", {}).get("read"), share_of_call()
        try:
            async with asyncio.timeout(read and read * OVERALL) as deadline:
                transport = _sends_once(self._client._transport_for_url(request.url))
                response = await transport.handle_async_request(request)
                return await self._read(response, Received(response, share, deadline))
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the answer takes too long", request=request) from error

    async def _read(self, response: httpx2.Response, received: Received) -> httpx2.Response:
        """The same answer with its whole body, unpacked, its length and checksum verified."""
        unpacker = Unpacker(response.headers)
        try:
            async for block in response.aiter_raw():
                for part in unpacker.unpack(block):
                    await received.add(part, unpacker.received)
                if received.is_dropped:
                    break
            else:
                unpacker.finish()
        finally:
            await response.aclose()
        headers = [pair for pair in response.headers.raw if pair[0].lower() not in PACKING]
        return httpx2.Response(
            response.status_code,
            headers=headers,
            content=bytes(received.content),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if "_client" in self.__dict__:
            await self._client.aclose()


class Received:
    """The body of an answer as it arrives, counted in the memory share of its call.

    Waiting for memory is not the server's fault, so it does not count towards `deadline`. A large
    body of an error is dropped, since the status is enough.
    """

    def __init__(self, response: httpx2.Response, share: Share, deadline: asyncio.Timeout) -> None:
        self.content = bytearray()
        self.is_dropped = False
        self._is_error = response.status_code >= httpx2.codes.BAD_REQUEST
        self._share = share
        self._deadline = deadline

    async def add(self, part: bytes, packed: int) -> None:
        """Add a part; `packed` bytes have been received so far. Raises `TooLargeError`."""
        self.content += part
        size = max(len(self.content), packed)
        if not self._is_error:
            await self._count(size)
        elif size > LARGEST_ERROR:
            self.is_dropped = True
            self.content.clear()

    async def _count(self, size: int) -> None:
        at = self._deadline.when()
        loop = asyncio.get_running_loop()
        left = None if at is None else at - loop.time()
        self._deadline.reschedule(None)
        try:
            await self._share.grow(LEAST * size)
        finally:
            self._deadline.reschedule(None if left is None else loop.time() + left)


class ClosedTransport(httpx2.AsyncBaseTransport):
    """Sends nothing: every request raises `AccessError` with the given reason."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:  # noqa: ARG002
        """Refuse the request."""
        raise AccessError(self._why)


def _sends_once(transport: Any) -> httpx2.AsyncBaseTransport:  # noqa: ANN401 - aiohttp's, vendored
    """Keep aiohttp from resending a DELETE by itself when a kept connection breaks.

    Neither the limiter nor the guard would see it, and the first DELETE may have worked.
    """
    if transport.client is None:
        transport.client = transport.get_client()
        transport.client._retry_connection = False
    sending: httpx2.AsyncBaseTransport = transport
    return sending


@asynccontextmanager
async def connect(
    endpoint: Endpoint,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    concurrency: int = 32,
    budget: Budget = PROCESS,
) -> AsyncIterator[Mapping[Kind, Driver]]:
    """A driver for each kind, over one client that is closed at the end.

    `transport` sees every request and is closed too; the default is `Outbound(concurrency)`.
    `budget` is the memory that their answers may take. The SDK retries nothing, follows no
    redirect and reads nothing from the environment. Raises `AccessError` if the endpoint has no
    credential.
    """
    if not endpoint.api_key:
        raise AccessError(
            f"project {endpoint.name}: the API key is empty. Set api_key under "
            f"projects.{endpoint.name}"
        )
    http = httpx2.AsyncClient(
        transport=transport or Outbound(concurrency),
        headers={"accept-encoding": ACCEPTED},
        follow_redirects=False,
        trust_env=False,
    )
    async with aclosing(http):
        api = Api(partial(_client, endpoint, http), endpoint, budget)
        yield {kind: driver_class(kind)(api) for kind in Kind}


def _client(endpoint: Endpoint, http: httpx2.AsyncClient) -> AsyncOpenAI:
    # The SDK takes half of the time that a command takes to start, and many make no call.
    from openai import AsyncAzureOpenAI, AsyncOpenAI  # noqa: PLC0415

    client: AsyncOpenAI
    if endpoint.azure_endpoint is None:
        client = AsyncOpenAI(
            api_key=endpoint.api_key,
            admin_api_key="",
            webhook_secret="",
            base_url=endpoint.base_url,
            timeout=endpoint.timeout,
            max_retries=0,
            default_query=dict(endpoint.query),
            http_client=http,
        )
    else:
        client = AsyncAzureOpenAI(
            api_key=endpoint.api_key,
            admin_api_key="",
            webhook_secret="",
            azure_endpoint=endpoint.azure_endpoint,
            api_version=endpoint.azure_api_version or "",
            timeout=endpoint.timeout,
            max_retries=0,
            default_query=dict(endpoint.query),
            http_client=http,
        )
    # If these are not set, the SDK takes them from OPENAI_ORG_ID, OPENAI_PROJECT_ID and
    # OPENAI_CUSTOM_HEADERS; a stray variable must not send a deletion somewhere else.
    client.organization = endpoint.organization
    client.project = endpoint.project
    client._custom_headers = dict(endpoint.headers)
    return client
