from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from janitor.errors import ConfigError, LockedError, StoreError
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry, Settlement

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Key("main", Kind.THREAD, "t")

DIES = """
import os, signal, sys
from datetime import UTC, datetime
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry, Settlement
from janitor.registry.registrations import fresh
registry = Registry.open(sys.argv[1])
now = datetime(2026, 3, 1, tzinfo=UTC)
registry.registrations.add([Registration(Key("main", Kind.THREAD, "committed"))], now)
with registry.store.writing() as connection:
    connection.exec_driver_sql("PRAGMA cache_size=1")
    lost = [Registration(Key("main", Kind.THREAD, f"lost{n}")) for n in range(2000)]
    registry.registrations.merge(connection, lost, now)
    os.kill(os.getpid(), signal.SIGKILL)
"""
HOLDS = """
import sys
from datetime import timedelta
from pathlib import Path
from janitor.registry.sqlite import RunLock
with RunLock(Path(sys.argv[1]), timedelta(0)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


def files(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in directory.iterdir()}


def database(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def ids(registry: Registry) -> set[str]:
    return {entry.thread.key.id for entry in registry.threads.select()}


def test_a_registry_keeps_its_id_and_is_private(url: str) -> None:
    with Registry.open(url) as registry:
        first = registry.id
    assert database(url).stat().st_mode & 0o077 == 0
    with Registry.open(url) as registry, Registry.open(url, read_only=True) as reader:
        assert registry.id == reader.id == first


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1), ("foreign_keys", 1)],
)
def test_sqlite_is_set_to_be_durable_and_discreet(
    registry: Registry, pragma: str, value: object
) -> None:
    with registry.store.reading() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_reading_leaves_a_closed_registry_as_it_is(url: str, tmp_path: Path) -> None:
    with Registry.open(url) as registry:
        registry.registrations.add([Registration(KEY)], NOW)
    before, content = files(tmp_path), database(url).read_bytes()
    with Registry.open(url, read_only=True) as reader:
        assert ids(reader) == {"t"}
        assert files(tmp_path) == before
    assert files(tmp_path) == before
    assert database(url).read_bytes() == content


def test_reading_after_a_kill_sees_what_was_committed(url: str, tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, url], check=False, timeout=240)
    assert died.returncode == -signal.SIGKILL
    before, content = files(tmp_path), database(url).read_bytes()
    log = Path(f"{database(url)}-wal").read_bytes()
    assert len(log) > 100_000
    with Registry.open(url, read_only=True) as reader:
        assert ids(reader) == {"committed"}
    assert files(tmp_path) == before
    assert database(url).read_bytes() == content
    assert Path(f"{database(url)}-wal").read_bytes() == log
    with Registry.open(url) as registry:
        assert ids(registry) == {"committed"}
        assert sum(registry.threads.states().values()) == 1


def test_a_reader_follows_a_writer_that_comes_and_goes(url: str) -> None:
    Registry.open(url).close()
    with Registry.open(url, read_only=True) as reader:
        with Registry.open(url) as writer:
            writer.registrations.add([Registration(KEY)], NOW)
            assert ids(reader) == {"t"}
        assert ids(reader) == {"t"}
        with pytest.raises(ConfigError, match="is not writable"):
            reader.registrations.add([Registration(KEY, NOW)], NOW)


def test_a_missing_registry_is_not_made_by_reading(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="janitor import"):
        Registry.open(url, read_only=True).close()
    assert files(tmp_path) == {}


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_no_registry_is_refused_and_left_alone(
    url: str, tmp_path: Path, *, read_only: bool
) -> None:
    database(url).write_text("dear diary, " * 1000)
    with pytest.raises(ConfigError, match="is not a database"):
        Registry.open(url, read_only=read_only).close()
    database(url).unlink()
    foreign = sqlite3.connect(database(url))
    foreign.execute("CREATE TABLE users (name)")
    foreign.close()
    before = database(url).read_bytes()
    with pytest.raises(ConfigError, match="another program"):
        Registry.open(url, read_only=read_only).close()
    assert (database(url).read_bytes(), len(files(tmp_path))) == (before, 1)


def test_a_full_disk_keeps_nothing_half_done(registry: Registry) -> None:
    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count=80").close()

    registry.store.database.engine.dispose()
    event.listen(registry.store.database.engine, "connect", limit)
    many = [Registration(Key("main", Kind.THREAD, f"t{n}")) for n in range(5000)]
    with pytest.raises(StoreError, match="disk is full"):
        registry.registrations.add(many, NOW)
    assert len(ids(registry)) % 500 == 0
    assert len(ids(registry)) == sum(registry.threads.states().values())


def test_a_lock_that_stays_is_explained(url: str) -> None:
    Registry.open(url).close()
    other = sqlite3.connect(database(url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Registry.open(url, read_only=True) as reader:
        assert ids(reader) == set()
    with pytest.raises(StoreError, match="locked"):
        Registry.open(url, busy_timeout=timedelta(milliseconds=10)).close()
    other.close()


def test_one_janitor_at_a_time_and_the_dead_hold_nothing(registry: Registry, url: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(database(url))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(LockedError, match=f"process {holder.pid} on {os.uname().nodename}"),
            registry.lock(timedelta(milliseconds=20)),
        ):
            pass
        holder.kill()
    with (
        registry.lock(timedelta(0)),
        pytest.raises(LockedError, match=f"process {os.getpid()}"),
        registry.lock(timedelta(0)),
    ):
        pass
    with registry.lock(timedelta(0)):
        pass


def test_a_copy_of_the_files_opens(url: str, registry: Registry, tmp_path: Path) -> None:
    registry.registrations.add([Registration(KEY)], NOW)
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    for name in (database(url).name, f"{database(url).name}-wal"):
        shutil.copy(tmp_path / name, elsewhere / name)
    with Registry.open(f"sqlite:///{elsewhere / database(url).name}", read_only=True) as reader:
        assert ids(reader) == {"t"}


def test_nothing_overwritten_stays_readable(url: str, tmp_path: Path) -> None:
    note = "purple-elephant-4711"
    with Registry.open(url) as registry:
        registry.registrations.add([Registration(KEY, metadata={"note": note})], NOW)
        registry.settlements.settle([Settlement(KEY, None, tombstone=True)])
    assert not any(note.encode() in path.read_bytes() for path in tmp_path.iterdir())
