"""What is said of a source that cannot be read is the cause, made real each time."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from application import CHATS, QUERY, of_address, of_file, read, write
from mounts import read_only
from postgres import Server
from scarce import few_files

from janitor.config import Source
from janitor.errors import AccessError, ConfigError, JanitorError, StoppedError
from janitor.registry import Registry
from janitor.sources.sql_reader import Foreign

GUESSES = ("check that it runs", "own shell", "longer than", "GRANT SELECT")
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT id, 'thread' AS kind, updated_at FROM chats, n WHERE updated_at > :watermark AND i < 0"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An application's file, as one that writes a log beside it leaves it."""
    made = tmp_path / "application" / "app.db"
    made.parent.mkdir()
    write(made, "PRAGMA journal_mode=WAL", CHATS.format(type="TEXT"))
    write(made, "INSERT INTO chats VALUES ('t', NULL, NULL, '2026-01-01 00:00:00')")
    return made


def told(source: Source, kind: type[JanitorError] = AccessError) -> str:
    with pytest.raises(kind) as caught, Foreign("chats", source.sql).look() as connection:
        connection.exec_driver_sql("SELECT * FROM chats").fetchall()
    assert str(caught.value).startswith("source chats: ")
    assert not any(guess in str(caught.value) for guess in GUESSES)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("spare", range(6))
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_too_many_open_files_are_told_as_that(
    path: Path, postgres: Server, app: str, engine: str, spare: int
) -> None:
    postgres.execute(CHATS.format(type="timestamptz"), app)
    source = of_file(path) if engine == "sqlite" else of_address(postgres.url(app))
    foreign = Foreign("chats", source.sql)
    said = ""
    with few_files(spare):
        try:
            with foreign.look() as connection:
                connection.exec_driver_sql("SELECT * FROM chats").fetchall()
        except AccessError as error:
            said = str(error)
    assert "Too many open files; raise the limit" in said or (spare and not said)
    assert not any(guess in said for guess in GUESSES)


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[..., object]], None]]:
    """A signal in the midst of what follows, and what its handler does."""
    before = signal.getsignal(signal.SIGALRM)

    def ring(handler: Callable[..., object]) -> None:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.5)

    yield ring
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_reading_that_a_signal_ends_took_not_too_long(
    path: Path, registry: Registry, alarm: Callable[[Callable[..., object]], None]
) -> None:
    source = of_file(path, ENDLESS)
    alarm(lambda *_: sys.exit(143))
    with pytest.raises(
        (StoppedError, SystemExit), match=r"source chats: stopped while it was read|143"
    ):
        read(registry, source)


def test_a_query_that_an_administrator_cancels_took_not_too_long(
    postgres: Server, app: str, registry: Registry
) -> None:
    postgres.execute(CHATS.format(type="timestamptz"), app)
    query = QUERY.replace("FROM chats", "FROM chats, pg_sleep(50)")
    postgres.execute("INSERT INTO chats VALUES ('t', NULL, NULL, now())", app)
    asked = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "  # noqa: S608 - a test's own
        f"WHERE datname = '{app}' AND wait_event = 'PgSleep'"
    )

    def cancel() -> None:
        while not postgres.execute(asked):
            pass

    other = Thread(target=cancel)
    other.start()
    with pytest.raises(AccessError, match="an administrator of its database cancelled the query"):
        read(registry, of_address(postgres.url(app), query))
    other.join()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_query_that_writes_is_told_as_that(
    path: Path, postgres: Server, app: str, engine: str
) -> None:
    source = of_file(path) if engine == "sqlite" else of_address(postgres.url(app))
    with (
        pytest.raises(ConfigError, match=r"the query fails: .*; correct sources\.chats\.sql$"),
        Foreign("chats", source.sql).look() as connection,
    ):
        connection.exec_driver_sql("CREATE TABLE other (id text)")


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("nowhere", "does not exist: create the database, or correct sources.chats.sql.url"),
        (
            "",
            (
                "does not allow this user to log in: correct sources.chats.sql.url, or create that "
                "role"
            ),
        ),
    ],
)
def test_who_is_not_let_in_is_told_why(
    postgres: Server, app: str, database: str, said: str
) -> None:
    url = postgres.url(database) if database else postgres.url(app, "nobody_here")
    assert told(of_address(url)).endswith(f"its database {said}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("foo=BAD", "its address: unknown parameter `foo`; remove it"),
        ("sslmode=BAD", "its address: invalid value for `sslmode`: write disable, "),
        ("connect_timeout=BAD", "its address: invalid value for `connect_timeout`"),
        ("service=BAD", "`service` in sources.chats.sql.url: no such service: correct it"),
        ("options=-c%20BAD", "`options` in sources.chats.sql.url: the server does not accept them"),
        ("target_session_attrs=standby", "in sources.chats.sql.url: no server is what it asks for"),
    ],
)
def test_a_parameter_of_an_address_that_is_wrong_is_named(
    postgres: Server, app: str, query: str, message: str
) -> None:
    said = refusal(of_address(f"{postgres.url(app)}&{query}"))
    assert message in said
    assert "BAD" not in said


def refusal(source: Source) -> str:
    with pytest.raises(ConfigError) as caught, Foreign("chats", source.sql).look():
        pass
    return str(caught.value)


@pytest.mark.parametrize("key", ["foo", "mode", "timeout"])
def test_a_parameter_of_a_file_that_is_wrong_is_named(path: Path, key: str) -> None:
    for good in ("", "?timeout=5&check_same_thread=false&mode=rwc"):
        with Foreign("chats", of_address(f"sqlite:///{path}{good}").sql).look():
            pass
    said = refusal(of_address(f"sqlite:///{path}?{key}=BAD"))
    assert f"`{key}`" in said
    assert "BAD" not in said


def test_a_variable_counts_where_an_address_says_nothing(
    postgres: Server, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = of_address(postgres.url(app))
    monkeypatch.setenv("PGSSLMODE", "BAD")
    assert refusal(source).startswith("source chats: invalid value for PGSSLMODE: write disable, ")
    monkeypatch.delenv("PGSSLMODE")
    monkeypatch.setenv("PGTZ", "BAD")
    with Foreign("chats", source.sql).look():
        pass


def test_a_name_that_nobody_knows_is_told_as_that() -> None:
    said = told(of_address("postgresql://u@nowhere.invalid/app"))
    assert "its host name cannot be resolved; check sources.chats.sql.url and the DNS" in said


def test_a_file_that_is_none_or_damaged_is_told_as_that(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(b"dear diary, " * 1000)
    assert "is not a SQLite database: correct sources.chats.sql.url" in told(of_file(path))
    path.write_bytes(whole[:4096] + b"\xff" * 4096)
    assert "is damaged: restore it" in told(of_file(path))
    path.unlink()
    assert told(of_file(path)).endswith("app.db does not exist; correct sources.chats.sql.url")


@pytest.mark.slow
def test_a_file_that_another_process_locks_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(path, CHATS.format(type="TEXT"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "stayed locked by another process for too long" in told(of_file(path))


def test_a_log_on_a_read_only_file_system_is_told_as_that(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("INSERT INTO chats VALUES ('u', NULL, NULL, NULL)")
        other.commit()
        copy = path.parent / "copy"
        shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns("*-shm"))
    with read_only(copy):
        said = told(of_file(copy / path.name))
    assert said.endswith(f"cannot be read: {copy}: Read-only file system; mount it writable")


OTHER = """
import os, sys
sys.path[:0] = sys.argv[2:]
from application import of_file
from janitor.errors import JanitorError
from janitor.sources.sql_reader import Foreign
source = of_file(sys.argv[1])
os.setgid(65534), os.setuid(65534)
try:
    with Foreign("chats", source.sql).look() as connection:
        connection.exec_driver_sql("SELECT * FROM chats").fetchall()
except JanitorError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("mode", "above", "said"),
    [
        (0o600, 0o777, "cannot be read: give this user read access to {path}"),
        (0o644, 0o755, "cannot be opened: let this user write to {path.parent}, where its log"),
    ],
)
def test_what_this_user_may_not_read_is_told_as_that(
    path: Path, mode: int, above: int, said: str
) -> None:
    directory = Path("/tmp") / f"janitor-source-{os.getpid()}"
    shutil.copytree(path.parent, directory)
    try:
        directory.chmod(above)
        (directory / path.name).chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", OTHER, str(directory / path.name), str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.format(path=directory / path.name) in done.stdout, done
    finally:
        shutil.rmtree(directory)
