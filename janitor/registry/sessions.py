"""PostgreSQL's sessions: what each is set to, and that nothing in between takes that away.

Locks, marks and settings belong to a session. A pooler in transaction or statement mode gives each
transaction another session, so locks stay behind in its pool and nobody ever frees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.pool import ConnectionPoolEntry

from janitor.errors import StoreError

ROUNDS = 10
"""So often two sessions are compared: each may keep its own by chance where others are busy."""
NOT_ALLOWED = "08P01"  # a protocol violation: what a pooler answers to BEGIN in statement mode
_PID = "SELECT pg_backend_pid()"


class Sessions:
    """Sets each session that an engine opens; StoreError where a pooler does not keep it."""

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        self._name = name
        self._values = [part for setting in settings.items() for part in setting]
        calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
        self._set = f"SELECT pg_backend_pid(), {calls}"
        self._is_kept = False

    def serve(self, engine: Engine) -> None:
        """Open all sessions of this engine from now on."""
        event.listen(engine, "do_connect", self._connect)

    def _connect(
        self,
        dialect: Dialect,
        _: ConnectionPoolEntry,
        arguments: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:  # noqa: ANN401  the driver's connection
        session: Any = dialect.connect(*arguments, **named)
        try:
            with _committing(session):
                pid = session.execute(self._set, self._values).fetchone()[0]
                # Whoever connects is told the session's number by what it connects to: a pooler
                # makes one up.
                if pid != session.info.backend_pid and not self._is_kept:
                    with closing(dialect.connect(*arguments, **named)) as other:
                        self._require_kept(session, other, pid)
            self._is_kept = True
        except BaseException:
            session.close()
            raise
        return session

    def _require_kept(self, session: Any, other: Any, pid: int) -> None:  # noqa: ANN401  likewise
        """StoreError where `other` is given our session, or we are given another one."""
        for _ in range(ROUNDS):
            theirs = self._begun(other)
            ours = session.execute(_PID).fetchone()[0]
            other.rollback()
            if ours != pid or theirs == pid:
                raise self._refusal("transaction")

    def _begun(self, other: Any) -> int:  # noqa: ANN401  likewise
        """The session of a transaction that stays open."""
        from psycopg import Error  # noqa: PLC0415  an extra

        try:
            pid: int = other.execute(_PID).fetchone()[0]
        except Error as error:
            if error.sqlstate == NOT_ALLOWED:
                raise self._refusal("statement") from None
            raise
        return pid

    def _refusal(self, mode: str) -> StoreError:
        return StoreError(
            f"{self._name} is a connection pooler in {mode} mode, which does not keep a session: "
            "janitor's locks would stay behind in its pool. Point registry.url at the server "
            "itself, or at a pool with pool_mode = session (docs/operations.md)"
        )


@contextmanager
def _committing(session: Any) -> Iterator[None]:  # noqa: ANN401  likewise
    """Each statement by itself, so that what is set outlives it at the price of one round trip."""
    session.autocommit = True
    yield
    session.autocommit = False
