"""The registry as a whole: opening, locking and closing it, and its parts.

Also migrating it to the schema that this program uses, when a person asks for it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex
from types import TracebackType
from uuid import uuid4

import orjson
from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from janitor.addresses import NUL, holds_nul
from janitor.errors import ConfigError
from janitor.model import Key
from janitor.policy.stored_metadata import OPEN, MetadataFilter
from janitor.registry.claims import Claims
from janitor.registry.copies import Copies
from janitor.registry.database import (
    ID,
    PAGE,
    Database,
    Lock,
    Store,
    Tell,
    read_meta,
    set_meta,
    tell_nobody,
    write,
)
from janitor.registry.holds import Holds
from janitor.registry.inbox import Inbox
from janitor.registry.key_values import KeyValues
from janitor.registry.mapping import key_of, rows_of
from janitor.registry.migrate import REVISION, migrate, require_current, revision
from janitor.registry.pauses import Pauses
from janitor.registry.plans import KEY as KEY_OF_PLANS
from janitor.registry.plans import Plans
from janitor.registry.policies import StoredPolicies
from janitor.registry.registrations import Registrations
from janitor.registry.restrictions import RestrictionReader
from janitor.registry.runs import Runs
from janitor.registry.scans import Scans
from janitor.registry.settlements import Settlements
from janitor.registry.sqlite import Sqlite
from janitor.registry.stored_metadata import StoredMetadata
from janitor.registry.tables import THREAD
from janitor.registry.threads import KEY, ThreadQueries, beyond

BUSY_TIMEOUT = timedelta(seconds=30)
WAIT = timedelta(seconds=30)
LEASE = timedelta(seconds=30)


class Registry:
    """All registered threads, and everything that janitor knows and has done.

    Opens, locks and closes; queries and writes are in its parts, each in the file named after it.
    Synchronous and thread-safe; no transaction is open between two calls, nor
    between two pages of an iterator. Failures of the database are StoreError (full, locked,
    damaged) or ConfigError (not a registry, not writable, of another version).
    """

    lease: timedelta | None
    """How long a claim is valid unless it is renewed; `None`: while the run's lock is held."""

    def __init__(self, store: Store, lease: timedelta | None) -> None:
        self.store = store
        self.lease = lease
        # How threads enter.
        self.registrations = Registrations(store)
        self.inbox = Inbox(store, self.registrations)
        self.scans = Scans(store, self.registrations)
        # What is known of them, and a sweep's way through them.
        self.threads = ThreadQueries(store)
        self.claims = Claims(store)
        self.settlements = Settlements(store)
        self.copies = Copies(store)
        # What people ordered.
        self.policies = StoredPolicies(store)
        self.plans = Plans(store)
        self.holds = Holds(store)
        self.pauses = Pauses(store)
        # What was done, and what is kept for the next time.
        self.runs = Runs(store)
        self.key_values = KeyValues(store)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        password: str | None = None,
        read_only: bool = False,
        create: bool = True,
        untrusted: frozenset[str] | None = frozenset(),
        screen: MetadataFilter | None = OPEN,
        busy_timeout: timedelta = BUSY_TIMEOUT,
        lease: timedelta = LEASE,
    ) -> Registry:
        """Opens the registry at an address; migrates its tables unless `read_only`.

        A missing registry is created, unless `read_only` or `create=False`: then ConfigError.

        The address is `sqlite:///path`, whose file a reader leaves as it is, or
        `postgresql+psycopg://user@host/database`. `untrusted` names the projects whose reported
        times are not used to date activity (`None`: those recorded last). `screen` is the metadata
        filter, which a writer also applies to what is stored already (`None`: the one recorded
        last; if that hashes, no metadata enters). A writer waits up to `busy_timeout` for another.
        On PostgreSQL claims are valid for `lease` and must be renewed.
        """
        database = database_at(
            url, password, busy_timeout, lease, read_only=read_only, create=create
        )
        store = Store(database, untrusted or frozenset())
        try:
            if read_only:
                _check(store)
                StoredMetadata(store).require(screen)
            else:
                _migrate(store, trust_as_recorded=untrusted is None, create=create)
                StoredMetadata(store).take(screen)
            database.pin()
        except BaseException:
            database.close()
            raise
        return cls(store, lease if database.has_leases else None)

    @property
    def id(self) -> str:
        """An id that no other registry has."""
        return self.store.id

    @property
    def name(self) -> str:
        """The database's name in messages: its file or its address, without a password."""
        return self.store.name

    @property
    def screen(self) -> MetadataFilter:
        """The metadata filter; ConfigError if the registry was opened without one."""
        return self.store.screen

    def restrictions(self, inputs: str) -> RestrictionReader:
        """A reader of holds, pauses and what is remembered of inputs under that name.

        It keeps what it has read while that stands, so take one for each run.
        """
        return RestrictionReader(self.store, inputs)

    def check_in_place(self, run: str | None = None) -> None:
        """Checks that the address still leads to the registry that was opened.

        It looks as a new process would. `run` must be in the registry (by default, the run opened
        last by this process); if it is not, an older state has been restored.

        Raises:
            StoreError: It does not; the message says what to do.
        """
        self.store.check_in_place(run)

    def lock(
        self, wait: timedelta = WAIT, *, shared: bool = False, tell: Tell = tell_nobody
    ) -> Lock:
        """The run's lock; LockedError if another janitor still holds it after `wait`.

        Several janitors may hold it `shared`, to work on one sweep together, if the engine allows
        it: PostgreSQL does, SQLite never. `tell` is called with the holder if it is waited for.
        """
        return self.store.database.lock(wait, shared=shared, tell=tell)

    def opening(self, wait: timedelta) -> Lock:
        """The lock under which a sweep is opened, joined and closed; LockedError after `wait`."""
        return self.store.database.opening(wait)

    def syncing(self, wait: timedelta, tell: Tell = tell_nobody) -> Lock:
        """The lock under which sources are read; LockedError after `wait`. `tell` as for `lock`."""
        return self.store.database.syncing(wait, tell)

    def walking(self, name: str, wait: timedelta) -> Lock:
        """The lock under which the list of that name is walked; LockedError after `wait`."""
        return self.store.database.walking(name, wait)

    def working(self, run: str) -> Lock:
        """A mark, while entered, that a living janitor works on this run."""
        return self.store.database.working(run)

    def workers(self, run: str) -> int:
        """How many janitors work on this run; always 0 if the run's lock cannot be shared."""
        return self.store.database.workers(run)

    def at_once(self) -> AbstractContextManager[None]:
        """Let all that this thread reads in the block be one transaction."""
        return self.store.at_once()

    def close(self) -> None:
        """Releases files and connections; the registry is not usable afterwards."""
        self.store.database.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check(store: Store) -> None:
    with store.reading() as connection:
        require_current(revision(connection, store.name), store.name)
        store.id = _known_id(connection)


def _migrate(store: Store, *, trust_as_recorded: bool, create: bool) -> None:
    # Look without writing first: another program's database must stay as it is.
    with store.database.looking() as connection:
        found = None if connection is None else revision(connection, store.name)
    if found is None and not create:
        require_current(found, store.name)
    with store.writing_alone() as connection:
        migrate(connection, store.name)
        if read_meta(connection, ID) is None:
            set_meta(connection, ID, uuid4().hex)
        if not read_meta(connection, KEY_OF_PLANS):
            set_meta(connection, KEY_OF_PLANS, token_hex(32))
        store.id = _known_id(connection)
    recorded = frozenset(orjson.loads(store.meta("untrusted") or "[]"))
    if trust_as_recorded:
        store.untrusted = recorded
    else:
        _date_anew(store, recorded)


def _date_anew(store: Store, before: frozenset[str]) -> None:
    # `last_active_at` orders keep_last groups, and depends on which projects are trusted.
    if store.untrusted == before:
        return
    for project in sorted(store.untrusted ^ before):
        after: Key | None = None
        while after := _date_page(store, project, after):
            pass
    with store.writing() as connection:
        set_meta(connection, "untrusted", orjson.dumps(sorted(store.untrusted)).decode())


def _date_page(store: Store, project: str, after: Key | None) -> Key | None:
    statement = select(THREAD).where(THREAD.c.project == project)
    if after is not None:
        statement = statement.where(beyond(after))
    page = statement.order_by(*KEY).limit(PAGE)
    with store.writing() as connection:
        rows = list(rows_of(connection.execute(page)))
        for row in rows:
            store.date(row)
        write(connection, ("last_active_at",), rows)
    return key_of(rows[-1]) if rows else None


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
    """The database at an address; ConfigError if the address names no known engine.

    A missing file is created, unless `read_only` or `create=False`.
    """
    if holds_nul(url):
        raise ConfigError(f"registry.url {NUL}")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the port is not a number, for example
        raise ConfigError(
            "registry.url cannot be read: write sqlite:///janitor.db or "
            "postgresql+psycopg://user@host:5432/database"
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return Sqlite(parsed, read_only=read_only, busy_timeout=wait, create=create)
        case "postgresql":
            # Imported here: a registry in a file needs no PostgreSQL driver.
            from janitor.registry.postgres import Postgresql  # noqa: PLC0415

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


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What was upgraded: the database's name, the schema it had (`None`: none), and has now."""

    name: str
    found: str | None
    now: str


def upgrade(url: str, *, password: str | None = None, wait: timedelta = WAIT) -> Upgrade:
    """Migrates the registry at an address while no run is active, or creates it if empty.

    Raises:
        ConfigError: The database is another program's or has a newer schema; it stays as it is.
        LockedError: The run's lock was not free within `wait`.
        StoreError: The database is full, locked or damaged.
    """
    database = database_at(url, password, BUSY_TIMEOUT, LEASE, read_only=False)
    try:
        _found(database)  # another program's database does not even get a lock
        with database.lock(wait, shared=False):
            found = _found(database)
            # Opened without a configuration, it trusts the same projects as before.
            Registry.open(url, password=password, untrusted=None, screen=None).close()
    finally:
        database.close()
    return Upgrade(database.name, found, REVISION)


def _found(database: Database) -> str | None:
    with database.looking() as connection:
        return None if connection is None else revision(connection, database.name)
