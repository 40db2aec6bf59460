"""What PostgreSQL's failures mean, and what to do about them."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from janitor.errors import ConfigError, JanitorError, StoreError

Meaning = tuple[type[JanitorError], str]

# By SQLSTATE or, shorter, its class (PostgreSQL's documentation, appendix A).
_MEANS: dict[str, Meaning] = {
    "25006": (ConfigError, "must not be written: it is opened, or its server runs, read-only"),
    "25P03": (StoreError, "ended a transaction of a janitor that was held up: run it again"),
    "28": (ConfigError, "refused this user or password: check registry.url and registry.password"),
    "3D": (ConfigError, "does not exist: create the database, or correct registry.url"),
    "3F": (ConfigError, "has no such schema: create it, or correct registry.url"),
    "42P01": (
        StoreError,
        (
            "holds no registry now: its tables are gone, or another database has its name. Nothing "
            "is removed until that is mended: put the database back, or restart this process"
        ),
    ),
    "42501": (ConfigError, "must not be used by this user: grant what it needs"),
    "53100": (
        StoreError,
        "could not grow: its disk is full; free some space, nothing half done was kept",
    ),
    "53300": (StoreError, "has no connection left: raise max_connections or run fewer janitors"),
    "55P03": (StoreError, "stayed locked for too long: end what holds it or try again"),
    "57P": (StoreError, "was shut down or restarted: try again"),
    "40": (
        StoreError,
        "met another writer at the same rows; nothing was kept: try again",
    ),
    "08": (StoreError, "lost the connection: try again"),
}

# A connection that was never made has no SQLSTATE, only the server's or the library's sentence.
_SAYS: tuple[tuple[str, Meaning], ...] = (
    ("password", _MEANS["28"]),
    ("pg_hba.conf", _MEANS["28"]),
    ("role", _MEANS["28"]),
    ("too many", _MEANS["53300"]),
    ("does not exist", _MEANS["3D"]),
)
_UNREACHABLE = (StoreError, "cannot be reached: check that the server runs, its host and its port")


def explanation(error: DBAPIError, name: str) -> JanitorError:
    """The failure as one that a person can act on; it quotes neither statement nor password."""
    code = getattr(error.orig, "sqlstate", None)
    if code is None:
        kind, message = _unnamed(error)
        return kind(f"{name} {message}")
    for length in (5, 3, 2):
        if code[:length] in _MEANS:
            kind, message = _MEANS[code[:length]]
            return kind(f"{name} {message}")
    return StoreError(f"{name} failed: {type(error.orig).__name__} ({code}); see the server's log")


def _unnamed(error: DBAPIError) -> Meaning:
    if error.connection_invalidated:
        return _MEANS["08"]
    said = str(error.orig).lower()
    # The library names the server's address before the reason, the path of a socket included.
    reason = said.rpartition("fatal:" if "fatal:" in said else "failed:")[2]
    return next((meaning for part, meaning in _SAYS if part in reason), _UNREACHABLE)
