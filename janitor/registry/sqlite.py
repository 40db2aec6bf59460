"""SQLite: the file and its identity, the run lock, settings, and what failures mean.

A process that has a database open keeps using its file after that was moved, deleted or replaced,
while everybody else opens the file that is there now: holds set from then on never reach it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
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

from janitor.causes import cause, is_scarce, lack, outgrown, shortage, sort_of
from janitor.errors import ConfigError, JanitorError, LockedError, NoRegistryError, StoreError
from janitor.registry.database import WHAT_NOW, WRITES, Lock, Tell, new_engine, tell_nobody

_POLL = 0.05


class RunLock:
    """An exclusive `flock` on `<db>.lock`, held while entered.

    Entering waits up to `wait`, then raises LockedError naming the holder's pid and host. The file
    stays: removing it would let two janitors lock two different files of the same name.
    """

    def __init__(
        self, database: Path, wait: timedelta, what: str = "the run", tell: Tell = tell_nobody
    ) -> None:
        self.path = Path(f"{database}.lock")
        self._wait = wait
        self._what = what
        self._tell = tell
        self._file: int | None = None

    def __enter__(self) -> RunLock:
        file = self._open()
        try:
            self._acquire(file)
            with suppress(OSError):  # a full disk may refuse the name; the lock holds
                os.ftruncate(file, 0)
                os.pwrite(file, orjson.dumps({"pid": os.getpid(), "host": socket.gethostname()}), 0)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._refused("opened", error) from None

    def _acquire(self, file: int) -> None:
        deadline, is_told = time.monotonic() + self._wait.total_seconds(), False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LockedError(self._complaint(file)) from None
                if not is_told:
                    self._tell(_holder(file))
                    is_told = True
                time.sleep(min(_POLL, left))
            except OSError as error:
                raise self._refused("locked", error) from None
            else:
                return

    def _refused(self, what: str, error: OSError) -> JanitorError:
        kind = StoreError if is_scarce(error) else ConfigError
        todo = "give this user write access to the registry's directory"
        return kind(f"{self.path} cannot be {what}: {cause(error, todo)}")

    def _complaint(self, file: int) -> str:
        seconds = self._wait.total_seconds()
        return (
            f"another janitor holds {self._what}: {_holder(file)} (waited {seconds:g} s for "
            f"{self.path}); retry later, or pass a longer --wait"
        )


def _holder(file: int) -> str:
    """The holder that the file of a held lock names."""
    try:
        holder = orjson.loads(os.pread(file, 4096, 0))
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "a process that has just started"


def is_locked(path: Path) -> bool:
    """Whether a living process on this machine holds the `RunLock` of this file.

    Raises OSError if the file cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


RESTORE = "Nothing is removed until that is fixed: put it back from a backup, then restart"
Identity = tuple[int, int]


class FileIdentity:
    """The identity of a file and its companions (`-wal`, `-shm`) when they were opened.

    The caller keeps the file open all the while, so that its inode is not reused. Several threads
    may call it at once.
    """

    def __init__(self, path: Path, beside: tuple[str, ...] = ()) -> None:
        self._path = path
        self._known: dict[Path, Identity] = {}
        for one in (path, *(Path(f"{path}{ending}") for ending in beside)):
            with suppress(FileNotFoundError):
                self._known[one] = _identity(one.stat())
        self._size = path.stat().st_size
        self._asking = threading.Lock()

    def check(self) -> bool:
        """Whether the file may have been truncated: it is shorter than before.

        Raises:
            StoreError: One of the files was replaced, is gone or cannot be examined, or the
                database file is empty.
        """
        # One at a time: a size that is compared late would look like a truncated file.
        with self._asking:
            size = 0
            for path, identity in self._known.items():
                found = _look_at(path)
                if _identity(found) != identity:
                    message = f"{path} was replaced by another file while in use"
                    raise StoreError(f"{message}. {WHAT_NOW}")
                size = found.st_size if path == self._path else size
            if not size:
                raise truncated(self._path)
            was, self._size = self._size, size
            return size < was

    def stamp(self) -> tuple[int, int]:
        """A value that changes whenever the file itself, not only its log, is written."""
        found = _look_at(self._path)
        return found.st_size, found.st_ctime_ns

    def is_shorter_than(self, size: int) -> bool:
        """Whether the file is shorter than this; if so, the next `check` reports it again."""
        is_cut = _look_at(self._path).st_size < size
        if is_cut:
            self._size = size
        return is_cut


def truncated(path: Path) -> StoreError:
    """The error for a file that has lost some of its content."""
    return StoreError(f"{path} is damaged: it was truncated while in use. {RESTORE}")


def _look_at(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        message = f"{path} is gone: it was moved or deleted while in use"
        raise StoreError(f"{message}. {WHAT_NOW}") from None
    except OSError as error:
        reason = cause(error, "give this user access to it")
        raise StoreError(f"{path} cannot be examined: {reason}. {WHAT_NOW}") from None


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
_CHECKPOINT_PAGES = 4000  # 16 MiB: fewer pages are copied twice, recovery stays under a second
_CACHE_KIB = 8192
BESIDE = ("-wal", "-shm")
_OF_FILES = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_OF_GROWTH = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_PRIMARY = 0xFF  # SQLite's extended result codes keep the primary one in the low byte

Meaning = tuple[type[JanitorError], str]

_FULL = (
    StoreError,
    "cannot grow: its disk is full; free some space, nothing half-done was kept",
)
_MEANS: dict[int, Meaning] = {
    sqlite3.SQLITE_NOTADB: (ConfigError, "is not a database: point registry.url at the registry"),
    sqlite3.SQLITE_READONLY: (
        ConfigError,
        "is not writable: give this user write access to the file and its directory",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        ConfigError,
        "cannot be opened: check that its directory exists and that this user may use it",
    ),
    sqlite3.SQLITE_PERM: (ConfigError, "may not be opened by this user: change its permissions"),
    sqlite3.SQLITE_AUTH: (ConfigError, "may not be opened by this user: change its permissions"),
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: (StoreError, "failed: {name}; check its disk"),
    sqlite3.SQLITE_INTERRUPT: (StoreError, "was interrupted: run it again"),
    sqlite3.SQLITE_BUSY: (
        StoreError,
        "stayed locked by another process for too long: stop it or try again",
    ),
    sqlite3.SQLITE_LOCKED: (StoreError, "stayed locked for too long: try again"),
    sqlite3.SQLITE_PROTOCOL: (StoreError, "stayed locked for too long: try again"),
    sqlite3.SQLITE_CORRUPT: (StoreError, "is damaged: restore it from a backup"),
}
_TABLES_GONE = (
    StoreError,
    (
        "no longer contains a registry: its tables are gone. Nothing is removed until that is "
        "fixed: put it back from a backup"
    ),
)
_UNKNOWN = (StoreError, "failed: {name}; nothing half-done was kept")


class Sqlite:
    """A file with a lock file beside it: one process at a time does a run.

    Whoever holds the run's lock knows that all other owners of claims are dead, so a claim lasts
    until it is released.
    """

    has_leases = False

    def __init__(
        self, url: URL, *, read_only: bool, busy_timeout: timedelta, create: bool = True
    ) -> None:
        if url.database in (None, "", ":memory:"):
            raise ConfigError("registry.url: the file name is missing: write sqlite:///janitor.db")
        if url.query:
            raise ConfigError(
                "registry.url: a file takes no parameters; remove the ? and everything after it"
            )
        self.path = Path(str(url.database))
        self.name = str(self.path)
        self._place: FileIdentity | None = None
        self._anchor: sqlite3.Connection | None = None
        self._fresh = reader(self.path)
        self._stamp: tuple[int, int] | None = None
        self._is_writer = not read_only
        _require_kind(self.path)
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
            reason = cause(error, "point registry.url at a file that this user may use")
            raise ConfigError(f"{self.name} cannot be opened: {reason}") from None
        if not is_file:
            raise NoRegistryError(
                f"{self.name} does not exist: if it was moved or deleted, put it back; if there "
                "was none yet, create it with `janitor import` or `janitor sync` first"
            )

    def pin(self) -> None:
        """Remember which files these are; a writer keeps them open from now on."""
        if self._is_writer:
            with self.explained():
                self._anchor = connection_to(self.path)
                self._anchor.execute("PRAGMA schema_version").fetchall()  # opens -wal and -shm too
        self._place = FileIdentity(self.path, BESIDE if self._is_writer else ())

    def check_in_place(self) -> None:
        """Raises StoreError if the files at this path are no longer the pinned ones."""
        if self._place is not None and self._place.check():
            with self.explained(), self.afresh() as connection:
                pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
                page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
            if self._place.is_shorter_than(pages * page):
                raise truncated(self.path)

    @contextmanager
    def afresh(self) -> Iterator[Connection]:
        """A connection that sees what a new process would see.

        A kept connection sees the same as long as nobody has written to the file itself.
        """
        stamp = self._place.stamp() if self._place is not None else None
        engine = self.engine if stamp is not None and stamp == self._stamp else self._fresh
        with engine.connect() as connection:
            yield connection
        self._stamp = stamp

    def close(self) -> None:
        """Releases files and connections."""
        with self.explained():
            self.engine.dispose()
            if self._anchor is not None:
                self._anchor.close()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns an engine failure into an error that says what to do; no value leaks."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise _explanation(error, self.path) from None

    @contextmanager
    def looking(self) -> Iterator[Connection | None]:
        """A transaction in which nothing can be written; `None` if the database is still empty."""
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
        """The clock that leases follow: this process's own."""
        return datetime.now(UTC)

    def lease_end(self, _now: datetime) -> datetime:
        """Never, in effect: a claim is valid as long as the run's lock is held."""
        return FOREVER

    def alone(self, _connection: Connection) -> None:
        """Nothing to do: a writing transaction excludes all others anyway."""

    def lock(
        self,
        wait: timedelta,
        *,
        shared: bool,  # noqa: ARG002  nobody shares a file
        tell: Tell = tell_nobody,
    ) -> RunLock:
        """The run's lock."""
        return RunLock(self.path.resolve(), wait, tell=tell)

    def opening(self, _wait: timedelta) -> Lock:
        """No lock: only the holder of the run's lock opens and closes runs."""
        return nullcontext()

    def syncing(self, wait: timedelta, tell: Tell = tell_nobody) -> RunLock:
        """A lock file of its own: reading sources does not need the run's lock."""
        return RunLock(Path(f"{self.path.resolve()}.sync"), wait, "the reading of sources", tell)

    def walking(self, _name: str, wait: timedelta) -> RunLock:
        """One lock file for all lists: walking one does not need the run's lock."""
        return RunLock(Path(f"{self.path.resolve()}.walk"), wait, "the walk over a list")

    def working(self, _run: str) -> Lock:
        """No mark: the run's lock is enough."""
        return nullcontext()

    def workers(self, _run: str) -> int:
        """Always 0: nobody works on a run beside the holder of its lock."""
        return 0

    def bytes_of(self, column: Column[Any]) -> ColumnElement[bytes]:
        """The column as bytes: any column may hold a BLOB, or text that is not UTF-8."""
        return cast(column, LargeBinary)

    def scrub(self) -> None:
        """Empties the write-ahead log; pages of the file are overwritten by `secure_delete`."""
        with self.explained(), closing(self.engine.raw_connection()) as raw:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _require_kind(path: Path) -> None:
    """Refuses an existing path that cannot be a database."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # reported when it is opened
    is_file = stat.S_ISREG(mode)
    if not is_file or path.resolve().is_relative_to("/proc"):
        sort = "a file of the kernel" if is_file else sort_of(mode)
        raise ConfigError(f"{path} is {sort}: point registry.url at a regular file")


def _explanation(error: DBAPIError | sqlite3.Error, path: Path) -> JanitorError:
    orig = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(orig, "sqlite_errorcode", None)
    meaning = None if code is None else _obstacle(code & _PRIMARY, path)
    if meaning is None and _is_empty(path):
        return truncated(path)
    if code is None:
        return StoreError(f"{path}: the registry failed: {type(orig).__name__}")
    if meaning is None and code == sqlite3.SQLITE_IOERR_SHMSIZE:  # what a full disk causes
        meaning = _FULL
    meaning = meaning or _MEANS.get(code & _PRIMARY)
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
    """What blocks access to the files, when SQLite reports only that it has none.

    None of them is opened to find out: closing it would free this process's locks on it.
    """
    if code not in _OF_FILES:
        return None
    files = (path, *(Path(f"{path}{ending}") for ending in BESIDE))
    if (error := shortage()) is not None:
        return StoreError, f"cannot be opened: {cause(error, 'try again')}"
    if (error := lack(path.resolve().parent)) is not None:
        read_only = ConfigError, f"is not writable: {cause(error)}"
        return {errno.ENOSPC: _FULL, errno.EROFS: read_only}.get(error.errno or 0)
    if code in _OF_GROWTH and (error := outgrown(*files)) is not None:
        return StoreError, f"cannot grow: {cause(error)}"
    for one in files:
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
    """A connection to an existing file; a missing one is not created."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def reader(path: Path) -> Engine:
    """An engine that leaves every file as it is, beside a living writer or after a dead one.

    Opening a WAL database creates its -wal and -shm even with `mode=ro`. If there is no -wal,
    nobody is writing, so the file is read as immutable; each transaction decides this again.
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
    # A transaction that reads first and writes later fails at once if there is another writer.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def prepare_file(path: Path) -> None:
    """Checks that the file can be written; a missing one is created for its owner alone."""
    directory = path.parent
    if not directory.is_dir():
        raise ConfigError(f"{path}: the directory {directory} does not exist: create it first")
    error = lack(directory)
    if error is not None and error.errno == errno.EROFS:
        raise ConfigError(f"{directory} is not writable: {cause(error, 'try again')}")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"{directory} is not writable: give this user access to it")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigError(f"{path} is not writable: give this user write access to it")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as failed:
        kind = StoreError if is_scarce(failed) else ConfigError
        reason = cause(failed, "point registry.url at a file that this user may use")
        raise kind(f"{path} cannot be opened for writing: {reason}") from None
