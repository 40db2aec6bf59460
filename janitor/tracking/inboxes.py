"""The registry as the application sees it: one table, or one call, that takes notices."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx2

from janitor.errors import ConfigError, has_stray_at, shown_address
from janitor.tracking.counters import COUNTERS
from janitor.tracking.greenlets import apart
from janitor.tracking.notices import VERSION, Notice

TOKEN = "JANITOR_TOKEN"  # noqa: S105  the variable's name
PATIENCE = 5.0
BATCH = 500
BATCH_BYTES = 1 << 19  # half of what a janitor takes, and far from what proxies let through
ALL_REFUSED = 422
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_COLUMNS = "(v, project, kind, id, at, event, created_at, metadata)"
_INTO_SQLITE = f"INSERT INTO janitor_inbox {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_INTO_POSTGRES = (
    f"INSERT INTO janitor_inbox {_COLUMNS} VALUES (%s, %s, %s, %s, %s, %s, %s, %s::json)"  # noqa: S608
)


class Inbox(Protocol):
    """Takes notices for the registry. `name` tells two registries apart and holds no secret."""

    name: str

    def add(self, notices: Sequence[Notice]) -> int:
        """Add all of them, durably; how many were taken, since others would never be.

        Any exception means that they must be handed in again.
        """


class SqliteInbox:
    """The table of a registry on this machine, which must exist already."""

    def __init__(self, path: Path) -> None:
        self.name = f"sqlite:///{path}"
        self._uri = f"{path.as_uri()}?mode=rw"

    def add(self, notices: Sequence[Notice]) -> int:
        """Add the notices in one transaction."""
        apart(lambda: self._insert([_row(notice, _naive) for notice in notices]))
        return len(notices)

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        with closing(sqlite3.connect(self._uri, uri=True, timeout=PATIENCE)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            with connection:
                connection.executemany(_INTO_SQLITE, rows)


class PostgresInbox:
    """The table of a registry on a PostgreSQL server; this role needs nothing but INSERT."""

    def __init__(self, url: str) -> None:
        try:
            import psycopg  # noqa: F401, PLC0415  an extra; a real thread may not import it later
        except ImportError:
            said = "a registry on PostgreSQL needs psycopg: pip install 'psycopg[binary]'"
            raise ConfigError(said) from None
        if has_stray_at(url):
            said = (
                "the registry's address: there is a second @: write each @ of the password as %40"
            )
            raise ConfigError(said)
        self._url = url
        self.name = shown_address(url)

    def add(self, notices: Sequence[Notice]) -> int:
        """Add the notices in one transaction."""
        apart(lambda: self._insert([_row(notice, _aware) for notice in notices]))
        return len(notices)

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        import psycopg  # noqa: PLC0415  likewise

        # Behind a pooler the names of prepared statements are shared with others: none is prepared.
        connecting = psycopg.connect(
            self._url, connect_timeout=int(PATIENCE), prepare_threshold=None
        )
        with connecting as connection, connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{int(PATIENCE)}s'".encode())
            cursor.executemany(_INTO_POSTGRES, rows)


class HttpInbox:
    """A janitor's `POST /api/threads`: `{"threads": [...]}`, each as a row of the inbox.

    The token is the URL's user part, or the environment's `JANITOR_TOKEN` at each delivery.
    """

    def __init__(self, url: str) -> None:
        try:
            parts, _ = urlsplit(url), urlsplit(url).port
        except ValueError:
            raise ConfigError("the registry's address is no address: write https://HOST") from None
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ConfigError("a registry's token must not travel in the clear: write https://")
        if "@" in parts.path:
            raise ConfigError("the registry's address has a `/` in its token: write %2F for it")
        self._token = unquote(parts.username or "")
        netloc = parts.netloc.rpartition("@")[2]
        self.name = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))

    def add(self, notices: Sequence[Notice]) -> int:
        """Add the notices, in calls of 500 and of half a MiB at most.

        What the janitor refuses it would refuse again: that is dropped, with a warning.
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
                # A 422 tells that nothing was taken; of anything else the spool keeps all.
                if answer.status_code != ALL_REFUSED or len(refused) != len(batch):
                    answer.raise_for_status()
                lost += refused
        if lost:  # told once all of it is over: after an exception all is handed in again
            COUNTERS.drop(f"{self.name} refuses: {lost[0]}", len(lost))
        return len(notices) - len(lost)


def _batches(notices: Sequence[Notice]) -> Iterator[list[bytes]]:
    """The notices as JSON, in lists that a janitor takes at once."""
    batch: list[bytes] = []
    size = 0
    for notice in notices:
        said = json.dumps(notice.document).encode()
        if batch and (len(batch) == BATCH or size + len(said) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(said)
        size += len(said) + 1
    if batch:
        yield batch


def _refused(answer: httpx2.Response) -> list[str]:
    """Why the janitor took some of a batch in no case."""
    try:
        return [ascii(one["reason"]) for one in answer.json()["refused"]]
    except (ValueError, KeyError, TypeError):
        return []


def inbox_of(registry: str) -> Inbox | Path:
    """What a registry's address names; a directory where somebody else delivers the spool.

    Raises:
        ConfigError: It is no address of a registry.
    """
    scheme = registry.partition("://")[0].removesuffix("+psycopg")
    match scheme:
        case "sqlite":
            return SqliteInbox(_path(registry, "sqlite:////var/lib/janitor/janitor.db"))
        case "postgresql":
            return PostgresInbox(registry.replace("postgresql+psycopg:", "postgresql:", 1))
        case "https" | "http":
            return HttpInbox(registry)
        case "spool":
            return _path(registry.replace(":///", ":////", 1), "spool:///var/spool/janitor")
        case _:
            raise ConfigError(
                "registry must begin with sqlite:////, postgresql://, https:// or spool:///"
            )


def key_of(name: str) -> str:
    """A registry's name as a directory's."""
    return sha256(name.encode()).hexdigest()[:16]


def _path(registry: str, example: str) -> Path:
    path = Path(registry.partition(":///")[2])
    if not path.is_absolute() or path == Path("/"):
        raise ConfigError(f"the registry's path must be absolute: write {example}")
    return path


def _row(notice: Notice, time: _Time) -> tuple[object, ...]:
    said = notice.metadata
    return (
        *(VERSION, notice.project, notice.kind.value, notice.id, time(notice.at)),
        *(notice.event.value, time(notice.created_at)),
        None if said is None else json.dumps(said),
    )


class _Time(Protocol):
    def __call__(self, at: datetime | None, /) -> object: ...


def _naive(at: datetime | None) -> str | None:
    """As the registry keeps times in SQLite: UTC, without saying so."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def _aware(at: datetime | None) -> datetime | None:
    return at
