"""Reads the application's database, without changing it, and turns its rows into registrations.

Every session is read-only by every means that its engine has: nothing is committed, statements and
locks have a time limit, and rows come through a server-side cursor, so that memory stays flat.
Drivers fail a whole page over one value. Here, text that cannot be decoded stays bytes, and a time
outside of the calendar stays text; they are judged when their row is registered.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Engine,
    NullPool,
    Row,
    create_engine,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)

from janitor.addresses import LIBPQ, NUL, SQLITE, holds_nul
from janitor.config import SqlSettings
from janitor.config.source_query import around_watermarks, only_read, require_all_rows
from janitor.distribution import install
from janitor.errors import AccessError, ConfigError, StoppedError, has_stray_at
from janitor.kinds import is_id
from janitor.registry import Registration
from janitor.registry.postgres_parameters import wrong_parameters, wrong_variables
from janitor.sources.files import COLUMNS, PREFIX, registration, substitute
from janitor.sources.sql_errors import explanation, is_of_query, most_telling, unasked
from janitor.sources.unordered_rows import asking, below, lowest, unbound
from janitor.sources.watermark import Unread
from janitor.texts import TwiceError, once
from janitor.times import parse

ORDERED = {
    *("timestamptz", "timestamp", "date", "int2", "int4", "int8", "float4", "float8", "numeric")
}
ANY_TEXT = "S"  # a category of PostgreSQL's types, including those of extensions
WITHOUT_CODEC = {"EUC_TW", "MULE_INTERNAL"}


def text_or_bytes(data: bytes) -> str | bytes:
    """Text from a database that accepts any bytes as text; bytes if it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def ascii_or_bytes(data: bytes) -> str | bytes:
    """A value that a driver could not parse: as text if it is ASCII, else as bytes."""
    return data.decode() if data.isascii() else data


def encoding_of(connection: Connection) -> str:
    """The encoding in which PostgreSQL is asked for text.

    It is the database's own, because the server fails the whole query over a character that it
    cannot convert. Text from a database without one (`SQL_ASCII`) is read as UTF-8 row by row.
    """
    import psycopg  # noqa: PLC0415  an extra

    raw = connection.connection.driver_connection
    own = (
        raw.info.parameter_status("server_encoding")
        if isinstance(raw, psycopg.Connection)
        else None
    )
    return "UTF8" if own is None or own in WITHOUT_CODEC else own


def read_each_value(connection: Connection) -> None:
    """Keep PostgreSQL's driver from failing a whole page over one value, whatever its type."""
    import psycopg  # noqa: PLC0415  an extra
    from psycopg import abc, adapt, pq  # noqa: PLC0415

    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        return

    def lenient(inner: type[abc.Loader], name: str) -> type[abc.Loader]:
        class Lenient(adapt.Loader):
            def __init__(self, oid: int, context: abc.AdaptContext | None = None) -> None:
                super().__init__(oid, context)
                self._inner = inner(oid, context)

            def load(self, data: abc.Buffer) -> object:
                try:
                    value = self._inner.load(data)
                except Exception:  # noqa: BLE001 - any of any type's
                    return ascii_or_bytes(bytes(data))
                is_text = isinstance(value, bytes) and name != "bytea"
                return text_or_bytes(value) if is_text else value

        return Lenient

    known = {kind.oid: kind.name for kind in raw.adapters.types}
    for oid, name in (*known.items(), (0, "any other")):
        if (inner := raw.adapters.get_loader(oid, pq.Format.TEXT)) is not None:
            raw.adapters.register_loader(oid, lenient(inner, name))


def unfit_type(connection: Connection, result: CursorResult[Any], column: str) -> str | None:
    """The name of a column's type in PostgreSQL if it holds no times, numbers or text."""
    oids = {one[0]: one[1] for one in result.cursor.description or ()}
    asked = "SELECT typname, typcategory, format_type(oid, NULL) FROM pg_type WHERE oid = :oid"
    row = connection.execute(text(asked), {"oid": oids.get(column)}).first()
    if row is None or row[0] in ORDERED or row[1] == ANY_TEXT:
        return None
    return str(row[2])


TIMES = ("created_at", "last_active_at", "keep_until")
BYTES = (bytes, bytearray, memoryview)
NO_TEXT = "bytes, or text that is not UTF-8; write text"


def check_columns(columns: Sequence[str], watermark: str | None) -> None:
    """Check that a registration can be made of the columns of a query.

    Raises:
        ConfigError: A column is unknown or named twice, or `id` or the watermark is missing.
    """
    if watermark is not None and watermark not in columns:
        given = ", ".join(f"`{name}`" for name in columns)
        raise ConfigError(
            f"the query returns no column `{watermark}`, its watermark, only {given}; add it, or "
            "name one with AS"
        )
    known = {*COLUMNS, "metadata", watermark}
    for name in columns:
        if name not in known and not name.startswith(PREFIX):
            listed = ", ".join(COLUMNS)
            raise ConfigError(
                f"the query returns an unknown column `{name}`{substitute(name)}: name it with AS; "
                f'known are {listed}, metadata and "metadata.KEY"'
            )
    if twice := sorted({name for name in columns if list(columns).count(name) > 1}):
        raise ConfigError(f"the query returns the column `{twice[0]}` twice; remove one")
    if "id" not in columns:
        raise ConfigError("the query returns no column `id`; add it, or name one with AS")


def reported(row: Mapping[str, Any], project: str, projects: tuple[str, ...]) -> Registration:
    """The registration in a row, for `project` if the row names none.

    Raises:
        ValueError, RefusedRegistration: It cannot be registered; the message says why.
    """
    names = [n for n in row if n in (*COLUMNS, "metadata") or n.startswith(PREFIX)]
    values = {name: _value(name, row[name]) for name in names}
    if not values.get("project"):
        values["project"] = project
    return replace(registration(values, projects), speaks_of=_keys(names))


def id_of(id: object) -> str | None:
    """The id in a refused row, even if it is bytes; `None` if it is not a valid id."""
    spelled = bytes(id).decode("ascii", "replace") if isinstance(id, BYTES) else str(id)
    return spelled if id is not None and is_id(spelled) else None


def _keys(names: Collection[str]) -> frozenset[str] | None:
    """The metadata keys that the columns hold; `None` if one column holds all metadata."""
    if "metadata" in names:
        return None
    named = (name for name in names if name == "user" or name.startswith(PREFIX))
    return frozenset(name.removeprefix(PREFIX) for name in named)


def _value(name: str, value: object) -> object:
    if value is None:
        return None
    if name in TIMES:
        return value
    if isinstance(value, BYTES):
        raise ValueError(f"{name}: {NO_TEXT}")  # noqa: TRY004 - a row's fault, not the program's
    if name == "metadata":
        return _whole(value)
    if name == "user" or name.startswith(PREFIX):
        return text_of(name, value)
    text = text_of(name, value)
    if name != "id" and text and not is_id(text):
        raise ValueError(f"{name} is not the name of one")  # other messages would show it
    return text


def _whole(value: object) -> object:
    """A column of JSON: the values of its object as text; nulls are left out."""
    if isinstance(value, str) and value:
        try:
            value = json.loads(value, object_pairs_hook=once)
        except TwiceError as error:
            raise ValueError(f"metadata: {error}") from None
        except (ValueError, RecursionError):
            raise ValueError("metadata: not a JSON object") from None
    if not isinstance(value, Mapping):
        return value
    pairs = {str(name): one for name, one in value.items() if one is not None}
    return {name: text_of(f"{PREFIX}{name}", one) for name, one in pairs.items()}


def text_of(name: str, value: object) -> str:
    """A metadata value as text: numbers, booleans, ids and times in their plain form.

    Raises:
        ValueError: It is a list, an object or bytes.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return parse(value).isoformat()
        case Decimal():
            return format(value, "f")
        case int() | float() | UUID() | date():
            return str(value)
        case Enum():
            return str(value.value)
        case _:
            raise ValueError(f"{name}: a {type(value).__name__} is not text; select a part of it")


Values = Mapping[str, Any]

PAGE = 500
CONNECT_SECONDS = 10
STEPS = 10_000  # of SQLite's virtual machine, between two checks of the clock
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
ASYNCHRONOUS = {"asyncpg", "aiopg", "aiomysql", "asyncmy"}
LEAST = -(2**63)  # that a column of integers can hold
FAILURES = (SQLAlchemyError, ValueError, ArithmeticError, OSError)
BEGINNING = {
    "sqlite": (-1,),
    "postgresql": ("", "-infinity", datetime(1, 1, 1, tzinfo=UTC), LEAST, -1),
}
ELSEWHERE = (datetime(1970, 1, 1), -1, "")  # noqa: DTZ001 - as columns without a zone are compared


@dataclass(frozen=True, slots=True)
class TableReading:
    """Rows as they arrive, in pages; `clock` is the database's time before the first.

    The rows come after the watermark `begins`. Once all pages are read, `strays` yields the rows
    that do not come after it and that no earlier reading saw; with `None`, no reading saw any.
    `gives` says whether the query returns any row after a watermark, and true if that cannot be
    queried. Call it last: nothing can be queried after it.
    """

    clock: datetime
    begins: object
    columns: tuple[str, ...]
    pages: Iterator[Sequence[Values]]
    strays: Callable[[Unread | None], Iterator[Sequence[Values]]]
    gives: Callable[[object], bool]


class Foreign:
    """One of the application's databases.

    Raises:
        ConfigError: Its address cannot be read, or its driver is not installed.
    """

    def __init__(self, name: str, sql: SqlSettings) -> None:
        self._name = name
        self._sql = sql
        self._url = address(sql)
        _check_parameters(name, self._url)
        self._engine = _engine(name, self._url, sql)
        self._ends_at = math.inf

    @property
    def fingerprint(self) -> str:
        """A hash that identifies the database, computed without its password."""
        shown = self._url._replace(password=None).render_as_string(hide_password=False)
        return hashlib.sha256(shown.encode()).hexdigest()[:16]

    @property
    def backend(self) -> str:
        """SQLAlchemy's name of the engine."""
        return self._url.get_backend_name()

    @property
    def beginning(self) -> tuple[object, ...]:
        """Values that sort before all values of a column: one of them has its type."""
        return BEGINNING.get(self._engine.dialect.name, ELSEWHERE)

    @property
    def mixes(self) -> bool:
        """Whether one column may hold both numbers and text."""
        return self._engine.dialect.name == "sqlite"

    @property
    def sees_all(self) -> bool:
        """Whether a reading from the beginning also finds the rows without a watermark."""
        sql, dialect = self._sql, self._engine.dialect.name
        return sql.watermark is None or unbound(sql.query, dialect) is not None

    @contextmanager
    def read(self, tries: Callable[[datetime], Sequence[object]]) -> Iterator[TableReading]:
        """The rows of the query after the first of the watermarks that fits the column's type.

        `tries` returns the watermarks, given the database's clock. Each is tried in a transaction
        of its own.

        Raises:
            AccessError: The database cannot be reached, refuses, or takes too long.
            ConfigError: The query is wrong.
            StoppedError: A signal arrived while SQLite was being read.
        """
        self._require_read()
        wrong: list[Exception] = []
        for number in count():
            with ExitStack() as stack:
                with self._explaining():
                    clock, connection = self._open(stack)
                values = tries(clock)
                if number == len(values):
                    self._require_comparable(connection)
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
        """A connection that cannot write anything, for inspecting the database.

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
        """Interrupt SQLite when it takes too long; servers get the limit as a setting."""
        self._ends_at = time.monotonic() + self._sql.timeout.total_seconds()
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            raw.set_progress_handler(lambda: int(self._is_over()), STEPS)

    def _is_over(self) -> bool:
        return time.monotonic() > self._ends_at

    def _begin(
        self, stack: ExitStack, clock: datetime, connection: Connection, value: object
    ) -> TableReading:
        streaming = connection.execution_options(stream_results=True, yield_per=PAGE)
        values = {} if self._sql.watermark is None else {"watermark": value}
        result = streaming.execute(text(self._bound(self._sql.query)), values)
        stack.callback(result.close)  # a reader that stops early leaves a cursor at the server
        self._require_fitting(connection, result)
        pages = result.partitions(PAGE)
        first = next(pages, ())
        columns = tuple(result.keys())
        rest = self._rest(connection, first, pages)
        strays = partial(self._strays, connection, value, columns)
        return TableReading(clock, value, columns, rest, strays, partial(self._gives, connection))

    def _gives(self, connection: Connection, value: object) -> bool:
        streaming = connection.execution_options(stream_results=True)
        self._watch(connection)
        try:
            asked = text(self._bound(self._sql.query))
            with closing(streaming.execute(asked, {"watermark": value})) as result:
                return result.fetchone() is not None
        except FAILURES:
            return True

    def _rest(
        self, connection: Connection, first: Sequence[Row[Any]], pages: Iterator[Sequence[Row[Any]]]
    ) -> Iterator[Sequence[Values]]:
        with self._explaining():
            yield from self._pages(connection, chain([first], pages))

    def _strays(
        self,
        connection: Connection,
        begins: object,
        columns: Sequence[str],
        where: Unread | None,
    ) -> Iterator[Sequence[Values]]:
        """The rows below the beginning that were not read; ConfigError if they can't be queried."""
        sql, dialect = self._sql, connection.dialect.name
        bare = unbound(sql.query, dialect)
        query, value = (bare, below(begins, dialect)) if bare else (sql.query, lowest(begins))
        asked = asking(
            self._bound(query), columns, sql.watermark or "", begins, where, mixes=self.mixes
        )
        self._watch(connection)
        try:
            with closing(connection.execute(asked, {"watermark": value})) as result:
                yield from self._pages(connection, result.partitions(PAGE))
        except FAILURES as error:
            if is_of_query(error):
                raise ConfigError(unasked(error)) from None
            raise self._explained(error) from None

    def _pages(
        self, connection: Connection, pages: Iterator[Sequence[Row[Any]]]
    ) -> Iterator[Sequence[Values]]:
        while True:
            self._watch(connection)
            page = next(pages, ())
            if not page:
                return
            yield [dict(row._mapping) for row in page]

    def _explained(self, error: Exception) -> AccessError | ConfigError | StoppedError:
        is_over, is_of_row = self._is_over(), is_of_query(error) and self._is_sound()
        return explanation(
            error, self._name, self._sql, self._url, is_over=is_over, is_of_row=is_of_row
        )

    def _is_sound(self) -> bool:
        """Whether the engine accepts the query when it reads no rows."""
        asked = self._bound(self._sql.query, "NULL")
        try:
            with ExitStack() as stack:
                connection = self._open(stack)[1]
                connection.execute(text(f"EXPLAIN {asked}"))
                return True
        except FAILURES:
            return False

    def _require_read(self) -> None:
        """Raise ConfigError unless the query is one statement that only reads.

        The configuration was checked for this, but perhaps without knowing the engine. A second
        statement could end the read-only transaction, and then do anything.
        """
        try:
            only_read(self._sql.query, self.backend)
        except ValueError as error:
            raise ConfigError(f"source {self._name}: {error}") from None

    def require_all_rows(self) -> None:
        """Raise ConfigError if the query leaves out rows that meet its conditions.

        The configuration was checked for this, but perhaps without knowing the engine.
        """
        try:
            require_all_rows(self._sql.query, self.backend)
        except ValueError as error:
            raise ConfigError(f"source {self._name}: {error}") from None

    def _require_fitting(self, connection: Connection, result: CursorResult[Any]) -> None:
        """Raise ConfigError if the watermark column has a PostgreSQL type that cannot be one."""
        column = self._sql.watermark
        if column is None or connection.dialect.name != "postgresql":
            return
        if (its := unfit_type(connection, result, column)) is not None:
            raise ConfigError(
                f"source {self._name}: `{column}` is of the type {its}, which cannot be a "
                "watermark: name a column of times, numbers or text that says when a row was "
                "changed, or cast it in the query"
            )

    def _require_comparable(self, connection: Connection) -> None:
        """Do `_require_fitting` for a column whose type accepts none of our watermarks."""
        try:
            result = connection.execute(text(self._bound(self._sql.query, "NULL")))
            self._require_fitting(connection, result)
            result.close()
        except FAILURES:
            return  # the query fails by itself, which is told

    def _bound(self, query: str, value: str = ":watermark") -> str:
        """The query with the watermark as its only parameter; other colons are escaped."""
        parts = around_watermarks(query, self.backend)
        return value.join(part.replace(":", "\\:") for part in parts)


def address(sql: SqlSettings) -> URL:
    """The database's address, with janitor's driver in place of the application's.

    Raises:
        ConfigError: It cannot be read; its text is not shown, as it may hold a password.
    """
    text = sql.url if isinstance(sql.url, str) else sql.url.reveal()
    where = "its address" if isinstance(sql.url, str) else f"what {sql.url} holds"
    if holds_nul(text):
        raise ConfigError(f"{where} {NUL}")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        message = f"{where} is not a database address: write SCHEME://USER:PASSWORD@HOST/DATABASE"
        raise ConfigError(message) from None
    backend, _, driver = url.drivername.partition("+")
    if backend != "sqlite" and has_stray_at(text):
        raise ConfigError(f"{where}: there is a second @: write each @ of the password as %40")
    if backend == "sqlite":
        file = str(sql.directory / (url.database or ""))
        return url.set(drivername="sqlite", database=file)
    if backend in DRIVERS and driver in ASYNCHRONOUS | {"", "psycopg2"}:
        return url.set(drivername=DRIVERS[backend])
    return url


def _check_parameters(name: str, url: URL) -> None:
    known = {"sqlite": SQLITE, "postgresql": LIBPQ}.get(url.get_backend_name())
    if known is not None and (wrong := wrong_parameters(url, known)):
        raise ConfigError(f"source {name}: its address: {wrong}; correct sources.{name}.sql.url")
    if known is LIBPQ and (wrong := wrong_variables(url)):
        raise ConfigError(f"source {name}: {wrong}")


def _engine(name: str, url: URL, sql: SqlSettings) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return create_engine(
                "sqlite://", creator=lambda: _opened(url), poolclass=NullPool, hide_parameters=True
            )
        return create_engine(
            url, poolclass=NullPool, hide_parameters=True, connect_args=_arguments(url)
        )
    except NoSuchModuleError:
        engine = url.drivername if isinstance(sql.url, str) else f"what {sql.url} names"
        message = f"source {name}: {engine} is not an engine that janitor knows"
        raise ConfigError(f"{message}; correct sources.{name}.sql.url") from None
    except ImportError:
        remedy = "install it next to janitor"
        if url.drivername.startswith("postgres"):
            remedy = install("postgres")
        message = f"source {name}: {url.drivername} needs a driver that is not installed"
        raise ConfigError(f"{message}; {remedy}") from None
    except ArgumentError:
        raise ConfigError(
            f"source {name}: its address cannot be used; write several hosts as "
            "?host=one,other&port=5432,5432"
        ) from None


def _opened(url: URL) -> sqlite3.Connection:
    path = Path(url.database or "")
    if not path.is_file():
        raise FileNotFoundError
    address = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(address, uri=True, check_same_thread=False)
    connection.text_factory = text_or_bytes
    return connection


def _arguments(url: URL) -> dict[str, Any]:
    if url.get_backend_name() != "postgresql":
        return {}
    # A pooler may serve each transaction from another session, so no statements are prepared.
    defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "janitor sync"}
    ours = {k: v for k, v in defaults.items() if k not in url.query}
    return {"prepare_threshold": None, "client_encoding": "UTF8", **ours}


def _settings(connection: Connection, timeout: timedelta) -> tuple[str, ...]:
    """The statements that make a transaction read-only and limit its time, by engine."""
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
            stored = connection.scalar(select(func.clock_timestamp()))
        case "mysql" | "mariadb":
            stored = connection.scalar(text("SELECT UTC_TIMESTAMP(6)"))
        case "sqlite":
            return datetime.now(UTC)  # a file has no other clock
        case _:
            stored = connection.scalar(select(func.current_timestamp()))
    if not isinstance(stored, datetime):
        return datetime.now(UTC)
    # A clock that names no zone is read as UTC, but is not believed if it is ahead of ours.
    aware = stored if stored.tzinfo else min(stored.replace(tzinfo=UTC), datetime.now(UTC))
    return aware.astimezone(UTC)
