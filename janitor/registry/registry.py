"""The registry as one: opening it, and everything it can be asked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import orjson
from sqlalchemy import Connection, select

from janitor.errors import ConfigError
from janitor.model import Key
from janitor.registry.engine import explained, path_of, prepare_file, reader, writer
from janitor.registry.holding import Holding
from janitor.registry.inbox import Inbox
from janitor.registry.lock import RunLock
from janitor.registry.missing import Missing
from janitor.registry.pausing import Pausing
from janitor.registry.reading import KEY, Reading, beyond
from janitor.registry.remembering import Remembering
from janitor.registry.rows import key_of, rows_of
from janitor.registry.runs import Running
from janitor.registry.schema import migrate, require_current, revision
from janitor.registry.store import PAGE, write
from janitor.registry.sweeping import Sweeping
from janitor.registry.tables import META, THREAD

BUSY_TIMEOUT = timedelta(seconds=30)
WAIT = timedelta(seconds=30)


class Registry(Inbox, Reading, Sweeping, Holding, Missing, Pausing, Running, Remembering):
    """What has been registered, and everything the janitor knows and did.

    Synchronous and thread-safe; no transaction is open between two calls, nor between two pages
    of an iterator. Failures of the database are StoreError (full, locked, damaged) or ConfigError
    (not a registry, not writable, of another version).
    """

    id: str

    @classmethod
    def open(
        cls,
        url: str,
        *,
        read_only: bool = False,
        untrusted: frozenset[str] = frozenset(),
        busy_timeout: timedelta = BUSY_TIMEOUT,
    ) -> Registry:
        """Opens the registry at `sqlite:///path`; creates and migrates it unless `read_only`.

        A read-only registry leaves every file as it is. `untrusted` names the projects whose
        reported times date nothing. A writer waits `busy_timeout` for another process's turn.
        """
        path = path_of(url)
        if read_only:
            return cls._open_reader(path, untrusted)
        prepare_file(path)
        if path.stat().st_size:
            _refuse_foreign(path)
        registry = cls(writer(path, busy_timeout), path, untrusted)
        try:
            registry._migrate()
        except BaseException:
            registry.close()
            raise
        return registry

    @classmethod
    def _open_reader(cls, path: Path, untrusted: frozenset[str]) -> Registry:
        if not path.is_file():
            raise ConfigError(f"{path} does not exist: fill it with `janitor import` first")
        registry = cls(reader(path), path, untrusted)
        with registry._reading() as connection:
            require_current(revision(connection, path), path)
            registry.id = _known_id(connection)
        return registry

    def _migrate(self) -> None:
        with self._writing() as connection:
            migrate(connection, self._path)
            if connection.scalar(_ID) is None:
                self._set_meta(connection, "id", uuid4().hex)
            self.id = _known_id(connection)
        self._date_anew()

    def _date_anew(self) -> None:
        # The column of effective activity orders keep_last groups; whom we trust is in it.
        now = orjson.dumps(sorted(self._untrusted)).decode()
        before = self._meta("untrusted") or "[]"
        if now == before:
            return
        for project in sorted(self._untrusted ^ frozenset(orjson.loads(before))):
            after: Key | None = None
            while after := self._date_page(project, after):
                pass
        with self._writing() as connection:
            self._set_meta(connection, "untrusted", now)

    def _date_page(self, project: str, after: Key | None) -> Key | None:
        statement = select(THREAD).where(THREAD.c.project == project)
        if after is not None:
            statement = statement.where(beyond(after))
        page = statement.order_by(*KEY).limit(PAGE)
        with self._writing() as connection:
            rows = list(rows_of(connection.execute(page)))
            for row in rows:
                self._date(row)
            write(connection, ("last_active_at",), rows)
        return key_of(rows[-1]) if rows else None

    def lock(self, wait: timedelta = WAIT) -> RunLock:
        """The lock of a run; LockedError after `wait` where another janitor holds it."""
        return RunLock(self._path, wait)

    def close(self) -> None:
        """Gives the files back; the registry is not usable afterwards."""
        with explained(self._path):
            self._engine.dispose()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_ID = select(META.c.value).where(META.c.key == "id")


def _known_id(connection: Connection) -> str:
    return str(connection.scalar(_ID))


def _refuse_foreign(path: Path) -> None:
    # Looked at without writing: another program's database must stay as it is.
    engine = reader(path)
    with explained(path), engine.connect() as connection, connection.begin():
        revision(connection, path)
    engine.dispose()
