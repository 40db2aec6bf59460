"""PostgreSQL's advisory locks: freed by the server when the session that holds them is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from sqlalchemy_dlock.lock.postgresql import PostgresqlSadLock

from janitor.errors import LockedError

if TYPE_CHECKING:
    from janitor.registry.database import Database

POLL = 0.1

_HOLDER = text(
    "SELECT coalesce(min(a.application_name), 'one that has just ended') FROM pg_locks AS l "
    "JOIN pg_stat_activity AS a USING (pid) WHERE l.locktype = 'advisory' AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND l.objsubid = 1 AND l.classid = CAST(:high AS oid) AND l.objid = CAST(:low AS oid)"
)


class AdvisoryLock:
    """A lock held from entering to leaving, in a session of its own.

    Entering waits up to `wait`, then raises LockedError naming a holder.
    """

    def __init__(
        self,
        database: Database,
        key: int,
        wait: timedelta,
        *,
        shared: bool = False,
        what: str = "the run",
    ) -> None:
        self._database = database
        self._key = key
        self._wait = wait
        self._shared = shared
        self._what = what
        self._session: Connection | None = None

    def __enter__(self) -> AdvisoryLock:
        with self._database.explained():
            session = self._database.engine.connect()
            try:
                self._acquire(session.execution_options(isolation_level="AUTOCOMMIT"))
            except BaseException:
                session.close()
                raise
        self._session = session
        return self

    def __exit__(self, *raised: object) -> None:
        if self._session is not None:
            # The lock ends with its session, also where that was lost.
            self._session.invalidate()
            self._session.close()
            self._session = None

    def _acquire(self, session: Connection) -> None:
        lock = PostgresqlSadLock(session, self._key, shared=self._shared)
        if lock.acquire(timeout=self._wait.total_seconds(), interval=POLL):
            return
        place = {"high": self._key >> 32, "low": self._key & 0xFFFFFFFF}
        holder = session.execute(_HOLDER, place).scalar_one()
        waited = f"waited {self._wait.total_seconds():g} s"
        raise LockedError(
            f"another janitor holds {self._what}: {holder} ({waited} "
            f"at {self._database.name}); wait for it, or give --wait more time"
        )
