"""PostgreSQL: how it is reached and set, and which of its locks stand for what."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import URL, Column, ColumnElement, Connection, Text, cast, func, select, text
from sqlalchemy.exc import DBAPIError

from janitor.distribution import install
from janitor.errors import ConfigError, shown_address
from janitor.registry.advisory import AdvisoryLock
from janitor.registry.database import new_engine
from janitor.registry.postgresql_errors import explanation
from janitor.registry.sessions import Sessions

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
    """A database that several janitors share; its clock judges their leases."""

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
        self.name = shown_address(url.render_as_string(hide_password=False))
        self._lease = lease
        self.engine = new_engine(
            url.set(password=password) if password else url,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "application_name": f"janitor {os.getpid()} on {socket.gethostname()}"[:63],
            },
        )
        settings = _settings(wait, min(wait, lease), read_only=read_only)
        Sessions(self.name, settings).serve(self.engine)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns the engine's failure into one that says what to do; no value leaks."""
        try:
            yield
        except (DBAPIError, OSError) as error:
            raise explanation(error, self.name) from None

    def pin(self) -> None:
        """A server tells databases apart by their name alone: the registry's own id must do."""

    def check_in_place(self) -> None:
        """The registry's own id tells it."""

    def afresh(self) -> AbstractContextManager[Connection]:
        """A connection that remembers nothing, as none of them does."""
        return self.engine.connect()

    def close(self) -> None:
        """Gives the connections back."""
        with self.explained():
            self.engine.dispose()

    @contextmanager
    def looking(self) -> Iterator[Connection | None]:
        """A transaction in which nothing can be written."""
        with self.explained(), self.engine.connect() as connection, connection.begin():
            connection.execute(text("SET TRANSACTION READ ONLY"))
            yield connection

    def now(self, connection: Connection) -> datetime:
        """The clock that leases are judged by: the server's, which all janitors share."""
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now

    def lease_end(self, now: datetime) -> datetime:
        """Until when a claim of this moment stands."""
        return now + self._lease

    def alone(self, connection: Connection) -> None:
        """Keeps other transactions that ask for this out until this one ends."""
        connection.execute(select(func.pg_advisory_xact_lock(WRITING)))

    def lock(self, wait: timedelta, *, shared: bool) -> AdvisoryLock:
        """The lock of a run: sweeps share it, whatever else removes or restores has it alone."""
        return AdvisoryLock(self, RUN, wait, shared=shared)

    def opening(self, wait: timedelta) -> AdvisoryLock:
        """The lock under which a sweep is opened, joined and closed."""
        return AdvisoryLock(self, OPENING, wait)

    def syncing(self, wait: timedelta) -> AdvisoryLock:
        """The lock under which sources are read."""
        return AdvisoryLock(self, SYNCING, wait, what="the reading of sources")

    def walking(self, name: str, wait: timedelta) -> AdvisoryLock:
        """The lock under which the list of that name is walked."""
        key = _key_of(hashlib.sha256(name.encode()).hexdigest())
        return AdvisoryLock(self, key, wait, what="the walk over a list")

    def working(self, run: str) -> AdvisoryLock:
        """A mark that a living janitor works this run; it ends with its session."""
        return AdvisoryLock(self, _key_of(run), timedelta(0), shared=True)

    def workers(self, run: str) -> int:
        """How many sessions hold such a mark."""
        key = _key_of(run)
        place = {"high": key >> 32, "low": key & 0xFFFFFFFF}
        with self.explained(), self.engine.connect() as connection:
            return int(connection.execute(_HOLDERS, place).scalar_one())

    def bytes_of(self, column: Column[Any]) -> ColumnElement[bytes]:
        """A database in UTF-8 holds nothing else."""
        return func.convert_to(cast(column, Text), "UTF8")

    def scrub(self) -> None:
        """Left to the server, whose own vacuum drops rows that nobody sees any more."""


def _key_of(run: str) -> int:
    return int(run[:15], 16)


def _require_driver(url: URL) -> None:
    if url.drivername != DRIVER:
        raise ConfigError(f"registry.url: write {DRIVER}://user@host/database")
    if url.password:  # an empty one is none
        raise ConfigError("registry.url must hold no password: name one in registry.password")
    if not url.database:
        raise ConfigError(f"registry.url names no database: write {DRIVER}://user@host/database")
    try:
        import psycopg  # noqa: F401, PLC0415  its absence is said before anything is tried
    except ImportError:
        said = f"PostgreSQL needs a driver that is not installed; {install('postgres')}"
        raise ConfigError(said) from None


def _settings(wait: timedelta, idle: timedelta, *, read_only: bool) -> dict[str, str]:
    return {
        "timezone": "UTC",
        "datestyle": "ISO",
        "client_encoding": "UTF8",
        "synchronous_commit": "on",
        "lock_timeout": _milliseconds(wait),
        # A janitor that was stopped in the midst of a transaction must not hold up the others.
        "idle_in_transaction_session_timeout": _milliseconds(idle),
        "default_transaction_read_only": "on" if read_only else "off",
    }


def _milliseconds(span: timedelta) -> str:
    return f"{int(span.total_seconds() * 1000)}"
