"""PostgreSQL: sessions, advisory locks, settings, and what failures mean.

Locks, marks and settings belong to a session. A pooler in transaction or statement mode gives each
transaction another session, so locks stay behind in its pool and nobody ever frees them. In the
messages, `{url}` stands for the setting that names the database, and `{secret}` for the settings
that contain user and password.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Text,
    cast,
    event,
    func,
    select,
    text,
)
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from janitor.causes import cause, shortage
from janitor.distribution import install
from janitor.errors import ConfigError, JanitorError, LockedError, StoreError, shown_address
from janitor.registry.database import Tell, new_engine, tell_nobody
from janitor.registry.postgres_parameters import (
    complaint,
    role_of_options,
    unusable_passfile,
    variables_that_count,
    wrong_parameters,
    wrong_variables,
)

if TYPE_CHECKING:
    from janitor.registry.database import Database


POLL = 0.1

_HOLDER = text(
    "SELECT coalesce(min(a.application_name), 'one that has just ended') FROM pg_locks AS l "
    "JOIN pg_stat_activity AS a USING (pid) WHERE l.locktype = 'advisory' AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND l.objsubid = 1 AND l.classid = CAST(:high AS oid) AND l.objid = CAST(:low AS oid)"
)


class AdvisoryLock:
    """A lock in a session of its own, held while entered.

    Entering waits up to `wait`, then raises LockedError naming a holder.
    """

    def __init__(
        self,
        database: Database,
        key: int,
        wait: timedelta,
        *,
        shared: bool = False,
        what: str = "the run",
        tell: Tell = tell_nobody,
    ) -> None:
        self._database = database
        self._key = key
        self._wait = wait
        self._shared = shared
        self._what = what
        self._tell = tell
        self._session: Connection | None = None

    def __enter__(self) -> AdvisoryLock:
        with self._database.explained():
            session = self._database.engine.connect()
            try:
                self._acquire(session.execution_options(isolation_level="AUTOCOMMIT"))
            except LockedError:
                session.close()
                raise
            except BaseException:
                session.invalidate()  # the server may have granted it anyway
                session.close()
                raise
        self._session = session
        return self

    def __exit__(self, *raised: object) -> None:
        if self._session is not None:
            # The lock ends with its session, even if the session was lost.
            self._session.invalidate()
            self._session.close()
            self._session = None

    def _acquire(self, session: Connection) -> None:
        from sqlalchemy_dlock.lock.postgresql import PostgresqlSadLock  # noqa: PLC0415  an extra

        lock = PostgresqlSadLock(session, self._key, shared=self._shared)
        if lock.acquire(block=False):
            return
        self._tell("another janitor")
        if lock.acquire(timeout=self._wait.total_seconds(), interval=POLL):
            return
        place = {"high": self._key >> 32, "low": self._key & 0xFFFFFFFF}
        holder = session.execute(_HOLDER, place).scalar_one()
        waited = f"waited {self._wait.total_seconds():g} s"
        raise LockedError(
            f"another janitor holds {self._what}: {holder} ({waited} at {self._database.name}); "
            "retry later, or pass a longer --wait"
        )


ROUNDS = 40
"""How often two sessions are compared: in a busy pool each may keep its own by chance."""
NOT_ALLOWED = "08P01"  # a protocol violation: what a pooler answers to BEGIN in statement mode
_PID = "SELECT pg_backend_pid()"


class Sessions:
    """Applies settings to each session of an engine; StoreError if a pooler swaps sessions."""

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        self._name = name
        self._values = [part for setting in settings.items() for part in setting]
        calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
        self._set = f"SELECT pg_backend_pid(), {calls}"
        self._is_kept = False

    def serve(self, engine: Engine) -> None:
        """Opens all sessions of this engine from now on."""
        event.listen(engine, "do_connect", self._connect)

    def _connect(
        self,
        dialect: Dialect,
        _: ConnectionPoolEntry,
        arguments: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:  # noqa: ANN401  the driver's connection
        session: Any = dialect.connect(*arguments, **named)
        try:
            with _committing(session):
                pid = session.execute(self._set, self._values).fetchone()[0]
                # A client learns the backend's pid from what it connects to: a pooler makes one
                # up.
                if pid != session.info.backend_pid and not self._is_kept:
                    with closing(dialect.connect(*arguments, **named)) as other:
                        self._require_kept(session, other, pid)
            self._is_kept = True
        except BaseException:
            session.close()
            raise
        return session

    def _require_kept(self, session: Any, other: Any, pid: int) -> None:  # noqa: ANN401  likewise
        """Raises StoreError if `other` is given our session, or we are given another one."""
        for _ in range(ROUNDS):
            theirs = self._begun(other)
            ours = session.execute(_PID).fetchone()[0]
            other.rollback()
            if ours != pid or theirs == pid:
                raise self._refusal("transaction")

    def _begun(self, other: Any) -> int:  # noqa: ANN401  likewise
        """Begins a transaction that stays open; returns the pid of its session."""
        from psycopg import Error  # noqa: PLC0415  an extra

        try:
            pid: int = other.execute(_PID).fetchone()[0]
        except Error as error:
            if error.sqlstate == NOT_ALLOWED:
                raise self._refusal("statement") from None
            raise
        return pid

    def _refusal(self, mode: str) -> StoreError:
        return StoreError(
            f"{self._name} is a connection pooler in {mode} mode, which does not keep a session: "
            "janitor's locks would be left in its pool. Point registry.url at the server itself, "
            "or at a pool with pool_mode = session (docs/operations.md)"
        )


@contextmanager
def _committing(session: Any) -> Iterator[None]:  # noqa: ANN401  likewise
    """Commits each statement by itself, so that settings persist at the cost of one round trip."""
    session.autocommit = True
    yield
    session.autocommit = False


Meaning = tuple[type[JanitorError], str]

_GO_ON = "nothing half-done was kept; run it again"
_REFUSED = (ConfigError, "refused this user or password: check {secret}")
_UNKNOWN_USER = (
    ConfigError,
    "does not allow this user to log in: correct {url}, or create that role",
)
_NO_RULE = (
    ConfigError,
    (
        "does not let this user in from here (pg_hba.conf): add a line there, or correct {url} "
        "(user, database, sslmode)"
    ),
)
_NO_DATABASE = (ConfigError, "does not exist: create the database, or correct {url}")
_NO_RIGHT = (ConfigError, "may not be used by this user: grant the missing rights")
_NO_CONNECTION = (
    StoreError,
    (
        "has no connection left for this user: raise max_connections, or the limit of the role, "
        "the database or the pool, or run fewer janitors"
    ),
)
_MIXED_UP = (
    StoreError,
    "is behind a pooler that mixes up sessions: point {url} at a pool in session mode",
)
_NOT_NOW = (StoreError, "is starting, shutting down or recovering: try again")


def _of_system(error: OSError) -> Meaning:
    return StoreError, f"cannot be reached: {cause(error, 'check that the server is running')}"


# By SQLSTATE or a prefix of it, such as its class (PostgreSQL's documentation, appendix A).
_MEANS: dict[str, Meaning] = {
    "25006": (ConfigError, "is not writable: it is open read-only, or its server is read-only"),
    "25P03": (StoreError, "ended the transaction of a janitor that was delayed: run it again"),
    "26": _MIXED_UP,
    "42P05": _MIXED_UP,
    "28": _REFUSED,
    "3D": _NO_DATABASE,
    "3F": (ConfigError, "has no such schema: create it, or correct search_path"),
    "42P01": (
        StoreError,
        (
            "no longer contains a registry: its tables are gone, search_path leads elsewhere, or "
            "another database has its name. Nothing is removed until that is fixed: put the "
            "database or search_path back, or restart this process"
        ),
    ),
    "42501": _NO_RIGHT,
    "53100": (
        StoreError,
        "cannot grow: its disk is full; free some space, nothing half-done was kept",
    ),
    "53200": (StoreError, f"ran out of memory at its server: give it more; {_GO_ON}"),
    "53300": _NO_CONNECTION,
    "53400": (StoreError, "reached a limit that its server sets: see the server's log"),
    "53": (StoreError, "ran out of a resource at its server: see the server's log"),
    "55P03": (StoreError, "stayed locked for too long: stop what locks it, or try again"),
    "57014": (
        StoreError,
        (
            "cancelled a statement of this janitor: an administrator did, or a statement_timeout "
            f"of this user; {_GO_ON}"
        ),
    ),
    "57P01": (
        StoreError,
        f"was shut down or restarted, or an administrator ended this session; {_GO_ON}",
    ),
    "57P03": _NOT_NOW,
    "57P": (StoreError, "was shut down or restarted: try again"),
    "58": (StoreError, "reports a system error at its server: see the server's log"),
    "XX001": (StoreError, "is damaged: restore it from a backup"),
    "XX002": (StoreError, "has a damaged index: REINDEX it, or restore it from a backup"),
    "40": (
        StoreError,
        "had another writer on the same rows; nothing was kept: try again",
    ),
    "08": (StoreError, "lost the connection: try again"),
}

# A connection that was never made has no SQLSTATE, only a message of the server or the library,
# matched here without what is in quotation marks: names may contain anything.
_SAYS: tuple[tuple[str, Meaning], ...] = (
    ("too many open files", _of_system(OSError(errno.EMFILE, ""))),
    (
        "failed to resolve host|could not translate host name",
        (
            StoreError,
            "cannot be reached: its host name cannot be resolved; check {url} and the DNS",
        ),
    ),
    ("pg_hba.conf", _NO_RULE),
    ("authentication failed|no password supplied|no such user", _REFUSED),
    ("role .* (does not exist|is not permitted)", _UNKNOWN_USER),
    ("too many|connection slots are reserved|query_wait_timeout", _NO_CONNECTION),
    ("permission denied for database", _NO_RIGHT),
    ("not currently accepting", (StoreError, "takes no connections: ALTER DATABASE allows them")),
    ("database .* does not exist|no such database", _NO_DATABASE),
    ("starting up|shutting down|recover|not yet accepting", _NOT_NOW),
    (
        r"\bssl\b|\btls\b|certificate",
        (ConfigError, "cannot be reached over TLS: check sslmode and the certificates in {url}"),
    ),
    (
        "timeout",
        (
            StoreError,
            "did not answer in time: check its host and port, and the network in between",
        ),
    ),
)
_UNREACHABLE = (
    StoreError,
    "cannot be reached: check that the server is running, and check host and port",
)


def explanation(error: DBAPIError | OSError, name: str, url: URL) -> JanitorError:
    """A database failure as an error that a person can act on; quotes no statement or secret."""
    found = meaning(error, "registry.url", "registry.url and registry.password", url)
    kind, message = found or _unknown(error, url)
    return kind(f"{name} {message}")


def meaning(error: DBAPIError | OSError, setting: str, secret: str, url: URL) -> Meaning | None:
    """What a failure means, `None` if unknown; what to do about it names the given settings."""
    if isinstance(error, OSError):
        return _of_system(error)
    code = getattr(error.orig, "sqlstate", None)
    if wrong := of_parameters(error, setting, url):
        return ConfigError, wrong
    found = _unnamed(error) if code is None else _named(code)
    if found is None:
        short = shortage() if code is None else None
        return None if short is None else _of_system(short)
    kind, message = found
    counting = variables_that_count(url) if code is None else ""
    return kind, message.format(url=setting, secret=secret) + counting


def of_parameters(error: Exception, setting: str, url: URL) -> str | None:
    """What is wrong with the connection parameters, if that kept the session from opening."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return None
    if getattr(error.orig, "sqlstate", None) is not None:
        return None
    reason = _reason(error)
    if "no password supplied" in reason and (why := unusable_passfile(url)):
        return f"was given no password: {why}"
    found = complaint(reason, url, setting) or role_of_options(str(error.orig), url, setting)
    return None if found is None else f"cannot be reached: {found}"


def _unknown(error: DBAPIError | OSError, url: URL) -> Meaning:
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    if code is None:
        kind, message = _UNREACHABLE
        return kind, message + variables_that_count(url)
    name = type(getattr(error, "orig", error)).__name__
    return StoreError, f"failed: {name} ({code}); see the server's log"


def _named(code: str) -> Meaning | None:
    return next((_MEANS[code[:size]] for size in (5, 3, 2) if code[:size] in _MEANS), None)


def _unnamed(error: DBAPIError) -> Meaning | None:
    if error.connection_invalidated:
        return _MEANS["08"]
    reason = _reason(error)
    return next((meaning for part, meaning in _SAYS if re.search(part, reason)), None)


def _reason(error: DBAPIError) -> str:
    """The message of the library or the server, without the names in quotation marks."""
    spelled = re.sub(r'"[^"]*"', '""', str(error.orig)).lower()
    # The library names the server's address before the reason, the path of a socket included.
    return spelled.rpartition("fatal:" if "fatal:" in spelled else "failed:")[2]


DRIVER = "postgresql+psycopg"
CONNECT_SECONDS = 10
# Advisory locks are numbers, shared by everybody who uses the database.
RUN, OPENING, WRITING, SYNCING = (
    int.from_bytes(b"janit" + tag, "big") for tag in (b"run", b"opn", b"wrt", b"syn")
)

_HOLDERS = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = CAST(:high AS oid) AND objid = CAST(:low AS oid)"
)


class Postgresql:
    """A database that several janitors share; their leases follow its clock."""

    has_leases = True

    def __init__(
        self,
        url: URL,
        *,
        password: str | None,
        read_only: bool,
        wait: timedelta,
        lease: timedelta,
    ) -> None:
        _require_driver(url)
        if wrong := wrong_parameters(url):
            raise ConfigError(f"registry.url: {wrong}")
        if wrong := wrong_variables(url):
            raise ConfigError(wrong)
        self._url = url.set(password=password) if password else url
        self.name = shown_address(url.render_as_string(hide_password=False))
        self._lease = lease
        self.engine = new_engine(
            self._url,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "client_encoding": "UTF8",
                "application_name": f"janitor {os.getpid()} on {socket.gethostname()}"[:63],
            },
        )
        settings = _settings(wait, min(wait, lease), read_only=read_only)
        Sessions(self.name, settings).serve(self.engine)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns an engine failure into an error that says what to do; no value leaks."""
        try:
            yield
        except (DBAPIError, OSError) as error:
            raise explanation(error, self.name, self._url) from None

    def pin(self) -> None:
        """Nothing to pin: a server knows a database only by name, so the registry's id must do."""

    def check_in_place(self) -> None:
        """Nothing to check here: the store compares the registry's own id."""

    def afresh(self) -> AbstractContextManager[Connection]:
        """Any connection: none of them caches data."""
        return self.engine.connect()

    def close(self) -> None:
        """Closes the connections."""
        with self.explained():
            self.engine.dispose()

    @contextmanager
    def looking(self) -> Iterator[Connection | None]:
        """A transaction in which nothing can be written."""
        with self.explained(), self.engine.connect() as connection, connection.begin():
            connection.execute(text("SET TRANSACTION READ ONLY"))
            yield connection

    def now(self, connection: Connection) -> datetime:
        """The clock that leases follow: the server's, which all janitors share."""
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now

    def lease_end(self, now: datetime) -> datetime:
        """When a claim made at `now` expires."""
        return now + self._lease

    def alone(self, connection: Connection) -> None:
        """Keeps out other transactions that call this until this one ends."""
        connection.execute(select(func.pg_advisory_xact_lock(WRITING)))

    def lock(self, wait: timedelta, *, shared: bool, tell: Tell = tell_nobody) -> AdvisoryLock:
        """The run's lock: sweeps share it; whatever else removes or restores holds it alone."""
        return AdvisoryLock(self, RUN, wait, shared=shared, tell=tell)

    def opening(self, wait: timedelta) -> AdvisoryLock:
        """The lock under which a sweep is opened, joined and closed."""
        return AdvisoryLock(self, OPENING, wait)

    def syncing(self, wait: timedelta, tell: Tell = tell_nobody) -> AdvisoryLock:
        """The lock under which sources are read."""
        return AdvisoryLock(self, SYNCING, wait, what="the reading of sources", tell=tell)

    def walking(self, name: str, wait: timedelta) -> AdvisoryLock:
        """The lock under which the list of that name is walked."""
        key = _key_of(hashlib.sha256(name.encode()).hexdigest())
        return AdvisoryLock(self, key, wait, what="the walk over a list")

    def working(self, run: str) -> AdvisoryLock:
        """A mark that a living janitor works on this run; it ends with its session."""
        return AdvisoryLock(self, _key_of(run), timedelta(0), shared=True)

    def workers(self, run: str) -> int:
        """How many sessions hold such a mark."""
        key = _key_of(run)
        place = {"high": key >> 32, "low": key & 0xFFFFFFFF}
        with self.explained(), self.engine.connect() as connection:
            return int(connection.execute(_HOLDERS, place).scalar_one())

    def bytes_of(self, column: Column[Any]) -> ColumnElement[bytes]:
        """The column's text in UTF-8: the database contains nothing else."""
        return func.convert_to(cast(column, Text), "UTF8")

    def scrub(self) -> None:
        """Nothing to do: the server's own vacuum drops dead rows."""


def _key_of(run: str) -> int:
    return int(run[:15], 16)


def _require_driver(url: URL) -> None:
    if url.drivername != DRIVER:
        raise ConfigError(f"registry.url: write {DRIVER}://user@host/database")
    if url.password:  # an empty one does not count
        raise ConfigError("registry.url must not contain a password: use registry.password")
    if not url.database:
        raise ConfigError(
            f"registry.url: the database name is missing: write {DRIVER}://user@host/database"
        )
    try:
        # Report missing packages before anything is tried.
        import psycopg  # noqa: F401, PLC0415
        import sqlalchemy_dlock  # noqa: F401, PLC0415
    except ImportError:
        message = f"PostgreSQL needs a driver that is not installed; {install('postgres')}"
        raise ConfigError(message) from None


def _settings(wait: timedelta, idle: timedelta, *, read_only: bool) -> dict[str, str]:
    return {
        "timezone": "UTC",
        "datestyle": "ISO",
        "synchronous_commit": "on",
        "lock_timeout": _milliseconds(wait),
        # A janitor suspended in the middle of a transaction must not hold up the others.
        "idle_in_transaction_session_timeout": _milliseconds(idle),
        "default_transaction_read_only": "on" if read_only else "off",
    }


def _milliseconds(span: timedelta) -> str:
    return f"{int(span.total_seconds() * 1000)}"
