"""What the failures of an application's database mean, without a value or a password of its."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.exc import DataError, DBAPIError, OperationalError, ProgrammingError

from janitor.config.durations import format_duration
from janitor.errors import AccessError, ConfigError

LONGEST = 200
DENIED = "42501"
CANCELED = "57014"
UNORDERED = "42883"  # no operator compares a column of that type with such a value
MYSQL_TOO_LONG = (1969, 3024)
WRONG_QUERY = ("no such", "syntax error", "near ")


def explanation(
    error: Exception, name: str, password: str | None, timeout: timedelta
) -> AccessError | ConfigError:
    """The failure of a source as one that a person can act on."""
    if _is_too_long(error):
        return AccessError(
            f"source {name}: the query took longer than {format_duration(timeout)}: give its "
            f"watermark an index, or raise sources.{name}.sql.timeout"
        )
    if isinstance(error, DataError):
        return ConfigError(
            f"source {name}: the query fails on a value ({type(error.orig).__name__}); try it in "
            "the database's own shell"
        )
    if isinstance(error, UnicodeEncodeError):
        return ConfigError(
            f"source {name}: the query has a character that the encoding of its database has not; "
            "write the query in ASCII"
        )
    said = _said(error, password)
    if _is_denied(error):
        return AccessError(f"source {name}: {said}; GRANT SELECT on it to the user of the address")
    if _is_wrong_query(error):
        return ConfigError(f"source {name}: the query fails: {said}; correct sources.{name}.sql")
    return AccessError(
        f"source {name}: its database cannot be read: {said}; check that it runs and "
        f"sources.{name}.sql.url"
    )


def most_telling(errors: Sequence[Exception]) -> Exception:
    """Of the failures with watermarks of several types, one that is not about a type, if any is."""
    others = (one for one in errors if not isinstance(one, DataError) and _code(one) != UNORDERED)
    return next(others, errors[0])


def _code(error: Exception) -> object:
    orig = getattr(error, "orig", None)
    arguments = getattr(orig, "args", ())
    return getattr(orig, "sqlstate", None) or (arguments[0] if arguments else None)


def _is_too_long(error: Exception) -> bool:
    code = _code(error)
    return code == CANCELED or code in MYSQL_TOO_LONG or code == "interrupted"


def _is_denied(error: Exception) -> bool:
    return _code(error) == DENIED


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
