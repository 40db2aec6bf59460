"""A real PgBouncer in front of the tests' PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from postgres import Server

PORT = 6432
PATIENCE = 240.0
SETTINGS = """[databases]
* = host={server} user=postgres

[pgbouncer]
pool_mode = {mode}
unix_socket_dir = {directory}
listen_addr = {host}
listen_port = {port}
auth_type = any
admin_users = admin
logfile = {directory}/log
server_round_robin = {round_robin}
default_pool_size = 12
"""


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running pooler, reached through a socket."""

    directory: Path

    def url(self, database: str) -> str:
        """How the registry is told of a database behind it."""
        host = quote(str(self.directory), safe="")
        return f"postgresql+psycopg://postgres@/{database}?host={host}&port={PORT}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement through it; in the database `pgbouncer`, one of its own."""
        said = f"host={self.directory} port={PORT} user=admin dbname={database}"
        with psycopg.connect(said, autocommit=True, prepare_threshold=None) as connection:
            cursor = psycopg.ClientCursor(connection).execute(statement.encode())
            return list(cursor.fetchall()) if cursor.description else []


def a_free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        found: int = tried.getsockname()[1]
        return found


@contextmanager
def pooled(
    server: Server, mode: str, *, round_robin: bool = False, port: int | None = None
) -> Iterator[Pooler]:
    """A pooler in that mode, for as long; with `port` it listens on the loopback, too."""
    with tempfile.TemporaryDirectory(prefix="janitor-pooler-") as made:
        directory = Path(made)
        directory.chmod(0o777)
        settings = directory / "pgbouncer.ini"
        said = SETTINGS.format(
            server=server.directory,
            mode=mode,
            directory=directory,
            host="" if port is None else "127.0.0.1",
            port=port or PORT,
            round_robin=int(round_robin),
        )
        settings.write_text(said, encoding="utf-8")
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        # It does not run as root; the server's own user reaches the server's socket.
        user = server.directory.stat().st_uid if os.geteuid() == 0 else None
        with subprocess.Popen([program, "-q", str(settings)], user=user) as process:
            try:
                _await(directory / f".s.PGSQL.{port or PORT}", process)
                yield Pooler(directory)
            finally:
                process.kill()


def _await(listening: Path, process: subprocess.Popen[bytes]) -> None:
    """Until it lets somebody in: the socket's file is there before anybody listens on it."""
    deadline = time.monotonic() + PATIENCE
    while not _lets_in(listening):
        assert process.poll() is None, "it ended at once"
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.01)


def _lets_in(listening: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as visitor:
        try:
            visitor.connect(str(listening))
        except OSError:
            return False
    return True
