"""Explains failures of the application's database without showing its values or its password."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, ProgrammingError

from janitor.causes import cause, lack, outgrown, shortage
from janitor.config import SqlSettings
from janitor.config.fields import format_duration
from janitor.errors import AccessError, ConfigError, StoppedError
from janitor.registry.postgres import meaning, of_parameters

LONGEST = 200
DENIED = "42501"
CANCELED = "57014"
WRITES = "25006"
UNORDERED = "42883"  # no operator compares a column of that type with such a value
OF_QUERIES = ("0A", "21", "22", "38", "39", "42", "54", "P0")
"""SQLSTATE classes of failures of a query, or of a value that it reads."""
OF_QUERIES_OF_FILES = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH)
MYSQL_TOO_LONG = (1969, 3024)
INTERRUPTED = "interrupted"
FIXED = {
    "malformed JSON",
    "JSON cannot hold BLOB values",
    "integer overflow",
    "string or blob too big",
    "LIKE or GLOB pattern too complex",
    "user-defined function raised exception",
}
"""SQLite's messages about a value that quote no part of it."""
NEEDS_ROOM = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
SQLITE_MEANS = {
    sqlite3.SQLITE_BUSY: "stayed locked by another process for too long: try again",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it, or have its application repair it",
    sqlite3.SQLITE_IOERR: "cannot be read: check its disk",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database: correct {setting}",
}


def explanation(
    error: Exception, name: str, sql: SqlSettings, url: URL, *, is_over: bool, is_of_row: bool
) -> AccessError | ConfigError | StoppedError:
    """The failure of a source as an error that a person can act on.

    `is_over` means that its query ran out of time, `is_of_row` that a value in a row is at fault.
    """
    code = _code(error)
    if code == INTERRUPTED and not is_over:
        # A signal handler raised inside SQLite's progress handler, and SQLite reports only this.
        return StoppedError(f"source {name}: stopped while it was read")
    if code in MYSQL_TOO_LONG or (is_over and code in (CANCELED, INTERRUPTED)):
        return AccessError(
            f"source {name}: the query took longer than {format_duration(sql.timeout)}: add an "
            f"index on the watermark column, or raise sources.{name}.sql.timeout"
        )
    if is_of_row:
        return ConfigError(
            f"source {name}: the query fails on a value in the table ({_said_of_value(error)}); "
            f"change sources.{name}.sql.query"
        )
    kind, text = _meaning(error, code, f"sources.{name}.sql", url, sql)
    return kind(f"source {name}: {text}")


def unasked(error: Exception) -> str:
    """Why the rows below the watermark could not be queried."""
    return (
        f"the query fails there ({_said_of_value(error)}): it must work on each row of the table, "
        "and as a part of another query"
    )


def is_of_query(error: Exception) -> bool:
    """Whether a query or a value that it reads is at fault, not the connection."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error) & 0xFF in OF_QUERIES_OF_FILES
    return (
        isinstance(error, DBAPIError) and str(_code(error))[:2] in OF_QUERIES and _has_state(error)
    )


def _meaning(
    error: Exception, code: object, setting: str, url: URL, sql: SqlSettings
) -> tuple[type[AccessError | ConfigError], str]:
    if code == CANCELED:
        return AccessError, "an administrator of its database cancelled the query"
    if isinstance(error, UnicodeEncodeError):
        fails = "the query has a character that its database's encoding lacks"
        return ConfigError, f"{fails}; write the query in ASCII"
    is_unmet = url.get_backend_name() == "postgresql" and not _has_state(error)
    if is_unmet and (wrong := of_parameters(error, f"{setting}.url", url)) is not None:
        return ConfigError, f"its database {wrong}"
    text = _said(error, url.password)
    if code == DENIED:
        return AccessError, f"{text}; GRANT SELECT on it to the user of the address"
    writes = code == WRITES or _sqlite_code(error) == sqlite3.SQLITE_READONLY
    if writes or is_of_query(error) or (isinstance(error, ProgrammingError) and not is_unmet):
        return ConfigError, f"the query fails: {text}; correct {setting}"
    return AccessError, f"its database {_unreadable(error, f'{setting}.url', url, sql)}"


def _reason(error: Exception) -> str:
    """Why there is no connection, without the server's address in front of the reason."""
    text = str(getattr(error, "orig", error)).lower()
    return text.rpartition("fatal:" if "fatal:" in text else "failed:")[2]


def _unreadable(error: Exception, setting: str, url: URL, sql: SqlSettings) -> str:
    if (short := shortage()) is not None:
        return f"cannot be read: {cause(short, 'try again')}"
    if url.get_backend_name() == "sqlite":
        return _unreadable_file(error, Path(url.database or ""), setting, sql)
    if url.get_backend_name() == "postgresql" and isinstance(error, DBAPIError | OSError):
        found = meaning(error, setting, setting, url)
        return found[1] if found is not None else _unmet(error, setting)
    text = _said(error, url.password) if isinstance(sql.url, str) else _kind(error)
    return f"cannot be read: {text}; check that it runs and {setting}"


def _unmet(error: DBAPIError | OSError, setting: str) -> str:
    """The message for an unknown failure: in the system's words, as others quote the address."""
    if _has_state(error):
        return f"cannot be read: {_kind(error)}; see the server's log"
    reason = _reason(error)
    words = (os.strerror(number) for number in errno.errorcode)
    text = next((one for one in words if one.lower() in reason), "no connection")
    return f"cannot be reached: {text}; check that it runs and {setting}"


def _unreadable_file(error: Exception, path: Path, setting: str, sql: SqlSettings) -> str:
    code = _sqlite_code(error) & 0xFF
    is_shown = isinstance(sql.url, str)
    file = str(path) if is_shown else f"the file that {sql.url} names"
    directory = str(path.parent) if is_shown else f"the directory of {file}"
    if isinstance(error, FileNotFoundError):
        return f"cannot be read: {file} does not exist; correct {setting}"
    # Its log (-wal) is read through another file (-shm), which the first reader creates.
    lacking = lack(path.parent) or outgrown(path, Path(f"{path}-shm"))
    if code in NEEDS_ROOM and lacking is not None:
        return f"cannot be read: {directory}: {cause(lacking, 'check it')}"
    if code in SQLITE_MEANS:
        return SQLITE_MEANS[code].format(setting=setting)
    if os.path.lexists(path) and not os.access(path, os.R_OK):
        return f"cannot be read: give this user read access to {file}"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return f"cannot be opened: let this user write to {directory}, where its log is"
    return f"cannot be read: {_kind(error)}; correct {setting}"


def most_telling(errors: Sequence[Exception]) -> Exception:
    """Of the failures with watermarks of several types, one that is not about a type, if any is.

    The first ones may be about the watermark as well as about a value; the last one had a
    watermark of a type that the column accepts.
    """
    others = (one for one in errors if not isinstance(one, DataError) and _code(one) != UNORDERED)
    of_values = (one for one in reversed(errors) if isinstance(one, DataError))
    return next(others, next(of_values, errors[0]))


def _code(error: Exception) -> object:
    orig = getattr(error, "orig", None)
    arguments = getattr(orig, "args", ())
    return getattr(orig, "sqlstate", None) or (arguments[0] if arguments else None)


def _has_state(error: Exception) -> bool:
    """Whether a server reported the failure with a SQLSTATE, so that it was reached."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) is not None


def _sqlite_code(error: Exception) -> int:
    """SQLite's extended code of a failure; 0 if the failure is not SQLite's."""
    return getattr(getattr(error, "orig", None), "sqlite_errorcode", None) or 0


def _kind(error: Exception) -> str:
    """The type of a failure and, for MySQL, its number."""
    code = _code(error)
    number = f" {code}" if isinstance(code, int) else ""
    return f"{type(getattr(error, 'orig', error)).__name__}{number}"


def _said_of_value(error: Exception) -> str:
    """What is wrong with a value, in words that reveal nothing of it."""
    told = str(getattr(error, "orig", ""))
    return told if told in FIXED else _kind(error)


def _said(error: Exception, password: str | None) -> str:
    """The first line of a database's or driver's message, if it can reveal no value of a row."""
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError | ProgrammingError):
        return type(error.orig).__name__
    told = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if not isinstance(error, DBAPIError | OSError):
        return type(error).__name__
    line = next(iter(told.splitlines()), "") or type(error).__name__
    return (line.replace(password, "***") if password else line)[:LONGEST]
