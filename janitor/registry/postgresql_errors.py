"""What PostgreSQL's failures mean, and what to do about them.

`{url}` stands for the setting that names the database, `{secret}` for all that tell who comes.
"""

from __future__ import annotations

import errno
import re

from sqlalchemy.exc import DBAPIError

from janitor.causes import cause, shortage
from janitor.errors import ConfigError, JanitorError, StoreError

Meaning = tuple[type[JanitorError], str]

_GO_ON = "nothing half done was kept, run it again"
_REFUSED = (ConfigError, "refused this user or password: check {secret}")
_UNKNOWN_USER = (ConfigError, "lets no such user log in: correct {url}, or create that role")
_NO_RULE = (
    ConfigError,
    (
        "lets this user not in from here by its pg_hba.conf: add a line there, or correct {url} "
        "(user, database, sslmode)"
    ),
)
_NO_DATABASE = (ConfigError, "does not exist: create the database, or correct {url}")
_NO_RIGHT = (ConfigError, "must not be used by this user: grant what it needs")
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
    return StoreError, f"cannot be reached: {cause(error, 'check that the server runs')}"


# By SQLSTATE or, shorter, its class (PostgreSQL's documentation, appendix A).
_MEANS: dict[str, Meaning] = {
    "25006": (ConfigError, "must not be written: it is opened, or its server runs, read-only"),
    "25P03": (StoreError, "ended a transaction of a janitor that was held up: run it again"),
    "26": _MIXED_UP,
    "42P05": _MIXED_UP,
    "28": _REFUSED,
    "3D": _NO_DATABASE,
    "3F": (ConfigError, "has no such schema: create it, or correct {url}"),
    "42P01": (
        StoreError,
        (
            "holds no registry now: its tables are gone, or another database has its name. Nothing "
            "is removed until that is mended: put the database back, or restart this process"
        ),
    ),
    "42501": _NO_RIGHT,
    "53100": (
        StoreError,
        "could not grow: its disk is full; free some space, nothing half done was kept",
    ),
    "53200": (StoreError, f"ran out of memory at its server: give it more; {_GO_ON}"),
    "53300": _NO_CONNECTION,
    "53400": (StoreError, "reached a limit that its server sets: see the server's log"),
    "53": (StoreError, "lacks something at its server: see the server's log"),
    "55P03": (StoreError, "stayed locked for too long: end what holds it or try again"),
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
    "58": (StoreError, "fails at its server's disk: see the server's log"),
    "XX001": (StoreError, "is damaged: restore it from a backup"),
    "XX002": (StoreError, "has a damaged index: REINDEX it, or restore it from a backup"),
    "40": (
        StoreError,
        "met another writer at the same rows; nothing was kept: try again",
    ),
    "08": (StoreError, "lost the connection: try again"),
}

# A connection that was never made has no SQLSTATE, only the server's or the library's sentence,
# here without what stands in quotation marks: names may say anything.
_SAYS: tuple[tuple[str, Meaning], ...] = (
    ("too many open files", _of_system(OSError(errno.EMFILE, ""))),
    (
        "failed to resolve host|could not translate host name",
        (StoreError, "cannot be reached: its host's name is not known; check {url} and the DNS"),
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
        (ConfigError, "cannot be reached by TLS: check sslmode and the certificates in {url}"),
    ),
    (
        "timeout",
        (
            StoreError,
            "gave no answer in time: check its host and port, and what lies in between",
        ),
    ),
)
_UNREACHABLE = (StoreError, "cannot be reached: check that the server runs, its host and its port")


def explanation(error: DBAPIError | OSError, name: str) -> JanitorError:
    """The registry's failure as one that a person can act on; it quotes no statement or secret."""
    found = meaning(error, "registry.url", "registry.url and registry.password")
    kind, message = found or _unknown(error)
    return kind(f"{name} {message}")


def meaning(error: DBAPIError | OSError, url: str, secret: str) -> Meaning | None:
    """What a failure means, where that is known; what to do names the settings."""
    if isinstance(error, OSError):
        return _of_system(error)
    code = getattr(error.orig, "sqlstate", None)
    found = _unnamed(error) if code is None else _named(code)
    if found is None:
        short = shortage() if code is None else None
        return None if short is None else _of_system(short)
    kind, message = found
    return kind, message.format(url=url, secret=secret)


def _unknown(error: DBAPIError | OSError) -> Meaning:
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    if code is None:
        return _UNREACHABLE
    name = type(getattr(error, "orig", error)).__name__
    return StoreError, f"failed: {name} ({code}); see the server's log"


def _named(code: str) -> Meaning | None:
    return next((_MEANS[code[:size]] for size in (5, 3, 2) if code[:size] in _MEANS), None)


def _unnamed(error: DBAPIError) -> Meaning | None:
    if error.connection_invalidated:
        return _MEANS["08"]
    said = re.sub(r'"[^"]*"', '""', str(error.orig)).lower()
    # The library names the server's address before the reason, the path of a socket included.
    reason = said.rpartition("fatal:" if "fatal:" in said else "failed:")[2]
    return next((meaning for part, meaning in _SAYS if re.search(part, reason)), None)
