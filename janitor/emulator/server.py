"""Runs the emulator, in a thread or a process, with its control endpoints.

The control endpoints ask for no key: they are on loopback only, and nothing real is behind them.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import FrameType, TracebackType
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from janitor.emulator import fill
from janitor.emulator.app import BASE, Site, WireGate
from janitor.emulator.errors import Json
from janitor.emulator.faults import Fault
from janitor.kinds import Kind

Door = Callable[[Site, Json, str], object]


def _moment(value: Any) -> datetime | None:  # noqa: ANN401
    if value is None:
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value)


def _add_fault(site: Site, body: Json, _: str) -> object:
    return {"fault": site.faults.add(Fault(**body))}


def _faults(site: Site, _body: Json, _: str) -> object:
    return {"struck": site.faults.struck()}


def _clear_faults(site: Site, _body: Json, _: str) -> object:
    site.faults.clear()
    return {}


def _remove_fault(site: Site, _body: Json, number: str) -> object:
    site.faults.remove(int(number))
    return {}


def _log(site: Site, _body: Json, _: str) -> object:
    return [entry.show() for entry in site.log.entries]


def _clear_log(site: Site, _body: Json, _: str) -> object:
    site.log.clear()
    return {}


def _counts(site: Site, _body: Json, _: str) -> object:
    return site.log.counts()


def _add(site: Site, body: Json, _: str) -> object:
    kind, project = Kind(body.pop("kind")), body.pop("project", None)
    for name in ("created_at", "last_active_at"):
        body[name] = _moment(body.get(name))
    return {"id": fill.add(site.world, kind, project or next(iter(site.keys.values())), **body)}


def _items(site: Site, _body: Json, id: str) -> object:
    return fill.items_of(site.world, id)


def _append(site: Site, body: Json, id: str) -> object:
    text = body.get("text", "One more.")
    return {"id": fill.append(site.world, id, text, _moment(body.get("at")))}


def _touch(site: Site, _body: Json, id: str) -> object:
    fill.touch(site.world, id)
    return {}


def _lock(site: Site, body: Json, id: str) -> object:
    site.world.named(id).locked = body.get("locked", True)
    return {}


def _start_run(site: Site, body: Json, id: str) -> object:
    return {"id": fill.start_run(site.world, id, body.get("status", "in_progress"))}


def _set_run(site: Site, body: Json, run: str) -> object:
    fill.set_run(site.world, run, body["status"])
    return {}


def _set_clock(site: Site, body: Json, _: str) -> object:
    if (at := _moment(body.get("at"))) is not None:
        site.world.clock.set(at)
    site.world.clock.advance(timedelta(seconds=body.get("advance", 0)))
    return {"now": site.world.clock.now().isoformat()}


def _endpoint(site: Site, door: Door) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        with site.world.lock:
            try:
                answered = door(site, orjson.loads(raw or b"{}"), request.path_params.get("id", ""))
            except (KeyError, TypeError, ValueError) as error:
                return Response(f"{type(error).__name__}: {error}", 400)
            return Response(
                orjson.dumps(answered, option=orjson.OPT_NON_STR_KEYS),
                media_type="application/json",
            )

    return endpoint


_DOORS: tuple[tuple[str, str, Door], ...] = (
    ("POST", "/faults", _add_fault),
    ("GET", "/faults", _faults),
    ("DELETE", "/faults", _clear_faults),
    ("DELETE", "/faults/{id}", _remove_fault),
    ("GET", "/log", _log),
    ("DELETE", "/log", _clear_log),
    ("GET", "/counts", _counts),
    ("POST", "/containers", _add),
    ("GET", "/containers/{id}/items", _items),
    ("POST", "/containers/{id}/items", _append),
    ("POST", "/containers/{id}/touch", _touch),
    ("POST", "/containers/{id}/lock", _lock),
    ("POST", "/containers/{id}/runs", _start_run),
    ("POST", "/runs/{id}", _set_run),
    ("POST", "/clock", _set_clock),
)


def control(site: Site) -> list[BaseRoute]:
    """The routes of the control endpoints."""
    return [Route(path, _endpoint(site, door), methods=[method]) for method, path, door in _DOORS]


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
    """Stops at once, since a test does not want to wait for clients."""

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
        """End the loop; callable from any thread."""
        self._loop.call_soon_threadsafe(self._stop.set)


class _Application:
    """Passes a request to the API or to the control endpoints, by its path."""

    def __init__(self, site: Site) -> None:
        self._api = WireGate(site)
        self._control = Starlette(routes=[Mount(CONTROL, routes=control(site))])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not a mount: the API gets thousands of requests a second.
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
        workers=1,  # otherwise taken from WEB_CONCURRENCY
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
        """The server's address, without a path."""
        return f"http://{HOST}:{self._port}"

    @property
    def base_url(self) -> str:
        """The `base_url` for a client."""
        return self.url + BASE

    @property
    def control_url(self) -> str:
        """The address of the control endpoints."""
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
