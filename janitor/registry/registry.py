"""The registry as one: opening it, and everything it can be asked."""

from __future__ import annotations

from datetime import timedelta
from secrets import token_hex
from types import TracebackType
from uuid import uuid4

import orjson
from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from janitor.errors import ConfigError
from janitor.model import Key
from janitor.policy.screen import OPEN, Screen
from janitor.registry.approving import Approving
from janitor.registry.copies import Copies
from janitor.registry.database import Database, Lock
from janitor.registry.exporting import Exporting
from janitor.registry.feeding import Feeding
from janitor.registry.holding import Holding
from janitor.registry.holds import Holds
from janitor.registry.importing import Importing
from janitor.registry.inbox import Inbox
from janitor.registry.missing import Missing
from janitor.registry.pausing import Pausing
from janitor.registry.plans import KEY as KEY_OF_PLANS
from janitor.registry.plans import Plans
from janitor.registry.reading import KEY, Reading, beyond
from janitor.registry.remembering import Remembering
from janitor.registry.rows import key_of, rows_of
from janitor.registry.runs import Running
from janitor.registry.schema import migrate, require_current, revision
from janitor.registry.screening import Screening
from janitor.registry.sqlite import Sqlite
from janitor.registry.store import ID, PAGE, read_meta, write
from janitor.registry.sweeping import Sweeping
from janitor.registry.tables import THREAD

BUSY_TIMEOUT = timedelta(seconds=30)
WAIT = timedelta(seconds=30)
LEASE = timedelta(seconds=30)


class Registry(
    Inbox,
    Feeding,
    Importing,
    Reading,
    Exporting,
    Sweeping,
    Copies,
    Holding,
    Holds,
    Approving,
    Missing,
    Pausing,
    Plans,
    Running,
    Remembering,
    Screening,
):
    """What has been registered, and everything the janitor knows and did.

    Synchronous and thread-safe; no transaction is open between two calls, nor between two pages
    of an iterator. Failures of the database are StoreError (full, locked, damaged) or ConfigError
    (not a registry, not writable, of another version).
    """

    lease: timedelta | None
    """How long a claim stands unless it is renewed; `None`: as long as the run's lock is held."""

    @classmethod
    def open(
        cls,
        url: str,
        *,
        password: str | None = None,
        read_only: bool = False,
        create: bool = True,
        untrusted: frozenset[str] | None = frozenset(),
        screen: Screen | None = OPEN,
        busy_timeout: timedelta = BUSY_TIMEOUT,
        lease: timedelta = LEASE,
    ) -> Registry:
        """Opens the registry at an address; migrates its tables unless `read_only`.

        Where there is none it is made, unless `read_only` or not to `create`: then ConfigError.

        The address is `sqlite:///path`, whose file a reader leaves as it is, or
        `postgresql+psycopg://user@host/database`. `untrusted` names the projects whose reported
        times date nothing (`None`: those recorded last), `screen` what is stored of metadata, by
        which a writer brings over what is there (`None`: no metadata enters). A writer waits
        `busy_timeout` for another's turn. On PostgreSQL claims stand for `lease` and are to be
        renewed.
        """
        database = database_at(
            url, password, busy_timeout, lease, read_only=read_only, create=create
        )
        registry = cls(database, untrusted or frozenset())
        registry.lease = lease if database.has_leases else None
        try:
            if read_only:
                registry._check()
                registry._require_screen(screen)
            else:
                registry._migrate(trust_as_recorded=untrusted is None, create=create)
                registry._take_screen(screen)
            database.pin()
        except BaseException:
            registry.close()
            raise
        return registry

    def _check(self) -> None:
        with self._reading() as connection:
            require_current(revision(connection, self.name), self.name)
            self.id = _known_id(connection)

    def _migrate(self, *, trust_as_recorded: bool, create: bool) -> None:
        # Looked at without writing first: another program's database must stay as it is.
        with self._database.looking() as connection:
            found = None if connection is None else revision(connection, self.name)
        if found is None and not create:
            require_current(found, self.name)
        with self._writing_alone() as connection:
            migrate(connection, self.name)
            if read_meta(connection, ID) is None:
                self._set_meta(connection, ID, uuid4().hex)
            if not read_meta(connection, KEY_OF_PLANS):
                self._set_meta(connection, KEY_OF_PLANS, token_hex(32))
            self.id = _known_id(connection)
        recorded = frozenset(orjson.loads(self._meta("untrusted") or "[]"))
        if trust_as_recorded:
            self._untrusted = recorded
        else:
            self._date_anew(recorded)

    def _date_anew(self, before: frozenset[str]) -> None:
        # The column of effective activity orders keep_last groups; whom we trust is in it.
        if self._untrusted == before:
            return
        for project in sorted(self._untrusted ^ before):
            after: Key | None = None
            while after := self._date_page(project, after):
                pass
        with self._writing() as connection:
            self._set_meta(connection, "untrusted", orjson.dumps(sorted(self._untrusted)).decode())

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

    def lock(self, wait: timedelta = WAIT, *, shared: bool = False) -> Lock:
        """The lock of a run; LockedError after `wait` where another janitor holds it.

        Several janitors may hold it `shared`, to work one sweep together, where the engine lets
        them: PostgreSQL does, SQLite never.
        """
        return self._database.lock(wait, shared=shared)

    def opening(self, wait: timedelta) -> Lock:
        """The lock under which a sweep is opened, joined and closed; LockedError after `wait`."""
        return self._database.opening(wait)

    def syncing(self, wait: timedelta) -> Lock:
        """The lock under which sources are read; LockedError after `wait`."""
        return self._database.syncing(wait)

    def walking(self, name: str, wait: timedelta) -> Lock:
        """The lock under which the list of that name is walked; LockedError after `wait`."""
        return self._database.walking(name, wait)

    def working(self, run: str) -> Lock:
        """A mark that a living janitor works this run, from entering to leaving."""
        return self._database.working(run)

    def workers(self, run: str) -> int:
        """How many janitors work this run; 0 where the run's lock is nobody else's."""
        return self._database.workers(run)

    def close(self) -> None:
        """Gives files and connections back; the registry is not usable afterwards."""
        self._database.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _known_id(connection: Connection) -> str:
    return str(read_meta(connection, ID))


def database_at(
    url: str,
    password: str | None,
    wait: timedelta,
    lease: timedelta,
    *,
    read_only: bool,
    create: bool = True,
) -> Database:
    """The engine that an address names; ConfigError where there is none.

    A file is made where there is none, unless `read_only` or not to `create`.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its port is no number, for example
        raise ConfigError(
            "registry.url cannot be read: write sqlite:///janitor.db or "
            "postgresql+psycopg://user@host:5432/database"
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return Sqlite(parsed, read_only=read_only, busy_timeout=wait, create=create)
        case "postgresql":
            # Imported here: who keeps the registry in a file needs no driver of PostgreSQL.
            from janitor.registry.postgresql import Postgresql  # noqa: PLC0415

            try:
                return Postgresql(
                    parsed, password=password, read_only=read_only, wait=wait, lease=lease
                )
            except ArgumentError:
                raise ConfigError(
                    "registry.url: write several hosts as ?host=one,other&port=5432,5432"
                ) from None
        case other:
            raise ConfigError(f"registry.url: {other} is unknown: write sqlite:///janitor.db")
