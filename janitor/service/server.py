"""uvicorn in a thread: signals stay with the main thread."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from janitor.errors import ConfigError

STOP_SECONDS = 5.0


class Server:
    """Serves an application at `host:port` while the body runs; port 0 takes any free one.

    Raises:
        ConfigError: The address is taken or is not this machine's.
    """

    def __init__(self, app: ASGIApp, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        self._socket = _listening(host.strip("[]"), int(port), listen)
        settings = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(settings)
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


def _listening(host: str, port: int, listen: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        # Listening at once: a second service is refused here, and no early scrape either.
        made.listen()
    except (OSError, OverflowError) as error:
        made.close()
        why = getattr(error, "strerror", None) or "no such address"
        message = f"service.listen {listen}: {why}; choose another address or port"
        raise ConfigError(message) from error
    return made
