"""Another database in the place of the one in use: nothing goes on as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from postgres import Server
from sqlalchemy import text

from janitor.errors import ConfigError, StoreError
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry
from janitor.registry.sqlite import FileIdentity

NOW = datetime(2026, 3, 1, tzinfo=UTC)
THREADS = [Registration(Key("main", Kind.THREAD, f"t{n}"), NOW, NOW) for n in range(2000)]


def swap(path: Path, other: Path) -> None:
    path.rename(f"{path}.old")
    other.rename(path)


def another(path: Path) -> Path:
    other = path.with_name("another.db")
    Registry.open(f"sqlite:///{other}").close()
    return other


def copied(path: Path) -> Path:
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def overwrite(path: Path) -> None:
    """As `cp` does it: the file stays the same one, what it holds does not."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(another(path), path)


def cut(path: Path, size: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, size)


def link(path: Path) -> None:
    path.rename(f"{path}.old")
    path.symlink_to(another(path))


MISHAPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "moved": (lambda path: path.rename(f"{path}.old"), "is gone: it was moved or deleted"),
    "deleted": (lambda path: path.unlink(), "is gone: it was moved or deleted"),
    "another registry": (lambda path: swap(path, another(path)), "replaced by another file"),
    "a copy of itself": (lambda path: swap(path, copied(path)), "replaced by another file"),
    "a link": (link, "replaced by another file"),
    "its directory": (lambda path: path.parent.rename(f"{path.parent}.old"), "is gone"),
    "its log deleted": (lambda path: Path(f"{path}-wal").unlink(), "is gone"),
    "its index deleted": (lambda path: Path(f"{path}-shm").unlink(), "is gone"),
    "overwritten": (overwrite, "contains another registry"),
    "emptied": (lambda path: os.truncate(path, 0), "was truncated"),
    "cut": (lambda path: cut(path, 8192), "damaged"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISHAPS)
def test_whoever_has_it_open_says_what_happened(tmp_path: Path, name: str) -> None:
    mishap, words = MISHAPS[name]
    path = tmp_path / "data" / "janitor.db"
    path.parent.mkdir()
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.registrations.add(THREADS, NOW)
        registry.check_in_place()
        mishap(path)
        for _ in range(2):
            with pytest.raises(StoreError, match=words):
                registry.check_in_place()
        if name != "overwritten":
            with pytest.raises(StoreError, match=words):
                registry.registrations.add(THREADS[:1], NOW)
            with pytest.raises(StoreError, match=words):
                registry.inbox.undrained()


def test_what_is_put_back_is_in_place_again(tmp_path: Path) -> None:
    path = tmp_path / "janitor.db"
    with Registry.open(f"sqlite:///{path}") as registry:
        swap(path, another(path))
        with pytest.raises(StoreError):
            registry.check_in_place()
        path.unlink()
        Path(f"{path}.old").rename(path)
        registry.check_in_place()
        registry.registrations.add(THREADS[:1], NOW)


def test_a_connection_that_is_made_later_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "janitor.db"
    with Registry.open(f"sqlite:///{path}") as registry:
        path.unlink()
        registry.store.database.engine.dispose()
        with pytest.raises(StoreError, match="is gone"):
            registry.inbox.undrained()
        assert not path.exists()


def test_a_registry_with_another_id_is_another_one(registry: Registry) -> None:
    registry.check_in_place()
    with registry.store.writing() as connection:
        connection.execute(text("UPDATE meta SET value = 'f' WHERE key = 'id'"))
    with pytest.raises(StoreError, match="contains another registry, not the one in use"):
        registry.check_in_place()
    with pytest.raises(StoreError, match="another registry"):
        registry.runs.start("sweep", "enforce", "", NOW)


def test_a_registry_that_forgot_a_run_was_set_back(registry: Registry) -> None:
    run = registry.runs.start("sweep", "enforce", "", NOW)
    registry.check_in_place()
    with registry.store.writing() as connection:
        connection.execute(text("DELETE FROM run"))
    with pytest.raises(StoreError, match=f"restored while in use: it does not know run {run.id}"):
        registry.check_in_place()


def test_a_database_that_was_made_anew_holds_no_registry(postgres: Server) -> None:
    with postgres.database() as name, Registry.open(postgres.url(name)) as registry:
        postgres.execute("DROP SCHEMA public CASCADE", name)
        postgres.execute("CREATE SCHEMA public", name)
        with pytest.raises(StoreError, match="no longer contains a registry"):
            registry.check_in_place()
        Registry.open(postgres.url(name)).close()
        with pytest.raises(StoreError, match="contains another registry"):
            registry.check_in_place()


def test_what_is_not_to_be_made_is_not_made(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="import"):
        Registry.open(url, create=False).close()
    assert list(tmp_path.iterdir()) == []
    Registry.open(url).close()
    Registry.open(url, create=False).close()


def test_an_emptied_file_beside_its_log_is_no_new_registry(tmp_path: Path) -> None:
    path = tmp_path / "janitor.db"
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.registrations.add(THREADS[:1], NOW)
        os.truncate(path, 0)
        with pytest.raises(StoreError, match="damaged: it was truncated"):
            Registry.open(f"sqlite:///{path}").close()


def test_a_file_that_grows_while_several_threads_ask_was_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "janitor.db"
    path.write_bytes(b"x")
    place, interval = FileIdentity(path), sys.getswitchinterval()

    def ask(_: int) -> int:
        return sum(place.check() for _ in range(400))

    sys.setswitchinterval(1e-6)  # threads change places wherever they can
    try:
        with ThreadPoolExecutor(5) as threads, path.open("ab", buffering=0) as file:
            asked = [threads.submit(ask, number) for number in range(4)]
            while not all(one.done() for one in asked):
                file.write(b"x")
            assert [one.result() for one in asked] == [0, 0, 0, 0]
    finally:
        sys.setswitchinterval(interval)
