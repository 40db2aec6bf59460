"""What can go wrong with a registry while an application runs."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


@contextmanager
def locked(registry: Path) -> Iterator[None]:
    """Another process holds the registry for as long."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(registry)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    try:
        yield
        assert process.poll() is None, "the lock was not held to the end"
    finally:
        process.communicate()


def is_locked(registry: Path) -> bool:
    """Whether somebody holds the registry right now."""
    with closing(sqlite3.connect(registry, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


class Silent:
    """A server that takes what is sent to it, and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.heard = threading.Event()
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address as a registry's."""
        return f"http://token@127.0.0.1:{self._listener.getsockname()[1]}"

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._taken.append(connection)
            if connection.recv(1):
                self.heard.set()

    def close(self) -> None:
        """Let go of everybody."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._taken:
            connection.close()
        self._thread.join()


@contextmanager
def silent() -> Iterator[Silent]:
    """A server that never answers, for as long."""
    server = Silent()
    try:
        yield server
    finally:
        server.close()
