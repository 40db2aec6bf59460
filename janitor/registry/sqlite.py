"""SQLite: where the file lies, how it is set, and what its failures mean."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    NullPool,
    QueuePool,
    cast,
    event,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from janitor.causes import cause, is_scarce, lack, shortage
from janitor.errors import ConfigError, JanitorError, StoreError
from janitor.registry.database import WRITES, Lock, new_engine
from janitor.registry.lock import RunLock
from janitor.registry.place import Place, truncated

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
_CHECKPOINT_PAGES = 4000  # 16 MiB: fewer pages are copied twice, recovery stays under a second
_CACHE_KIB = 8192
BESIDE = ("-wal", "-shm")
_OF_FILES = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_PRIMARY = 0xFF  # SQLite's extended result codes keep the primary one in the low byte

Meaning = tuple[type[JanitorError], str]

_FULL = (
    StoreError,
    "could not grow: its disk is full; free some space, nothing half done was kept",
)
_MEANS: dict[int, Meaning] = {
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
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: (StoreError, "failed: {name}; check its disk"),
    sqlite3.SQLITE_INTERRUPT: (StoreError, "was interrupted: run it again"),
    sqlite3.SQLITE_BUSY: (
        StoreError,
        "stayed locked by another process for too long: end it or try again",
    ),
    sqlite3.SQLITE_LOCKED: (StoreError, "stayed locked for too long: try again"),
    sqlite3.SQLITE_PROTOCOL: (StoreError, "stayed locked for too long: try again"),
    sqlite3.SQLITE_CORRUPT: (StoreError, "is damaged: restore it from a backup"),
}
_TABLES_GONE = (
    StoreError,
    (
        "holds no registry now: its tables are gone. Nothing is removed until that is mended: put "
        "it back from a backup"
    ),
)
_UNKNOWN = (StoreError, "failed: {name}; nothing half done was kept")


class Sqlite:
    """A file, and a lock file beside it: one process at a time does a run.

    Whoever holds the run's lock knows that all other owners of claims are dead, so a lease lasts
    until it is released.
    """

    has_leases = False

    def __init__(
        self, url: URL, *, read_only: bool, busy_timeout: timedelta, create: bool = True
    ) -> None:
        if url.database in (None, "", ":memory:"):
            raise ConfigError("registry.url names no file: write sqlite:///janitor.db")
        self.path = Path(str(url.database))
        self.name = str(self.path)
        self._place: Place | None = None
        self._anchor: sqlite3.Connection | None = None
        self._fresh = reader(self.path)
        self._stamp: tuple[int, int] | None = None
        self._is_writer = not read_only
        if read_only or not create:
            self._require_file()
        if read_only:
            self.engine = reader(self.path)
        else:
            prepare_file(self.path)
            self.engine = writer(self.path, busy_timeout)

    def _require_file(self) -> None:
        try:
            is_file = stat.S_ISREG(self.path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            is_file = False
        except OSError as error:
            said = cause(error, "point registry.url at a file that this user may use")
            raise ConfigError(f"{self.name} cannot be opened: {said}") from None
        if not is_file:
            raise ConfigError(
                f"{self.name} does not exist: if it was moved or deleted, put it back; if there "
                "was none yet, fill it with `janitor import` or `janitor sync` first"
            )

    def pin(self) -> None:
        """Remember which files these are; a writer keeps them open from now on."""
        if self._is_writer:
            with self.explained():
                self._anchor = connection_to(self.path)
                self._anchor.execute("PRAGMA schema_version").fetchall()  # and what lies beside
        self._place = Place(self.path, BESIDE if self._is_writer else ())

    def check_in_place(self) -> None:
        """StoreError where the pinned files are no longer what lies there."""
        if self._place is not None and self._place.check():
            with self.explained(), self.afresh() as connection:
                pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
                page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
            if self._place.is_shorter_than(pages * page):
                raise truncated(self.path)

    @contextmanager
    def afresh(self) -> Iterator[Connection]:
        """A connection that sees what a new process would see.

        What a kept connection has in its cache is that as long as nobody wrote to the file itself.
        """
        stamp = self._place.stamp() if self._place is not None else None
        engine = self.engine if stamp is not None and stamp == self._stamp else self._fresh
        with engine.connect() as connection:
            yield connection
        self._stamp = stamp

    def close(self) -> None:
        """Gives files and connections back."""
        with self.explained():
            self.engine.dispose()
            if self._anchor is not None:
                self._anchor.close()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns the engine's failure into one that says what to do; no value leaks."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise _explanation(error, self.path) from None

    @contextmanager
    def looking(self) -> Iterator[Connection | None]:
        """A transaction in which nothing can be written; `None` where there is nothing to see."""
        if not self.path.stat().st_size:
            if Path(f"{self.path}-wal").exists():
                raise truncated(self.path)
            yield None
            return
        engine = reader(self.path)
        with self.explained(), engine.connect() as connection, connection.begin():
            yield connection
        engine.dispose()

    def now(self, _connection: Connection) -> datetime:
        """The clock that leases are judged by: this process's own."""
        return datetime.now(UTC)

    def lease_end(self, _now: datetime) -> datetime:
        """Until when a claim of this moment stands: as long as the run's lock is held."""
        return FOREVER

    def alone(self, _connection: Connection) -> None:
        """A writing transaction is alone here anyway."""

    def lock(self, wait: timedelta, *, shared: bool) -> RunLock:  # noqa: ARG002  nobody shares a file
        """The lock of a run."""
        return RunLock(self.path.resolve(), wait)

    def opening(self, _wait: timedelta) -> Lock:
        """Whoever holds the run's lock opens and closes runs."""
        return nullcontext()

    def syncing(self, wait: timedelta) -> RunLock:
        """A lock file of its own: whoever reads sources needs no run."""
        return RunLock(Path(f"{self.path.resolve()}.sync"), wait, "the reading of sources")

    def walking(self, _name: str, wait: timedelta) -> RunLock:
        """One lock file for all lists: whoever walks one needs no run."""
        return RunLock(Path(f"{self.path.resolve()}.walk"), wait, "the walk over a list")

    def working(self, _run: str) -> Lock:
        """The run's lock says it all."""
        return nullcontext()

    def workers(self, _run: str) -> int:
        """Nobody beside whoever holds the run's lock."""
        return 0

    def bytes_of(self, column: Column[Any]) -> ColumnElement[bytes]:
        """Any column may hold a BLOB, and text that is not UTF-8."""
        return cast(column, LargeBinary)

    def scrub(self) -> None:
        """Empties the write-ahead log; pages of the file are overwritten by `secure_delete`."""
        with self.explained(), closing(self.engine.raw_connection()) as raw:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _explanation(error: DBAPIError | sqlite3.Error, path: Path) -> JanitorError:
    orig = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(orig, "sqlite_errorcode", None)
    if _is_empty(path):
        return truncated(path)
    if code is None:
        return StoreError(f"{path}: the registry failed: {type(orig).__name__}")
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # what a disk without room says of the file beside
        code = sqlite3.SQLITE_FULL
    meaning = _obstacle(code & _PRIMARY, path) or _MEANS.get(code & _PRIMARY)
    if meaning is None:
        meaning = _TABLES_GONE if str(orig).startswith("no such table") else _UNKNOWN
    kind, message = meaning
    return kind(f"{path} {message.format(name=getattr(orig, 'sqlite_errorname', ''))}")


def _is_empty(path: Path) -> bool:
    try:
        return not path.stat().st_size
    except OSError:
        return False


def _obstacle(code: int, path: Path) -> Meaning | None:
    """What stands in the way of the files, where SQLite only says that it cannot have them.

    None of them is opened to see: closing it would free the locks that this process has on it.
    """
    if code not in _OF_FILES:
        return None
    if (error := shortage()) is not None:
        return StoreError, f"cannot be opened: {cause(error, 'try again')}"
    error = lack(path.resolve().parent)
    if error is not None and error.errno == errno.EROFS:
        return ConfigError, f"must not be written: {cause(error, 'try again')}"
    if error is not None:
        return _FULL if error.errno == errno.ENOSPC else None
    for one in (path, *(Path(f"{path}{ending}") for ending in BESIDE)):
        if os.path.lexists(one) and not os.access(one, os.R_OK | os.W_OK):
            return ConfigError, f"cannot be used: give this user access to {one}"
    return None


def writer(path: Path, busy_timeout: timedelta) -> Engine:
    """An engine that writes durably and leaves no trace of what it overwrites."""
    engine = new_engine("sqlite://", creator=lambda: connection_to(path), poolclass=QueuePool)
    event.listen(engine, "connect", _settings(busy_timeout))
    event.listen(engine, "begin", _begin)
    return engine


def connection_to(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there; none is made where none is."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


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

    engine = new_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return engine


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
    error = lack(directory)
    if error is not None and error.errno == errno.EROFS:
        raise ConfigError(f"{directory} must not be written: {cause(error, 'try again')}")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"{directory} must not be written: give this user access to it")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigError(f"{path} must not be written: give this user write access to it")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as failed:
        kind = StoreError if is_scarce(failed) else ConfigError
        said = cause(failed, "point registry.url at a file that this user may use")
        raise kind(f"{path} cannot be opened for writing: {said}") from None
