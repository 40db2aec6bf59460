"""The registry as the application sees it: a table, or an HTTP call, that takes notices.

Failures are described without quoting a database's message, which may contain values.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import httpx2

from janitor.addresses import NUL, file_of, holds_nul, is_host, wrong_parameter
from janitor.causes import cause, lack, shortage, sort_of
from janitor.errors import ConfigError, StoreError, has_stray_at, shown_address
from janitor.model import NOTICE_VERSION
from janitor.tracking.greenlets import RLock, apart, rest
from janitor.tracking.metrics import COUNTERS
from janitor.tracking.notices import Notice

TOKEN = "JANITOR_TOKEN"  # noqa: S105  the variable's name
PATIENCE = 5.0
RESTS = (0.001, 0.1)
BATCH = 500
BATCH_BYTES = 1 << 19  # half of what janitor accepts, and far below what proxies let through
ALL_REFUSED = 422
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_COLUMNS = "(v, project, kind, id, at, event, created_at, metadata)"
_INTO_SQLITE = f"INSERT INTO janitor_inbox {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_INTO_POSTGRES = (
    f"INSERT INTO janitor_inbox {_COLUMNS} VALUES (%s, %s, %s, %s, %s, %s, %s, %s::json)"  # noqa: S608
)


NOT_THERE = "the registry does not exist yet, or its path is wrong: a janitor creates it"
NO_TABLES = "the registry has no tables yet: a janitor creates them when it first opens it"
ACCESS = "let this user write to the file and its directory"
REMEDIES = {
    401: "set JANITOR_TOKEN to a token that may write",
    403: "give its token the right to write",
    404: "check the address, and that `janitor serve` answers there",
}
OF_SQLITE = {
    sqlite3.SQLITE_BUSY: "another process has been writing to it for too long",
    sqlite3.SQLITE_CANTOPEN: f"it cannot be opened; {ACCESS}",
    sqlite3.SQLITE_READONLY: f"this user may not write to it; {ACCESS}",
    sqlite3.SQLITE_FULL: "its disk is full; free some space",
    sqlite3.SQLITE_NOTADB: "the file is not a database; correct the address",
}
OF_FILES = {
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
}
OF_POSTGRESQL = {
    "42P01": f"{NO_TABLES}, or its role's search_path does not lead to them",
    "42501": "its role may not write: grant it INSERT on janitor_inbox",
    "57014": "it does not accept the rows in time; another session may be locking janitor_inbox",
}
NO_SESSION = "no session can be opened; check the address, the password, and that the server runs"


class NoticeInbox(Protocol):
    """Takes notices for the registry. `name` tells two registries apart and holds no secret."""

    name: str

    def add(self, notices: Sequence[Notice]) -> int:
        """Add notices durably; returns how many were taken. The others never will be.

        After any exception, all of them must be handed in again.
        """


UNFORKED = RLock()
"""Held while an SQLite connection is open, for one try at most.

A fork copies the state that SQLite keeps for a whole process: its locks, and which connection holds
which lock of which file. In the child nobody frees those, so its own connections would wait
forever, or find the database locked forever. So a fork waits until no connection is open.
"""

os.register_at_fork(
    before=UNFORKED.acquire,
    after_in_parent=UNFORKED.release,
    after_in_child=UNFORKED.release,
)


class SqliteInbox:
    """The table of an SQLite registry, which must exist already."""

    def __init__(self, path: Path) -> None:
        self.name = f"sqlite:///{path}"
        self._path = path
        self._uri = f"{path.as_uri()}?mode=rw"

    def add(self, notices: Sequence[Notice]) -> int:
        """Add the notices in one transaction."""
        apart(lambda: self._insert([_row(notice, _naive) for notice in notices]))
        return len(notices)

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert the rows; retry while others write. Between two tries the process may fork."""
        until, (wait, longest) = time.monotonic() + PATIENCE, RESTS
        while True:
            try:
                with (
                    UNFORKED,
                    closing(sqlite3.connect(self._uri, uri=True, timeout=0)) as connection,
                ):
                    connection.execute("PRAGMA synchronous=FULL")
                    with connection:
                        connection.executemany(_INTO_SQLITE, rows)
                    return
            except sqlite3.OperationalError as error:
                code = error.sqlite_errorcode & 0xFF
                if code in OF_FILES and (why := obstacle(self._path)):
                    raise StoreError(why) from None
                if code != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            rest(wait)
            wait = min(longest, 2 * wait)


class PostgresInbox:
    """The table of a registry on a PostgreSQL server; this role needs nothing but INSERT."""

    def __init__(self, url: str) -> None:
        try:
            import psycopg  # noqa: F401, PLC0415  an extra; a real thread may not import it later
        except ImportError:
            message = "a registry on PostgreSQL needs psycopg: pip install 'psycopg[binary]'"
            raise ConfigError(message) from None
        if has_stray_at(url):
            message = (
                "the registry's address: there is a second @: write each @ of the password as %40"
            )
            raise ConfigError(message)
        if wrong := wrong_parameter(parse_qsl(url.partition("?")[2], keep_blank_values=True)):
            raise ConfigError(f"the registry's address: {wrong}")
        self._url = url
        self.name = shown_address(url)

    def add(self, notices: Sequence[Notice]) -> int:
        """Add the notices in one transaction."""
        apart(lambda: self._insert([_row(notice, lambda at: at) for notice in notices]))
        return len(notices)

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        import psycopg  # noqa: PLC0415  likewise

        # Behind a pooler, prepared statements share their names with other clients: prepare none.
        connecting = psycopg.connect(
            self._url, connect_timeout=int(PATIENCE), prepare_threshold=None
        )
        with connecting as connection, connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{int(PATIENCE)}s'".encode())
            cursor.executemany(_INTO_POSTGRES, rows)


class HttpInbox:
    """A janitor's `POST /api/threads`: `{"threads": [...]}`, each like a row of the inbox.

    The token is the URL's user part, else `JANITOR_TOKEN`, which is read at each delivery.
    """

    def __init__(self, url: str) -> None:
        try:
            parts, _ = urlsplit(url), urlsplit(url).port
        except ValueError:
            raise ConfigError("the registry's address is not valid: write https://HOST") from None
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ConfigError("a registry's token must not be sent unencrypted: write https://")
        if not is_host(parts.hostname or ""):
            raise ConfigError("the registry's address: invalid host name")
        if "@" in parts.path:
            raise ConfigError("the registry's address has a `/` in its token: write %2F for it")
        self._token = unquote(parts.username or "")
        netloc = parts.netloc.rpartition("@")[2]
        self.name = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))

    def add(self, notices: Sequence[Notice]) -> int:
        """Add the notices, at most 500 and half a MiB in each call.

        What the janitor refuses, it would refuse again: it is dropped, with a warning.
        """
        token = self._token or os.environ.get(TOKEN, "")
        headers = {"content-type": "application/json"}
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        lost: list[str] = []
        with httpx2.Client(timeout=PATIENCE, headers=headers) as client:
            for batch in _batches(notices):
                body = b'{"threads":[' + b",".join(batch) + b"]}"
                answer = client.post(f"{self.name}/api/threads", content=body)
                refused = _refused(answer)
                # A 422 that refuses every notice is final; after other errors the spool keeps all.
                if answer.status_code != ALL_REFUSED or len(refused) != len(batch):
                    answer.raise_for_status()
                lost += refused
        if lost:  # only at the end: after an exception everything is handed in again
            COUNTERS.drop(f"{self.name} refuses: {lost[0]}", len(lost))
        return len(notices) - len(lost)


def _batches(notices: Sequence[Notice]) -> Iterator[list[bytes]]:
    """The notices as JSON, in batches that janitor accepts."""
    batch: list[bytes] = []
    size = 0
    for notice in notices:
        line = json.dumps(notice.document).encode()
        if batch and (len(batch) == BATCH or size + len(line) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 1
    if batch:
        yield batch


def _refused(answer: httpx2.Response) -> list[str]:
    """Why janitor will never take some notices of a batch, one reason for each of them."""
    try:
        return [ascii(one["reason"]) for one in answer.json()["refused"]]
    except (ValueError, KeyError, TypeError):
        return []


def inbox_of(registry: str) -> NoticeInbox | Path:
    """The inbox for a registry's address; a directory if another process delivers the spool.

    Raises:
        ConfigError: It is not the address of a registry.
    """
    if holds_nul(registry):
        raise ConfigError(f"the registry's address {NUL}")
    scheme = registry.partition("://")[0].removesuffix("+psycopg")
    match scheme:
        case "sqlite":
            if "?" in registry:
                message = "a file takes no parameters; remove the ? and everything after it"
                raise ConfigError(f"the registry's address: {message}")
            return SqliteInbox(
                _absolute(file_of(registry), "sqlite:////var/lib/janitor/janitor.db")
            )
        case "postgresql":
            return PostgresInbox(registry.replace("postgresql+psycopg:", "postgresql:", 1))
        case "https" | "http":
            return HttpInbox(registry)
        case "spool":
            return _absolute(registry.removeprefix("spool://"), "spool:///var/spool/janitor")
        case _:
            raise ConfigError(
                "registry must begin with sqlite:////, postgresql://, https:// or spool:///"
            )


def _absolute(name: str, example: str) -> Path:
    path = Path(name)
    if not path.is_absolute() or path == Path("/"):
        raise ConfigError(f"the registry's path must be absolute: write {example}")
    return path


def _row(notice: Notice, time: Callable[[datetime | None], object]) -> tuple[object, ...]:
    metadata = notice.metadata
    return (
        *(NOTICE_VERSION, notice.project, notice.kind.value, notice.id, time(notice.at)),
        *(notice.event.value, time(notice.created_at)),
        None if metadata is None else json.dumps(metadata),
    )


def _naive(at: datetime | None) -> str | None:
    """A time as the registry stores it in SQLite: UTC, without a zone."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def failure_reason(error: Exception) -> str:
    """Why a registry took nothing, and what to do, if that is known."""
    if isinstance(error, StoreError):
        return str(error)
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    if isinstance(error, httpx2.HTTPStatusError | httpx2.TransportError):
        return _of_http(error)
    if hasattr(error, "sqlstate"):
        return _of_postgresql(error.sqlstate)
    return f"it failed unexpectedly ({type(error).__name__})"


def _of_http(error: httpx2.HTTPStatusError | httpx2.TransportError) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        status, path = error.response.status_code, error.request.url.path
        remedy = REMEDIES.get(status)
        return f"the service answered {status} to {path}{f'; {remedy}' if remedy else ''}"
    if isinstance(error, httpx2.TimeoutException):
        return "the service does not answer in time"
    return "the service cannot be reached; check the address, and that it runs"


def obstacle(path: Path) -> str | None:
    """Why SQLite cannot open or write a file, if that can be seen: SQLite itself does not say."""
    if (short := shortage()) is not None:
        return cause(short)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return NOT_THERE
    except OSError as error:
        return cause(error, ACCESS)
    if not stat.S_ISREG(mode):
        return f"it is {sort_of(mode)}; correct the address"
    lacking = lack(path.parent)
    return None if lacking is None else cause(lacking)


def _of_sqlite(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_ERROR and "no such table" in str(error):
        return NO_TABLES
    name = getattr(error, "sqlite_errorname", "no code")
    return OF_SQLITE.get(code & 0xFF, f"SQLite cannot write to it ({name})")


def _of_postgresql(state: str | None) -> str:
    if state is None:
        return NO_SESSION
    return OF_POSTGRESQL.get(state, f"the server refuses the rows (SQLSTATE {state})")
