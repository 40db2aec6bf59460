"""Running the emulator: in a thread for tests, in the foreground for a process of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import FrameType, TracebackType

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from janitor.emulator.control import control
from janitor.emulator.gate import Gate
from janitor.emulator.site import BASE, Site

HOST = "127.0.0.1"
CONTROL = "/_emulator"


class _Protocol(H11Protocol):
    """Hands the connection to the application, which may have to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        # asyncio leaves it off for listeners made by hand: each answer would wait for an ACK.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Server(uvicorn.Server):
    """Stops at once: waiting for clients is not what a test wants."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()

    async def main_loop(self) -> None:
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.stop()

    def stop(self) -> None:
        """Let the loop end; callable from any thread."""
        self._loop.call_soon_threadsafe(self._stop.set)


class _Application:
    """Sends a request to the API or to the control door, by its path."""

    def __init__(self, site: Site) -> None:
        self._api = Gate(site)
        self._control = Starlette(routes=[Mount(CONTROL, routes=control(site))])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not a mount: the API is asked thousands of times a second.
        application = self._api if scope["path"].startswith(f"{BASE}/") else self._control
        await application(scope, receive, send)


def _server(site: Site) -> _Server:
    config = uvicorn.Config(
        _Application(site),
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        workers=1,  # else taken from WEB_CONCURRENCY, whatever that says
    )
    return _Server(config)


class Served:
    """The emulator on a loopback port, from entering to leaving the `with` block."""

    def __init__(self, site: Site, port: int = 0) -> None:
        self._listener = socket.create_server((HOST, port), backlog=2048)
        self._port: int = self._listener.getsockname()[1]
        self._server = _server(site)
        self._thread = threading.Thread(target=self.run, name="janitor-emulator", daemon=True)

    @property
    def url(self) -> str:
        """Where the server is, without a path."""
        return f"http://{HOST}:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client takes as `base_url`."""
        return self.url + BASE

    @property
    def control_url(self) -> str:
        """Where the emulator's own door is."""
        return self.url + CONTROL

    def run(self) -> None:
        """Serve in this thread until stopped; signals stop it in the main thread."""
        self._server.run(sockets=[self._listener])

    def __enter__(self) -> Served:
        self._thread.start()
        self._server.ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()
        self._thread.join()
