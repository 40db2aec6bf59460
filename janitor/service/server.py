"""uvicorn in a thread: signals stay with the main thread, and no peer can hold up the service."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeVar

import h11
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from janitor.causes import cause, is_scarce
from janitor.errors import ConfigError, JanitorError, StoreError
from janitor.service.endpoints import HEALTH

K = TypeVar("K", bound=Hashable)


class Phase(StrEnum):
    """What a connection waits for."""

    REQUEST = "request"
    """Its peer is silent, or has sent only a part of a request's headers."""
    BODY = "body"
    """The headers have arrived, but not the whole body."""
    WORK = "work"
    """The request is complete and the service is working on it: any delay is ours."""
    ANSWER = "answer"
    """Its peer has not read all of the response."""


class Cause(StrEnum):
    """Why a connection or a request is refused, in words that follow a number in the log."""

    ROOM = "closed to make room for newer connections"
    LATE = "closed because no complete request arrived in time"
    UNREAD = "closed because the response was not read in time"
    MALFORMED = "closed because the request was not valid HTTP"
    BUSY = "told to try again because too many requests were in progress"
    DESCRIPTORS = "not accepted because no file descriptor was free"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections and requests in progress there may be, and time limits in seconds.

    `request` and `body` limit how long a peer takes to send, `answer` how long it takes to read.
    """

    connections: int = 200
    requests: int = 64
    request: float = 5.0
    body: float = 10.0
    answer: float = 10.0

    @classmethod
    def within(cls, descriptors: int) -> Bounds:
        """Bounds that leave three quarters of a process's descriptors to its other work."""
        usual = cls()
        if descriptors < 0:  # RLIM_INFINITY
            return usual
        connections = max(8, min(usual.connections, descriptors // 4))
        return cls(connections, min(usual.requests, connections // 2))

    @property
    def accepted_at_once(self) -> int:
        """How many asyncio accepts before it handles any: they come on top of the bound."""
        return max(4, self.connections // 4)

    def seconds(self, phase: Phase) -> float | None:
        """How long a phase may last, `None` if the peer has no part in it."""
        limits = {
            Phase.REQUEST: self.request,
            Phase.BODY: self.body,
            Phase.ANSWER: self.answer,
        }
        return limits.get(phase)


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """What a connection waits for, and since when, on a monotonic clock."""

    phase: Phase
    since: float

    def is_overdue(self, now: float, bounds: Bounds) -> bool:
        """Whether its peer has used up its time."""
        limit = bounds.seconds(self.phase)
        return limit is not None and now - self.since >= limit


def surplus(connections: Mapping[K, RequestProgress], bounds: Bounds) -> list[K]:
    """Which connections to close so that no more than the bound remain.

    Those that wait for their peers, the longest wait first. None with a request in progress is
    closed: requests beyond their own bound are refused, and their connections close before others
    can arrive, so they are not counted here.
    """
    waiting = [key for key, one in connections.items() if one.phase is not Phase.WORK]
    waiting.sort(key=lambda key: connections[key].since)
    working = min(len(connections) - len(waiting), bounds.requests)
    return waiting[: max(0, len(waiting) + working - bounds.connections)]


class Refusals:
    """Counts what is refused, and reports it at most once in `every` seconds."""

    def __init__(self, every: float = 60.0) -> None:
        self._every = every
        self._counts: Counter[Cause] = Counter()
        self._told_at: float | None = None

    def count(self, cause: Cause) -> None:
        """Count one."""
        self._counts[cause] += 1

    def message(self, now: float, *, last: bool = False) -> str | None:
        """What was refused since the last message, if one is due; `last` does not wait for that."""
        told_lately = self._told_at is not None and now - self._told_at < self._every
        if not self._counts or (told_lately and not last):
            return None
        text = ", ".join(f"{number} {cause}" for cause, number in self._counts.most_common())
        self._counts.clear()
        self._told_at = now
        return f"HTTP: {text}"


log = logging.getLogger("janitor")

STOP_SECONDS = 5.0
FINISH_SECONDS = 1.0
"""How long requests in progress may take once the service stops."""
QUEUE = 1024
"""How many connections wait in the kernel, where they use none of our descriptors."""
MOST_UNWANTED = 16 * 1024 * 1024
"""How many bytes of a refused body are read and dropped at most."""
OUT_OF_DESCRIPTORS = "socket.accept() out of system resource"  # asyncio's words


class ConnectionLimiter(ServerState):
    """All connections of a listener; closes those that are too many or keep us waiting."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self.bounds = bounds
        self.refusals = Refusals()
        self.open: dict[BoundedProtocol, None] = {}  # in the order of their arrival
        self._makes_room = False

    def add(self, connection: BoundedProtocol) -> None:
        """Add a new connection; room is made once for all that arrive together."""
        self.open[connection] = None
        if len(self.open) > self.bounds.connections and not self._makes_room:
            self._makes_room = True
            connection.loop.call_soon(self._make_room, connection.loop)

    def _make_room(self, loop: asyncio.AbstractEventLoop) -> None:
        self._makes_room = False
        now = loop.time()
        for connection in surplus({one: one.progress(now) for one in self.open}, self.bounds):
            self.refusals.count(Cause.ROOM)
            connection.abort()

    def look(self, now: float) -> None:
        """Close whatever is overdue, and log what was refused."""
        for connection in list(self.open):
            if connection.progress(now).is_overdue(now, self.bounds):
                connection.end()
        self.tell(now)

    def tell(self, now: float, *, last: bool = False) -> None:
        """Log what was refused, if a message is due."""
        if (message := self.refusals.message(now, last=last)) is not None:
            log.warning("%s", message)

    def requests(self, now: float) -> int:
        """How many requests are in progress, without those that wait for their peers."""
        return sum(one.progress(now).phase is Phase.WORK for one in self.open)


class BoundedProtocol(H11Protocol):
    """An HTTP connection that knows what it waits for, and can be closed in any phase."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ConnectionLimiter,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limiter = server_state
        self._answers = 0
        self._has_begun = True  # a new connection is timed as if a request had begun
        self._step: tuple[Phase, int, bool] | None = None
        self._since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.progress(self.loop.time())
        self._limiter.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._limiter.open.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._has_begun = True
        super().data_received(data)
        self.progress(self.loop.time())

    def on_response_complete(self) -> None:
        self._answers += 1
        self._has_begun = False
        super().on_response_complete()
        self.progress(self.loop.time())

    def progress(self, now: float) -> RequestProgress:
        """What it waits for, and since when; unread responses share one time, requests do not."""
        phase = self._phase()
        step = (phase, self._answers, self._has_begun)
        if phase is Phase.ANSWER:
            step = (phase, 0, True)
        if step != self._step:
            self._step, self._since = step, now
        return RequestProgress(phase, self._since)

    def _phase(self) -> Phase:
        if self.transport.get_write_buffer_size():
            return Phase.ANSWER
        if self.conn.their_state is h11.SEND_BODY:
            return Phase.BODY
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr] # None before the first
            return Phase.WORK
        return Phase.REQUEST

    def end(self) -> None:
        """Close it because its peer is late; a peer that sent a part of a request is told so."""
        phase = self._phase()
        if phase is Phase.ANSWER:
            self._limiter.refusals.count(Cause.UNREAD)
            self.abort()
        elif phase is Phase.BODY or self.conn.trailing_data[0]:
            self._limiter.refusals.count(Cause.LATE)
            self._refuse(408, "the request did not arrive in time")
        else:
            if not self._answers:  # else it is idle, as any client may be
                self._limiter.refusals.count(Cause.LATE)
            self.abort()

    def abort(self) -> None:
        """Close it at once, even if something has not been sent yet."""
        self._limiter.open.pop(self, None)
        self.transport.abort()

    def eof_received(self) -> None:
        if self._phase() is Phase.BODY:
            self.send_400_response("the body is shorter than its Content-Length")

    def send_400_response(self, msg: str) -> None:
        self._limiter.refusals.count(Cause.MALFORMED)
        self._refuse(400, msg)

    def _refuse(self, status: int, text: str) -> None:
        """Answer instead of the application, if it has not begun to, and close."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
            reason = HTTPStatus(status).phrase
            answer = h11.Response(status_code=status, headers=headers, reason=reason)
            for event in (answer, h11.Data(data=text.encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Listener(uvicorn.Server):
    """uvicorn that checks its connections ten times a second and shuts down within a bound."""

    def __init__(self, config: uvicorn.Config, limiter: ConnectionLimiter) -> None:
        super().__init__(config)
        self.server_state = limiter
        self._limiter = limiter

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._on_trouble)
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(QUEUE)

    def _on_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context["message"] == OUT_OF_DESCRIPTORS:
            self._limiter.refusals.count(Cause.DESCRIPTORS)
        else:
            loop.default_exception_handler(context)

    async def on_tick(self, counter: int) -> bool:
        self._limiter.look(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is in progress; close at once whatever waits for a peer."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        loop = asyncio.get_running_loop()
        for connection in list(self._limiter.open):
            if connection.progress(loop.time()).phase is not Phase.WORK:
                connection.abort()
        if tasks := set(self._limiter.tasks):
            await asyncio.wait(tasks, timeout=FINISH_SECONDS)
        for connection in list(self._limiter.open):
            connection.abort()
        await asyncio.sleep(0)  # connections see that they are lost before requests are cancelled
        self._limiter.tell(loop.time(), last=True)


class _Door:
    """Admits as many requests as can be worked on, and always /healthz, which costs nothing."""

    def __init__(self, app: ASGIApp, limiter: ConnectionLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            app = self._busy if self._is_full() and scope["path"] != HEALTH else self._app
            body = _Body(receive, send)
            await app(scope, body.receive, body.send)
        except asyncio.CancelledError:
            log.debug("a request was in progress when the service stopped")

    def _is_full(self) -> bool:
        most = self._limiter.bounds.requests
        # Tasks are quick to count, but include those that wait for their peers.
        return len(self._limiter.tasks) > most and (
            self._limiter.requests(asyncio.get_running_loop().time()) > most
        )

    async def _busy(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._limiter.refusals.count(Cause.BUSY)
        headers = {"Retry-After": "1", "Connection": "close"}
        refusal = PlainTextResponse("too many requests; try again", 503, headers)
        await refusal(scope, receive, send)


class _Body:
    """A request's body, the rest of which is read before its response ends.

    Otherwise a client that is refused before it has sent everything would see a reset connection
    instead of the response.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_whole = False

    async def receive(self) -> Message:
        """Pass on what the client sends."""
        message = await self._receive()
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass on the response; its end waits for the end of the body."""
        is_end = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_end and not self._is_whole:
            await self._send({**message, "more_body": True})
            await self._drop()
            message = {"type": message["type"]}
        await self._send(message)

    async def _drop(self) -> None:
        size = 0
        while not self._is_whole and size < MOST_UNWANTED:
            size += len((await self.receive()).get("body", b""))


class Server:
    """Serves an application at `host:port` while the body runs; port 0 takes any free one.

    By default, the bounds fit the process's limit of descriptors.

    Raises:
        ConfigError: The address is taken or is not this machine's.
        StoreError: Listening needs a resource that ran out.
    """

    def __init__(self, app: ASGIApp, listen: str, bounds: Bounds | None = None) -> None:
        host, _, port = listen.rpartition(":")
        self._socket = _listening(host.strip("[]"), int(port), listen)
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limiter = ConnectionLimiter(bounds or Bounds.within(limit))
        settings = uvicorn.Config(
            _Door(app, limiter),
            http=BoundedProtocol,
            loop="asyncio",  # uvloop accepts without a bound
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=limiter.bounds.accepted_at_once,
            workers=1,  # else taken from WEB_CONCURRENCY, whatever that says
        )
        self._server = _Listener(settings, limiter)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()


ELSEWHERE = "choose another address or port"


def _listening(host: str, port: int, listen: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _refusal(listen, error) from error
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        # Listen at once: a second service is refused here, and an early scrape is not refused.
        made.listen()
    except OSError as error:
        made.close()
        raise _refusal(listen, error) from error
    except OverflowError as error:
        made.close()
        raise ConfigError(f"service.listen {listen}: no such address; {ELSEWHERE}") from error
    return made


def _refusal(listen: str, error: OSError) -> JanitorError:
    if isinstance(error, socket.gaierror):
        return ConfigError(f"service.listen {listen}: {error.strerror}; {ELSEWHERE}")
    kind = StoreError if is_scarce(error) else ConfigError
    return kind(f"service.listen {listen}: {cause(error, ELSEWHERE)}")
