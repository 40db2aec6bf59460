"""Opening a database: where it lies, how SQLite is set, what an engine's failure means."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError

from janitor.errors import ConfigError, JanitorError, StoreError

WRITES = "janitor_writes"
_CHECKPOINT_PAGES = 4000  # 16 MiB: fewer pages are copied twice, recovery stays under a second
_CACHE_KIB = 8192
_PRIMARY = 0xFF  # SQLite's extended result codes keep the primary one in the low byte

_MEANS: dict[int, tuple[type[JanitorError], str]] = {
    sqlite3.SQLITE_NOTADB: (ConfigError, "is not a database: point registry.url at the registry"),
    sqlite3.SQLITE_READONLY: (
        ConfigError,
        "must not be written: give this user write access to the file and its directory",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        ConfigError,
        "cannot be opened: check that its directory exists and what this user may do there",
    ),
    sqlite3.SQLITE_PERM: (ConfigError, "must not be opened by this user: change its permissions"),
    sqlite3.SQLITE_AUTH: (ConfigError, "must not be opened by this user: change its permissions"),
    sqlite3.SQLITE_FULL: (
        StoreError,
        "could not grow: its disk is full; free some space, nothing half done was kept",
    ),
    sqlite3.SQLITE_BUSY: (
        StoreError,
        "stayed locked by another process for too long: end it or try again",
    ),
    sqlite3.SQLITE_LOCKED: (StoreError, "stayed locked for too long: try again"),
    sqlite3.SQLITE_CORRUPT: (StoreError, "is damaged: restore it from a backup, then recover"),
}


def path_of(url: str) -> Path:
    """The file that a registry URL names; ConfigError for anything but a file of SQLite."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("registry.url cannot be read: write sqlite:///janitor.db") from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError(
            f"registry.url: {parsed.get_backend_name()} is not built yet: write sqlite:///janitor.db"
        )
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError("registry.url names no file: write sqlite:///janitor.db")
    return Path(str(parsed.database))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns an engine's failure into one that says what to do; no statement, no value leaks."""
    try:
        yield
    except DBAPIError as error:
        raise _explanation(error, path) from None


def _explanation(error: DBAPIError, path: Path) -> JanitorError:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:
        return StoreError(f"{path}: the registry failed: {type(error.orig).__name__}")
    kind, message = _MEANS.get(code & _PRIMARY, (StoreError, ""))
    name = getattr(error.orig, "sqlite_errorname", "")
    return kind(f"{path} {message or f'failed: {name}; check its disk'}")


def writer(path: Path, busy_timeout: timedelta) -> Engine:
    """An engine that writes durably and leaves no trace of what it overwrites."""
    engine = _engine(f"sqlite:///{path}", connect_args={"isolation_level": None})
    event.listen(engine, "connect", _settings(busy_timeout))
    event.listen(engine, "begin", _begin)
    return engine


def reader(path: Path) -> Engine:
    """An engine that leaves every file as it is, beside a living writer or after a dead one.

    Opening a WAL database creates its -wal and -shm even when `mode=ro`. Where there is no -wal
    nobody writes, so the file is read as immutable; that is judged anew for every transaction.
    """

    def connect() -> sqlite3.Connection:
        writing = Path(f"{path}-wal").exists()
        mode = "mode=ro" if writing else "mode=ro&immutable=1"
        uri = f"{path.absolute().as_uri()}?{mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    engine = _engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return engine


def _engine(url: str, **options: Any) -> Engine:  # noqa: ANN401  handed through to SQLAlchemy
    return create_engine(
        url,
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode(),
        json_deserializer=orjson.loads,
        **options,
    )


def _settings(busy_timeout: timedelta) -> Any:  # noqa: ANN401  SQLAlchemy's listener
    def connect(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(busy_timeout.total_seconds() * 1000)}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        cursor.close()

    return connect


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once beside another writer.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def prepare_file(path: Path) -> None:
    """Makes sure that the file can be written, and creates it for its owner alone."""
    directory = path.parent
    if not directory.is_dir():
        raise ConfigError(f"{path}: the directory {directory} does not exist: create it first")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"{directory} must not be written: give this user access to it")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigError(f"{path} must not be written: give this user write access to it")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened for writing: {error.strerror}") from None
