"""What the failures of an application's database mean, without a value or a password of its."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, ProgrammingError

from janitor.causes import cause, lack, shortage
from janitor.config.durations import format_duration
from janitor.errors import AccessError, ConfigError, StoppedError
from janitor.registry.postgresql_errors import meaning

LONGEST = 200
DENIED = "42501"
CANCELED = "57014"
WRITES = "25006"
UNORDERED = "42883"  # no operator compares a column of that type with such a value
MYSQL_TOO_LONG = (1969, 3024)
INTERRUPTED = "interrupted"
WRONG_QUERY = ("no such", "syntax error", "near ")
NEEDS_ROOM = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
SQLITE_MEANS = {
    sqlite3.SQLITE_BUSY: "stayed locked by another process for too long: try again",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it, or have its application repair it",
    sqlite3.SQLITE_IOERR: "cannot be read: look after its disk",
    sqlite3.SQLITE_NOTADB: "is no SQLite database: correct {setting}",
}


def explanation(
    error: Exception, name: str, url: URL, timeout: timedelta, *, is_over: bool
) -> AccessError | ConfigError | StoppedError:
    """The failure of a source as one that a person can act on; `is_over`: its time was."""
    code = _code(error)
    if code == INTERRUPTED and not is_over:
        # A signal's handler raised where SQLite asked for the time, which nobody else is told.
        return StoppedError(f"source {name}: asked to stop while it was read")
    if code in MYSQL_TOO_LONG or (is_over and code in (CANCELED, INTERRUPTED)):
        return AccessError(
            f"source {name}: the query took longer than {format_duration(timeout)}: give its "
            f"watermark an index, or raise sources.{name}.sql.timeout"
        )
    kind, said = _meaning(error, code, f"sources.{name}.sql", url)
    return kind(f"source {name}: {said}")


def _meaning(
    error: Exception, code: object, setting: str, url: URL
) -> tuple[type[AccessError | ConfigError], str]:
    if code == CANCELED:
        return AccessError, "an administrator of its database cancelled the query"
    if isinstance(error, DataError):
        fails = f"the query fails on a value ({type(error.orig).__name__})"
        return ConfigError, f"{fails}; try it in the database's own shell"
    if isinstance(error, UnicodeEncodeError):
        fails = "the query has a character that the encoding of its database has not"
        return ConfigError, f"{fails}; write the query in ASCII"
    said = _said(error, url.password)
    if code == DENIED:
        return AccessError, f"{said}; GRANT SELECT on it to the user of the address"
    writes = code == WRITES or _sqlite_code(error) == sqlite3.SQLITE_READONLY
    if writes or _is_wrong_query(error):
        return ConfigError, f"the query fails: {said}; correct {setting}"
    return AccessError, f"its database {_unreadable(error, f'{setting}.url', url, said)}"


def _unreadable(error: Exception, setting: str, url: URL, said: str) -> str:
    if (short := shortage()) is not None:
        return f"cannot be read: {cause(short, 'try again')}"
    if url.get_backend_name() == "sqlite":
        return _unreadable_file(error, Path(url.database or ""), setting, said)
    if url.get_backend_name() == "postgresql" and isinstance(error, DBAPIError | OSError):
        found = meaning(error, setting, setting)
        if found is not None:
            return found[1]
    return f"cannot be read: {said}; check that it runs and {setting}"


def _unreadable_file(error: Exception, path: Path, setting: str, said: str) -> str:
    code = _sqlite_code(error) & 0xFF
    # A log beside it (-wal) is read through a file that whoever comes first makes there.
    if code in NEEDS_ROOM and (lacking := lack(path.parent)) is not None:
        return f"cannot be read: {path.parent}: {cause(lacking, 'look after it')}"
    if code in SQLITE_MEANS:
        return SQLITE_MEANS[code].format(setting=setting)
    if os.path.lexists(path) and not os.access(path, os.R_OK):
        return f"cannot be read: give this user read access to {path}"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return f"cannot be opened: let this user write to {path.parent}, where its log lies"
    return f"cannot be read: {said}; correct {setting}"


def most_telling(errors: Sequence[Exception]) -> Exception:
    """Of the failures with watermarks of several types, one that is not about a type, if any is."""
    others = (one for one in errors if not isinstance(one, DataError) and _code(one) != UNORDERED)
    return next(others, errors[0])


def _code(error: Exception) -> object:
    orig = getattr(error, "orig", None)
    arguments = getattr(orig, "args", ())
    return getattr(orig, "sqlstate", None) or (arguments[0] if arguments else None)


def _sqlite_code(error: Exception) -> int:
    """SQLite's code of a failure, the extended one; 0 where it is another's."""
    return getattr(getattr(error, "orig", None), "sqlite_errorcode", None) or 0


def _is_wrong_query(error: Exception) -> bool:
    said = str(getattr(error, "orig", ""))
    is_of_sqlite = isinstance(error, OperationalError) and said.startswith(WRONG_QUERY)
    return isinstance(error, ProgrammingError) or is_of_sqlite


def _said(error: Exception, password: str | None) -> str:
    """The first line of what a database or a driver said, where it tells no value of a row."""
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError | ProgrammingError):
        return type(error.orig).__name__
    told = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if not isinstance(error, DBAPIError | OSError):
        return type(error).__name__
    line = next(iter(told.splitlines()), "") or type(error).__name__
    return (line.replace(password, "***") if password else line)[:LONGEST]
