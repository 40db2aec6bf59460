"""Bringing a registry to the schema that this program speaks, when a person asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from janitor.registry.database import Database
from janitor.registry.registry import BUSY_TIMEOUT, LEASE, WAIT, Registry, database_at
from janitor.registry.schema import REVISION, revision


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What was upgraded: the database's name, the schema it had (`None`: nothing), and has now."""

    name: str
    found: str | None
    now: str


def upgrade(url: str, *, password: str | None = None, wait: timedelta = WAIT) -> Upgrade:
    """Migrates the registry at an address while no run goes on; an empty database is filled.

    Raises:
        ConfigError: It is another program's database, or of a newer schema; it stays as it is.
        LockedError: `wait` was over before the run's lock was free.
        StoreError: It is full, locked or damaged.
    """
    database = database_at(url, password, BUSY_TIMEOUT, LEASE, read_only=False)
    try:
        _found(database)  # what is not ours gets not even a lock
        with database.lock(wait, shared=False):
            found = _found(database)
            # Opened by a program that knows no configuration, it trusts as it did before.
            Registry.open(url, password=password, untrusted=None, screen=None).close()
    finally:
        database.close()
    return Upgrade(database.name, found, REVISION)


def _found(database: Database) -> str | None:
    with database.looking() as connection:
        return None if connection is None else revision(connection, database.name)
