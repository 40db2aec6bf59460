"""What only PostgreSQL does: it is reached over a network, refuses, and is shared."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from uuid import uuid4

import psycopg
import pytest
from mounts import fill_up, tmpfs
from pgbouncer import a_free_port, pooled
from postgres import GUARDED, Server
from scarce import few_files
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from janitor.errors import ConfigError, JanitorError, LockedError, StoreError
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry
from janitor.registry.postgres import AdvisoryLock, explanation

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Key("main", Kind.THREAD, "t")
SECRET = "hunter2-hunter2"  # noqa: S105 - a test's own
HOLDS = """
import sys
from datetime import timedelta
from janitor.registry import Registry
with Registry.open(sys.argv[1]) as registry, registry.lock(timedelta(0)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def guarded(postgres: Server) -> Iterator[str]:
    """An address at which a password is asked for."""
    postgres.execute(
        f"DO $$ BEGIN CREATE ROLE {GUARDED} LOGIN PASSWORD '{SECRET}'; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    with postgres.database() as name:
        postgres.execute(f"GRANT ALL ON SCHEMA public TO {GUARDED}", name)
        yield postgres.url(name, GUARDED)


def test_a_password_is_asked_for_and_never_told(guarded: str) -> None:
    with Registry.open(guarded, password=SECRET) as registry:
        registry.registrations.add([Registration(KEY)], NOW)
    for wrong in ("wrong-" + SECRET, None):
        with pytest.raises(
            ConfigError, match=r"refused this user or password.*registry\.password"
        ) as caught:
            Registry.open(guarded, password=wrong).close()
        assert SECRET not in str(caught.value)


def test_an_empty_password_is_none(url: str, guarded: str) -> None:
    with Registry.open(url.replace("postgres@", "postgres:@", 1)) as registry:
        registry.registrations.add([Registration(KEY)], NOW)
        assert registry.name.startswith("postgresql+psycopg:///")
    with Registry.open(guarded.replace("@", ":@", 1), password=SECRET) as registry:
        assert SECRET not in registry.name


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("postgresql+psycopg://u@127.0.0.1:1/d", StoreError, "d cannot be reached: check that"),
        ("postgresql+psycopg://u@/ssl?host=/role", StoreError, "cannot be reached: check that"),
        (
            "postgresql+psycopg://u@nowhere.invalid/d",
            StoreError,
            "its host name cannot be resolved",
        ),
        ("postgresql+psycopg://u:p@h/d", ConfigError, "must not contain a password"),
        ("postgresql+psycopg://u@h", ConfigError, "the database name is missing"),
        ("postgresql://u@h/d", ConfigError, r"write postgresql\+psycopg://"),
    ],
)
def test_an_address_that_leads_nowhere(url: str, kind: type[JanitorError], message: str) -> None:
    with pytest.raises(kind, match=message):
        Registry.open(url, password=SECRET).close()


def test_a_missing_database_and_an_empty_one(postgres: Server, url: str) -> None:
    with pytest.raises(ConfigError, match="does not exist: create the database"):
        Registry.open(postgres.url(f"no{uuid4().hex}")).close()
    with pytest.raises(ConfigError, match="janitor import"):
        Registry.open(url, read_only=True).close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_store_every_language_is_refused(
    postgres: Server, url: str, encoding: str
) -> None:
    name = f"t{uuid4().hex}"
    template = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    postgres.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' {template}")
    try:
        for read_only in (False, True):
            with pytest.raises(ConfigError, match=f"stores text in {encoding}.*ENCODING 'UTF8'"):
                Registry.open(postgres.url(name), read_only=read_only).close()
    finally:
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_tables_of_an_application_may_be_there_but_not_in_our_place(
    postgres: Server, url: str
) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    postgres.execute("CREATE TABLE chat (id text)", name)
    Registry.open(url).close()
    with postgres.database() as other:
        postgres.execute("CREATE TABLE run (id text)", other)
        with pytest.raises(ConfigError, match=r"another program \(run\).* a schema of its own"):
            Registry.open(postgres.url(other)).close()
        role = f"janitor_{other}"
        postgres.execute(f"CREATE ROLE {role} LOGIN", other)
        postgres.execute(f"CREATE SCHEMA janitor AUTHORIZATION {role}", other)
        postgres.execute(f"ALTER ROLE {role} IN DATABASE {other} SET search_path = janitor", other)
        Registry.open(postgres.url(other, role)).close()
        asked = "SELECT table_schema FROM information_schema.tables WHERE table_name = 'run'"
        assert sorted(postgres.execute(asked, other)) == [("janitor",), ("public",)]
        postgres.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", other)


@pytest.fixture
def roled(postgres: Server) -> Iterator[tuple[str, Callable[[str], None]]]:
    """An address of a role of its own, and what sets its search_path."""
    with postgres.database() as name:
        role = f"role_{name}"
        postgres.execute(f"CREATE ROLE {role} LOGIN")
        postgres.execute(f"CREATE SCHEMA mine AUTHORIZATION {role}", name)
        postgres.execute("CREATE SCHEMA theirs", name)
        postgres.execute(f"GRANT USAGE ON SCHEMA theirs TO {role}", name)

        def lead(path: str) -> None:
            postgres.execute(f"ALTER ROLE {role} IN DATABASE {name} SET search_path = {path}")

        yield postgres.url(name, role), lead
        postgres.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", name)


LEADS_NOWHERE = {
    "nosuch": "search_path (nosuch) names no existing schema that role_",
    "''": "search_path is empty: CREATE SCHEMA",
    "'$user'": 'search_path ("$user") names no existing schema',
}


@pytest.mark.parametrize("path", LEADS_NOWHERE)
def test_a_search_path_that_leads_nowhere_is_told_as_that(
    roled: tuple[str, Callable[[str], None]], path: str
) -> None:
    url, lead = roled
    lead("mine")
    Registry.open(url).close()
    lead(path)
    for read_only in (False, True):
        with pytest.raises(ConfigError) as told:
            Registry.open(url, read_only=read_only).close()
        assert LEADS_NOWHERE[path] in str(told.value)
        assert "or correct search_path where it is set: for the role" in str(told.value)
    lead("mine")
    Registry.open(url, read_only=True).close()


def test_a_schema_in_which_nothing_may_be_made_is_told_as_that(
    roled: tuple[str, Callable[[str], None]],
) -> None:
    url, lead = roled
    for path in ("theirs", "nosuch, theirs, mine"):
        lead(path)
        with pytest.raises(
            ConfigError, match="may not create tables in the schema theirs, the first"
        ):
            Registry.open(url).close()
    for path in ("pg_temp", "pg_catalog, mine"):
        lead(path)
        with pytest.raises(ConfigError, match=r"begins with pg_.*, which is PostgreSQL's own"):
            Registry.open(url).close()
    with pytest.raises(ConfigError, match=r"search_path \(nosuch\) names no existing schema"):
        Registry.open(f"{url}&options=-c%20search_path%3Dnosuch").close()


def test_a_server_without_tls_is_told_as_that(postgres: Server, url: str) -> None:
    database = url.partition("@/")[2].partition("?")[0]
    with pooled(postgres, "session", port=(port := a_free_port())):
        address = f"postgresql+psycopg://postgres@127.0.0.1:{port}/{database}"
        with pytest.raises(ConfigError, match="cannot be reached over TLS: check sslmode"):
            Registry.open(f"{address}?sslmode=require").close()
        Registry.open(address).close()


def test_who_may_not_come_in_is_told_why(postgres: Server, url: str) -> None:
    database = url.partition("@/")[2].partition("?")[0]
    role = f"role_{database}"

    def told(*statements: str) -> str:
        for statement in statements:
            postgres.execute(statement)
        with pytest.raises(JanitorError) as raised:
            Registry.open(postgres.url(database, role)).close()
        return str(raised.value)

    assert "does not allow this user to log in: correct registry.url" in told()
    assert "does not allow this user to log in" in told(f"CREATE ROLE {role}")
    told_of_limit = told(f"ALTER ROLE {role} LOGIN CONNECTION LIMIT 0")
    assert "has no connection left for this user" in told_of_limit
    postgres.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    no_right = told(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    assert "may not be used by this user: grant the missing rights" in no_right
    postgres.execute(f"GRANT CONNECT ON DATABASE {database} TO PUBLIC")
    assert "may not create tables in the schema public" in told(), "it may come in"
    closed = told(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    assert "takes no connections: ALTER DATABASE" in closed
    postgres.execute(f"DROP ROLE {role}")


@pytest.mark.slow
@pytest.mark.parametrize("spare", range(8))
def test_too_many_open_files_are_told_as_that(url: str, spare: int) -> None:
    Registry.open(url).close()
    with few_files(spare):
        try:
            Registry.open(url, read_only=True).close()
        except StoreError as error:
            told = str(error)
        else:
            told = ""
    assert told.endswith(
        "raise the limit of this process (`ulimit -n`, LimitNOFILE= of its unit)"
    ) or (spare > 1 and not told)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT pg_cancel_backend(pg_backend_pid())", "cancelled a statement.*an administrator"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "an administrator ended this session"),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(9)", "or a statement_timeout"),
    ],
)
def test_what_an_administrator_ends_is_told_as_that(
    registry: Registry, statement: str, message: str
) -> None:
    with pytest.raises(StoreError, match=message), registry.store.reading() as connection:
        connection.exec_driver_sql(statement)
    assert registry.threads.states() == {}


@pytest.fixture
def small(postgres: Server) -> Iterator[Path]:
    """A small disk of the server's own."""
    owner = postgres.directory.stat()
    with TemporaryDirectory(prefix="janitor-small-") as made:
        Path(made).chmod(0o755)
        with tmpfs(Path(made) / "disk", "20m") as directory:
            os.chown(directory, owner.st_uid, owner.st_gid)
            yield directory


def test_a_full_disk_of_the_server_is_told_as_that(postgres: Server, small: Path) -> None:
    with postgres.database() as name:
        postgres.execute(f"CREATE TABLESPACE {name} LOCATION '{small}'")
        try:
            postgres.execute(f"ALTER DATABASE {name} SET TABLESPACE {name}")
            with Registry.open(postgres.url(name)) as registry:
                many = [Registration(Key("main", Kind.THREAD, f"t{n}")) for n in range(500)]
                filler = fill_up(small)
                with pytest.raises(StoreError, match="cannot grow: its disk is full"):
                    registry.registrations.add(many, NOW)
                assert registry.threads.states() == {}
                filler.unlink()
        finally:
            postgres.execute(f"ALTER DATABASE {name} SET TABLESPACE pg_default")
            postgres.execute(f"DROP TABLESPACE {name}")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (psycopg.errors.OutOfMemory, StoreError, "ran out of memory at its server"),
        (psycopg.errors.CannotConnectNow, StoreError, "is starting, shutting down or recovering"),
        (psycopg.errors.DataCorrupted, StoreError, "is damaged: restore it from a backup"),
        (psycopg.errors.DuplicatePreparedStatement, StoreError, "is behind a pooler that mixes"),
        (psycopg.errors.InvalidSqlStatementName, StoreError, "is behind a pooler that mixes"),
        (psycopg.errors.IoError, StoreError, "reports a system error"),
        (psycopg.errors.DiskFull, StoreError, "disk is full"),
        (psycopg.errors.TooManyConnections, StoreError, "max_connections"),
        (psycopg.errors.LockNotAvailable, StoreError, "stayed locked"),
        (psycopg.errors.DeadlockDetected, StoreError, "try again"),
        (psycopg.errors.AdminShutdown, StoreError, "shut down"),
        (psycopg.errors.InsufficientPrivilege, ConfigError, "grant"),
        (psycopg.errors.ReadOnlySqlTransaction, ConfigError, "is not writable"),
        (psycopg.errors.DivisionByZero, StoreError, r"DivisionByZero \(22012\)"),
    ],
)
def test_a_failure_says_what_to_do(
    error: type[psycopg.Error], kind: type[JanitorError], message: str
) -> None:
    failed = DBAPIError("INSERT secret", {"password": SECRET}, error("secret row"))
    explained = explanation(failed, "db", make_url("postgresql+psycopg://u@h/d"))
    assert type(explained) is kind
    with pytest.raises(kind, match=message):
        raise explained
    assert "secret" not in str(explained)


def end_session(registry: Registry, postgres: Server) -> None:
    with registry.store.reading() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        postgres.execute(f"SELECT pg_terminate_backend({pid})")
        connection.exec_driver_sql("SELECT 1")


def test_a_server_that_goes_away_is_a_failure_of_the_store(postgres: Server, url: str) -> None:
    with Registry.open(url) as registry:
        with pytest.raises(StoreError, match="run it again"):
            end_session(registry, postgres)
        assert registry.threads.states() == {}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("synchronous_commit", "on"), ("timezone", "UTC"), ("default_transaction_read_only", "off")],
)
def test_a_session_is_set_to_be_durable(registry: Registry, setting: str, value: str) -> None:
    with registry.store.reading() as connection:
        assert connection.exec_driver_sql(f"SHOW {setting}").scalar() == value


def test_an_encoding_of_the_environment_is_not_taken(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with Registry.open(url) as registry:
        registry.registrations.add([Registration(KEY, metadata={"who": "José 😀"})], NOW)
        (entry,) = registry.threads.select()
    assert entry.thread.reported == {"who": "José 😀"}


def test_sweeps_share_the_run_and_others_have_it_alone(registry: Registry, url: str) -> None:
    wait = timedelta(0)
    with Registry.open(url) as other:
        with registry.lock(wait, shared=True), other.lock(wait, shared=True):
            with pytest.raises(LockedError, match=f"janitor {os.getpid()} on"), other.lock(wait):
                pass
            with registry.working("f" * 32), other.working("f" * 32):
                assert (other.workers("f" * 32), other.workers("e" * 32)) == (2, 0)
        with (
            registry.lock(wait),
            pytest.raises(LockedError, match="pass a longer --wait"),
            other.lock(wait, shared=True),
        ):
            pass
        with other.lock(wait):
            pass


def test_the_dead_hold_nothing(registry: Registry, url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(LockedError, match=f"janitor {holder.pid} on"),
            registry.lock(timedelta(0)),
        ):
            pass
        holder.kill()
    with registry.lock(timedelta(seconds=10)):
        pass


def test_two_that_open_at_once_migrate_once(url: str) -> None:
    ids: list[str] = []

    def open_one() -> None:
        with Registry.open(url) as registry:
            ids.append(registry.id)

    threads = [Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1


def test_writers_that_meet_lose_nothing(url: str) -> None:
    keys = [Key("main", Kind.THREAD, f"t{n}") for n in range(60)]

    def register(said: list[Key]) -> None:
        with Registry.open(url) as registry:
            for _ in range(3):
                registry.registrations.add([Registration(key) for key in said], NOW)
                registry.settlements.reschedule([(key, NOW, "p", NOW) for key in said])
                registry.settlements.reschedule([(key, NOW, "q", NOW) for key in said])

    threads = [Thread(target=register, args=(said,)) for said in (keys, keys[::-1], keys[20:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Registry.open(url) as registry:
        assert (
            sum(registry.threads.states().values())
            == len(keys)
            == sum(registry.threads.population().values())
        )


def test_hosts_in_a_form_that_the_driver_refuses_are_named() -> None:
    with pytest.raises(ConfigError, match=r"registry\.url: write several hosts as"):
        Registry.open("postgresql+psycopg://u@127.0.0.1:1/db?host=a&host=b&port=5432").close()


def test_an_interrupt_right_after_a_lock_was_granted_leaves_it_nowhere(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = AdvisoryLock._acquire

    def interrupted(lock: AdvisoryLock, session: Connection) -> None:
        acquire(lock, session)
        raise KeyboardInterrupt

    with Registry.open(url) as one, Registry.open(url) as other:
        with monkeypatch.context() as patch:
            patch.setattr(AdvisoryLock, "_acquire", interrupted)
            with pytest.raises(KeyboardInterrupt), one.lock(timedelta()):
                raise AssertionError("the lock was handed out")
        with other.lock(timedelta(seconds=60)):  # the server takes a while to end a session
            pass
