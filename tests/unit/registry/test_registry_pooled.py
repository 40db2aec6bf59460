"""A pooler between janitor and PostgreSQL: one that keeps sessions serves, any other is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event, Thread

import psycopg
import pytest
from pgbouncer import Pooler, pooled
from postgres import Server
from test_registry_postgresql import HOLDS

from janitor.errors import LockedError, StoreError
from janitor.model import Key, Kind, NoticeEvent
from janitor.registry import Registration, Registry, upgrade
from janitor.tracking.inbox import PostgresInbox
from janitor.tracking.notices import Notice

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
SOON = timedelta(seconds=10)
DEADLINE = 240.0


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    with postgres.database() as name:
        yield name


@pytest.fixture
def session(postgres: Server) -> Iterator[Pooler]:
    with pooled(postgres, "session") as pooler:
        yield pooler


def opened(url: str, *, read_only: bool = False) -> None:
    """Open it, and close it even where it should have been refused."""
    Registry.open(url, read_only=read_only).close()


def await_no_lock(postgres: Server, database: str) -> None:
    """A session that was closed may end a moment later; then no lock stays behind."""
    deadline = time.monotonic() + DEADLINE
    while postgres.execute(LOCKS, database) != [(0,)]:
        assert time.monotonic() < deadline, "a lock stays behind"
        time.sleep(0.01)


OPENINGS: list[Callable[[str], object]] = [opened, partial(opened, read_only=True), upgrade]


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("opening", OPENINGS)
def test_a_pooler_that_keeps_no_session_is_refused(
    postgres: Server, database: str, mode: str, opening: Callable[[str], object]
) -> None:
    Registry.open(postgres.url(database)).close()
    with pooled(postgres, mode) as pooler:
        with pytest.raises(StoreError, match=f"pooler in {mode} mode.*pool_mode = session") as told:
            opening(pooler.url(database))
        assert told.value.exit_code == 3
    await_no_lock(postgres, database)


@pytest.mark.parametrize("round_robin", [False, True])
def test_a_pool_with_many_idle_sessions_is_refused(
    postgres: Server, database: str, *, round_robin: bool
) -> None:
    with pooled(postgres, "transaction", round_robin=round_robin) as pooler:
        address = f"host={pooler.directory} port=6432 user=postgres dbname={database}"
        with ExitStack() as stack:
            for _ in range(4):  # at once, so that each has a session of its own
                stack.enter_context(psycopg.connect(address)).execute("SELECT 1")
        with pytest.raises(StoreError, match=r"transaction mode|mixes up sessions"):
            Registry.open(pooler.url(database)).close()


def test_a_pool_that_others_use_meanwhile_is_refused(postgres: Server, database: str) -> None:
    done = Event()

    def use(pooler: Pooler) -> None:
        address = f"host={pooler.directory} port=6432 user=postgres dbname={database}"
        with psycopg.connect(address, autocommit=True, prepare_threshold=None) as other:
            while not done.is_set():
                other.execute("SELECT 1")

    with pooled(postgres, "transaction") as pooler:
        others = [Thread(target=use, args=(pooler,)) for _ in range(2)]
        for other in others:
            other.start()
        try:
            for _ in range(5):
                with pytest.raises(StoreError, match=r"transaction mode|mixes up sessions"):
                    Registry.open(pooler.url(database)).close()
        finally:
            done.set()
            for other in others:
                other.join()


def test_a_pooler_in_session_mode_serves_as_the_server_does(session: Pooler, database: str) -> None:
    url = session.url(database)
    with Registry.open(url) as registry, Registry.open(url) as other:
        key = Key("main", Kind.THREAD, "t")
        for _ in range(8):  # more often than the driver prepares a statement
            registry.registrations.add([Registration(key)], NOW)
            assert other.threads.get(key) is not None
        with (
            registry.lock(SOON),
            pytest.raises(LockedError, match="another janitor holds the run"),
            other.lock(timedelta(0)),
        ):
            pass
        with other.lock(SOON), registry.store.reading() as connection:
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "30s"


def test_behind_a_pooler_in_session_mode_the_dead_hold_nothing(
    session: Pooler, database: str
) -> None:
    url = session.url(database)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    with Registry.open(url) as registry, registry.lock(SOON):
        pass


def test_the_server_itself_is_connected_to_once(
    postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, made = psycopg.connect, []

    def counted(*arguments: object, **named: object) -> object:
        made.append(named)
        return connect(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(psycopg, "connect", counted)
    Registry.open(postgres.url(database)).close()
    assert len(made) == 1


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_an_application_tells_its_threads_through_a_pooler_in_any_mode(
    postgres: Server, database: str, mode: str
) -> None:
    with Registry.open(postgres.url(database)) as registry, pooled(postgres, mode) as pooler:
        url = pooler.url(database).replace("+psycopg", "")
        for number in range(3):  # each from a session that the one before had
            told = [
                Notice("main", Kind.THREAD, f"t{number}-{n}", NOW, NoticeEvent.REGISTER)
                for n in range(9)
            ]
            PostgresInbox(url).add(told)
        assert registry.inbox.undrained() == 27
