"""What a registry in a file says when it fails is the cause, made real each time."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from mounts import fill_up, read_only, tmpfs
from scarce import few_files, small_files

from janitor.errors import ConfigError, JanitorError, StoreError
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Key("main", Kind.THREAD, "t")
GUESSES = ("check that", "give this user", "its disk", "does not exist")
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "janitor.db"
    with Registry.open(f"sqlite:///{made}") as registry:
        registry.registrations.add([Registration(KEY)], NOW)
    return made


def opened(path: Path, *, reading: bool) -> None:
    with Registry.open(f"sqlite:///{path}", read_only=reading) as registry:
        registry.threads.states()


def locked(registry: Registry) -> None:
    with registry.lock(timedelta(0)):
        pass


def counted(registry: Registry) -> None:
    registry.threads.states()


def interrupted(registry: Registry) -> None:
    with registry.store.reading() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.set_progress_handler(lambda: 1, 1)
        connection.exec_driver_sql("SELECT 1").fetchall()


def failure(act: Callable[[], object]) -> JanitorError | None:
    try:
        act()
    except JanitorError as error:
        return error
    return None


def assert_too_many(error: JanitorError) -> None:
    assert isinstance(error, StoreError), error
    assert "Too many open files; raise the limit of this process (`ulimit -n`" in str(error)
    assert not any(guess in str(error) for guess in GUESSES), error


@pytest.mark.slow
@pytest.mark.parametrize("reading", [True, False])
@pytest.mark.parametrize("beside_a_writer", [True, False])
def test_too_many_open_files_are_told_as_that(
    path: Path, *, reading: bool, beside_a_writer: bool
) -> None:
    failed = 0
    with closing(sqlite3.connect(path)) as other:
        if beside_a_writer:
            other.execute("SELECT count(*) FROM thread").fetchall()
        for spare in range(16):
            with few_files(spare):
                error = failure(lambda: opened(path, reading=reading))
            if error is not None:
                failed += 1
                assert_too_many(error)
    assert 0 < failed < 16


@pytest.mark.parametrize("act", [locked, counted, Registry.check_in_place])
def test_too_many_open_files_under_an_open_registry(
    path: Path, act: Callable[[Registry], object]
) -> None:
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.store.database.engine.dispose()
        with few_files():
            error = failure(lambda: act(registry))
        assert error is not None
        assert_too_many(error)
        act(registry)


@contextmanager
def written_beside(path: Path) -> Iterator[Registry]:
    """A writer, so that whoever reads must share its log."""
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.threads.states()
        yield registry


def test_a_full_disk_is_told_to_whoever_reads(tmp_path: Path, path: Path) -> None:
    """What a writer left when it died needs a file beside it, and there is no room for one."""
    with tmpfs(tmp_path / "small", "2m") as small:
        with written_beside(path):
            for name in ("janitor.db", "janitor.db-wal"):
                shutil.copy(path.with_name(name), small)
        fill_up(small)
        for reading in (True, False):
            error = failure(partial(opened, small / "janitor.db", reading=reading))
            assert isinstance(error, StoreError)
            assert f"{small / 'janitor.db'} cannot grow: its disk is full; free" in str(error)


def test_a_full_disk_leaves_the_lock_of_the_run(tmp_path: Path) -> None:
    with (
        tmpfs(tmp_path / "small", "2m") as small,
        Registry.open(f"sqlite:///{small / 'janitor.db'}") as registry,
    ):
        fill_up(small)
        locked(registry)


def test_a_read_only_file_system_is_told_as_that(path: Path) -> None:
    with read_only(path.parent), pytest.raises(ConfigError) as told:
        opened(path, reading=False)
    assert str(told.value) == (
        f"{path.parent} is not writable: Read-only file system; mount it writable"
    )


def test_a_log_that_a_read_only_file_system_keeps_from_being_read(path: Path) -> None:
    with written_beside(path):
        shutil.copytree(path.parent, path.parent / "copy", ignore=shutil.ignore_patterns("*-shm"))
    copy = path.parent / "copy"
    with read_only(copy), pytest.raises(ConfigError, match="Read-only file system; mount it"):
        opened(copy / path.name, reading=True)


OTHER = """
import os, sys
from janitor.errors import JanitorError
from janitor.registry import Registry
os.setgid(65534), os.setuid(65534)
try:
    Registry.open(f"sqlite:///{sys.argv[1]}", read_only=sys.argv[2] == "True").states()
except JanitorError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@ROOT
@pytest.mark.parametrize(
    ("file", "mode", "reading", "said"),
    [
        ("janitor.db", 0o600, True, "ConfigError {path} cannot be used: give this user access to"),
        ("janitor.db", 0o600, False, "ConfigError {parent} is not writable: give this user"),
        ("", 0o700, True, "ConfigError {path} cannot be"),
    ],
)
def test_what_this_user_may_not_have_is_told_as_that(
    file: str, mode: int, said: str, *, reading: bool
) -> None:
    directory = Path("/tmp") / f"janitor-causes-{os.getpid()}"
    directory.mkdir(mode=0o755)
    try:
        path = directory / "janitor.db"
        Registry.open(f"sqlite:///{path}").close()
        path.chmod(0o644)
        (directory / file).chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", OTHER, str(path), str(reading)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith(said.format(path=path, parent=directory)), done
        assert done.stderr == ""
    finally:
        shutil.rmtree(directory)


def test_a_damaged_file_is_told_as_that(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with pytest.raises(StoreError, match=r"janitor\.db is damaged: restore it from a backup"):
        opened(path, reading=True)


def test_tables_that_somebody_dropped_are_told_as_that(path: Path) -> None:
    with Registry.open(f"sqlite:///{path}") as registry:
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE count").close()
            other.commit()
        with pytest.raises(StoreError, match=r"its tables are gone.* back from a backup"):
            registry.threads.states()


def test_a_look_that_is_interrupted_is_told_as_that(path: Path) -> None:
    with (
        Registry.open(f"sqlite:///{path}") as registry,
        pytest.raises(StoreError, match="was interrupted: run it again"),
    ):
        interrupted(registry)


@pytest.mark.parametrize("size", [0, 4096, 20_000, 40_000, 100_000])
@pytest.mark.parametrize("reading", [True, False])
def test_a_limit_on_the_size_of_files_is_told_as_that(
    tmp_path: Path, path: Path, size: int, *, reading: bool
) -> None:
    """The log beside it grows, too, and whoever reads makes a file for that."""
    with written_beside(path):
        for name in ("janitor.db", "janitor.db-wal"):
            shutil.copy(path.with_name(name), tmp_path / f"copy-{name}")
    copy = tmp_path / "copy-janitor.db"
    with small_files(size):
        error = failure(partial(grown, copy, reading=reading))
    assert error is not None or (reading and size > 20_000)
    if error is not None:
        assert isinstance(error, StoreError), error
        assert "File too large; raise this process's limit on file size" in str(error)
        assert not any(guess in str(error) for guess in GUESSES), error


def grown(path: Path, *, reading: bool) -> None:
    with Registry.open(f"sqlite:///{path}", read_only=reading) as registry:
        registry.threads.states()
        if not reading:
            keys = [Key("main", Kind.THREAD, f"t{number}") for number in range(2000)]
            registry.registrations.add([Registration(key) for key in keys], NOW)


def test_a_new_file_that_may_not_grow_is_not_called_damaged(tmp_path: Path) -> None:
    with small_files(0):
        error = failure(partial(grown, tmp_path / "janitor.db", reading=False))
    assert isinstance(error, StoreError)
    assert "janitor.db cannot grow: File too large" in str(error)


@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("pipe", "a pipe"),
        ("socket", "a socket"),
        (".", "a directory"),
        ("/dev/zero", "a device"),
        ("/proc/self/mem", "a file of the kernel"),
    ],
)
@pytest.mark.parametrize("reading", [True, False])
def test_what_no_database_can_be_is_told_as_that(
    tmp_path: Path, name: str, sort: str, *, reading: bool
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        error = failure(partial(opened, tmp_path / name, reading=reading))
    assert isinstance(error, ConfigError)
    assert str(error).endswith(f" is {sort}: point registry.url at a regular file")
