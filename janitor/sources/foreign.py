"""The application's database, which is only ever read.

Every session is read-only by all means that its engine has: nothing is committed, statements and
locks have a limit, and rows come through a cursor of the server's, so that memory stays flat.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    Row,
    Select,
    and_,
    column,
    create_engine,
    false,
    func,
    literal_column,
    make_url,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)

from janitor.config import SqlSettings
from janitor.config.source_forms import WATERMARK
from janitor.distribution import install
from janitor.errors import AccessError, ConfigError, StoppedError, has_stray_at
from janitor.sources.foreign_errors import explanation, most_telling
from janitor.sources.foreign_values import encoding_of, read_each_value, text_or_bytes
from janitor.sources.watermarks import Spot

Values = Mapping[str, Any]

PAGE = 500
CONNECT_SECONDS = 10
STEPS = 10_000  # of SQLite's machine, between two looks at the clock
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
ASYNCHRONOUS = {"asyncpg", "aiopg", "aiomysql", "asyncmy"}
LEAST = -(2**63)  # that a column of whole numbers holds
FAILURES = (SQLAlchemyError, ValueError, ArithmeticError, OSError)
BEGINNING = {
    "sqlite": (-1,),
    "postgresql": ("", "-infinity", datetime(1, 1, 1, tzinfo=UTC), LEAST, -1),
}
ELSEWHERE = (datetime(1970, 1, 1), -1, "")  # noqa: DTZ001 - as columns without a zone are compared


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows as they come, in pages; `clock` is the database's from before the first.

    `begins` is the watermark that they stand behind. `hides` tells, once all pages were read,
    whether a row stands in one of the spots.
    """

    clock: datetime
    begins: object
    columns: tuple[str, ...]
    pages: Iterator[Sequence[Values]]
    hides: Callable[[Sequence[Spot]], bool]


class Foreign:
    """One database of the application's.

    Raises:
        ConfigError: Its address cannot be read, or its driver is not installed.
    """

    def __init__(self, name: str, sql: SqlSettings) -> None:
        self._name = name
        self._sql = sql
        self._url = address(sql)
        self._engine = _engine(name, self._url)
        self._ends_at = math.inf

    @property
    def fingerprint(self) -> str:
        """Which database this is, without its password: the same for the same one."""
        shown = self._url._replace(password=None).render_as_string(hide_password=False)
        return hashlib.sha256(shown.encode()).hexdigest()[:16]

    @property
    def beginning(self) -> tuple[object, ...]:
        """Values that stand before all of a column's: one of them is of its type."""
        return BEGINNING.get(self._engine.dialect.name, ELSEWHERE)

    @property
    def mixes(self) -> bool:
        """Whether a column may hold numbers beside text."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def read(self, tries: Callable[[datetime], Sequence[object]]) -> Iterator[Reading]:
        """The rows of the query, behind the first of the watermarks that fits the column's type.

        `tries` is given the database's clock. Each is tried in a transaction of its own.

        Raises:
            AccessError: The database cannot be reached, refuses, or takes too long.
            ConfigError: The query is wrong.
            StoppedError: A signal came while SQLite was read.
        """
        wrong: list[Exception] = []
        for number in count():
            with ExitStack() as stack:
                with self._explaining():
                    clock, connection = self._open(stack)
                values = tries(clock)
                if number == len(values):
                    raise self._explained(most_telling(wrong))
                try:
                    with self._explaining(DataError, ProgrammingError):
                        reading = self._begin(stack, clock, connection, values[number])
                except (DataError, ProgrammingError) as error:
                    wrong.append(error)
                    continue
                yield reading
                return

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """A connection in which nothing can be written, to see what there is.

        Raises:
            AccessError, ConfigError: As `read` does.
        """
        with ExitStack() as stack, self._explaining():
            yield self._open(stack)[1]

    @contextmanager
    def _explaining(self, *others: type[Exception]) -> Iterator[None]:
        """Turn a failure of the database or its driver into one that says what to do."""
        try:
            yield
        except others:
            raise
        except FAILURES as error:
            raise self._explained(error) from None

    def _open(self, stack: ExitStack) -> tuple[datetime, Connection]:
        connection = stack.enter_context(self._engine.connect())
        if connection.dialect.name == "postgresql":
            read_each_value(connection)
        for statement in _settings(connection, self._sql.timeout):
            connection.exec_driver_sql(statement)
        self._watch(connection)
        return _clock(connection), connection

    def _watch(self, connection: Connection) -> None:
        """End what takes SQLite too long; servers are told by a setting."""
        self._ends_at = time.monotonic() + self._sql.timeout.total_seconds()
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            raw.set_progress_handler(lambda: int(self._is_over()), STEPS)

    def _is_over(self) -> bool:
        return time.monotonic() > self._ends_at

    def _begin(
        self, stack: ExitStack, clock: datetime, connection: Connection, value: object
    ) -> Reading:
        streaming = connection.execution_options(stream_results=True, yield_per=PAGE)
        values = {} if self._sql.watermark is None else {"watermark": value}
        result = streaming.execute(text(_bound(self._sql.query)), values)
        stack.callback(result.close)  # whoever stops early leaves a cursor at the server
        pages = result.partitions(PAGE)
        first = next(pages, ())
        read = self._pages(connection, chain([first], pages))
        return Reading(clock, value, tuple(result.keys()), read, partial(self._hides, connection))

    def _hides(self, connection: Connection, spots: Sequence[Spot]) -> bool:
        """Whether a row stands in a spot; no, where the engine does not take such a question."""
        query = text(_bound(self._sql.query)).columns(column(self._sql.watermark or ""))
        rows = query.subquery("reading")
        (value,) = rows.c
        shapes = (
            and_(
                value > one.low,
                value <= one.high,
                true() if one.like == "%" else value.like(one.like),
                *(value.not_like(shape) for shape in one.unlike),
            )
            for one in spots
        )
        asked: Select[Any] = (
            select(literal_column("1")).select_from(rows).where(or_(false(), *shapes)).limit(1)
        )
        lowest = min((one.low for one in spots), key=lambda low: (isinstance(low, str), low))
        self._watch(connection)
        try:
            return connection.execute(asked, {"watermark": lowest}).first() is not None
        except DBAPIError:
            return False

    def _pages(
        self, connection: Connection, pages: Iterator[Sequence[Row[Any]]]
    ) -> Iterator[Sequence[Values]]:
        while True:
            self._watch(connection)
            with self._explaining():
                page = next(pages, ())
            if not page:
                return
            yield [dict(row._mapping) for row in page]

    def _explained(self, error: Exception) -> AccessError | ConfigError | StoppedError:
        is_over = self._is_over()
        return explanation(error, self._name, self._url, self._sql.timeout, is_over=is_over)


def _bound(query: str) -> str:
    """The query with no parameter but the watermark, whatever else a colon stands before."""
    parts = (part.replace(":", "\\:") for part in WATERMARK.split(query))
    return ":watermark".join(parts)


def address(sql: SqlSettings) -> URL:
    """Where the database is, with the drivers that a janitor has for what applications write.

    Raises:
        ConfigError: It cannot be read; its text is not shown, it may hold a password.
    """
    said = sql.url if isinstance(sql.url, str) else sql.url.reveal()
    try:
        url = make_url(said)
    except (ArgumentError, ValueError):
        where = "its address" if isinstance(sql.url, str) else f"what {sql.url} holds"
        message = f"{where} is no database's address: write SCHEME://USER:PASSWORD@HOST/DATABASE"
        raise ConfigError(message) from None
    backend, _, driver = url.drivername.partition("+")
    if backend != "sqlite" and has_stray_at(said):
        where = "its address" if isinstance(sql.url, str) else f"what {sql.url} holds"
        raise ConfigError(f"{where}: there is a second @: write each @ of the password as %40")
    if backend == "sqlite":
        file = str(sql.directory / (url.database or ""))
        return url.set(drivername="sqlite", database=file)
    if backend in DRIVERS and driver in ASYNCHRONOUS | {"", "psycopg2"}:
        return url.set(drivername=DRIVERS[backend])
    return url


def _engine(name: str, url: URL) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return create_engine(
                "sqlite://", creator=lambda: _opened(url), poolclass=NullPool, hide_parameters=True
            )
        return create_engine(
            url, poolclass=NullPool, hide_parameters=True, connect_args=_arguments(url)
        )
    except (NoSuchModuleError, ImportError):
        todo = "install it beside janitor"
        if url.drivername.startswith("postgres"):
            todo = install("postgres")
        message = f"source {name}: {url.drivername} needs a driver that is not installed"
        raise ConfigError(f"{message}; {todo}") from None
    except ArgumentError:
        raise ConfigError(
            f"source {name}: its address cannot be used; write several hosts as "
            "?host=one,other&port=5432,5432"
        ) from None


def _opened(url: URL) -> sqlite3.Connection:
    path = Path(url.database or "")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    address = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(address, uri=True, check_same_thread=False)
    connection.text_factory = text_or_bytes
    return connection


def _arguments(url: URL) -> dict[str, Any]:
    if url.get_backend_name() != "postgresql":
        return {}
    # A pooler in between may serve each transaction by another session: nothing is prepared.
    said = {"connect_timeout": CONNECT_SECONDS, "application_name": "janitor sync"}
    ours = {k: v for k, v in said.items() if k not in url.query}
    return {"prepare_threshold": None, "client_encoding": "UTF8", **ours}


def _settings(connection: Connection, timeout: timedelta) -> tuple[str, ...]:
    """What makes a transaction read-only and bounds it, by engine."""
    milliseconds = int(timeout.total_seconds() * 1000)
    match connection.dialect.name:
        case "postgresql":
            return (
                "SET TRANSACTION READ ONLY",
                f"SET LOCAL statement_timeout = {milliseconds}",
                f"SET LOCAL lock_timeout = {milliseconds}",
                "SET LOCAL TIME ZONE 'UTC'",
                "SET LOCAL datestyle = 'ISO'",  # as it is written, not as it is read
                "SET LOCAL extra_float_digits = 3",  # a rounded time may be an earlier one
                f"SET LOCAL client_encoding = '{encoding_of(connection)}'",
            )
        case "mysql" | "mariadb":
            is_mariadb = getattr(connection.dialect, "is_mariadb", False)
            limit = f"max_statement_time = {milliseconds / 1000}"
            return (
                f"SET SESSION {limit if is_mariadb else f'max_execution_time = {milliseconds}'}",
                "SET SESSION time_zone = '+00:00'",
                "SET SESSION TRANSACTION READ ONLY",
                "START TRANSACTION READ ONLY",
            )
        case _:
            return ()


def _clock(connection: Connection) -> datetime:
    match connection.dialect.name:
        case "postgresql":
            said = connection.scalar(select(func.clock_timestamp()))
        case "mysql" | "mariadb":
            said = connection.scalar(text("SELECT UTC_TIMESTAMP(6)"))
        case "sqlite":
            return datetime.now(UTC)  # a file has no other clock
        case _:
            said = connection.scalar(select(func.current_timestamp()))
    if not isinstance(said, datetime):
        return datetime.now(UTC)
    # Of a clock that names no zone it is only known that ours is to be believed beside it.
    aware = said if said.tzinfo else min(said.replace(tzinfo=UTC), datetime.now(UTC))
    return aware.astimezone(UTC)
