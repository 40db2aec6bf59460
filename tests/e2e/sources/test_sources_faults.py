"""Whatever a source raises concerns that source alone, and its text is never shown."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from postgres import Server
from serve.serving import Start, scheduled, serving
from world import NOW, World, until

__all__ = ["serving"]

PRIVATE = "a private text"
DRIVER = f'''
import os
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

class Odd(SQLiteDialect_pysqlite):
    def do_execute(self, cursor, statement, parameters, context=None):
        if "FROM chats" in statement and os.path.exists(os.environ["ODD_WHILE"]):
            raise KeyError("{PRIVATE}")
        super().do_execute(cursor, statement, parameters, context)
'''
ENTRY = "[sqlalchemy.dialects]\nodd = odd_driver:Odd\n"
SOURCES = """\
sources:
  odd:
    sql: {{url: {{env: ODD_URL}}, watermark: updated_at, query: "{query}"}}
  chats:
    sql: {{url: "sqlite:///app.db", watermark: updated_at, query: "{query}"}}
"""
QUERY = (
    "SELECT id, 'conversation' AS kind, updated_at AS created_at, updated_at AS last_active_at, "
    "'trial' AS \\\"metadata.plan\\\", updated_at FROM chats WHERE updated_at > :watermark"
)
OLD = str(NOW - timedelta(days=45))


class Odd:
    """A source whose driver raises what nobody foresees, beside one that is well."""

    def __init__(self, world: World, fed: str, well: str) -> None:
        self.world, self.fed, self.well = world, fed, well

    def mend(self) -> None:
        (self.world.directory / "broken").unlink()


def _table(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE chats (id TEXT, updated_at)")
        connection.execute("INSERT INTO chats VALUES (?, ?)", (name, OLD))


@pytest.fixture
def odd(world: World) -> Odd:
    """The application's own dialect of SQLAlchemy, installed as any package is."""
    package = world.directory / "installed"
    (package / "odd_driver-1.0.dist-info").mkdir(parents=True)
    (package / "odd_driver.py").write_text(DRIVER)
    (package / "odd_driver-1.0.dist-info" / "METADATA").write_text("Name: odd-driver\nVersion: 1\n")
    (package / "odd_driver-1.0.dist-info" / "entry_points.txt").write_text(ENTRY)
    broken = world.directory / "broken"
    broken.touch()
    fed, well = world.conversation(), world.conversation()
    _table(world.directory / "odd.db", fed)
    _table(world.directory / "app.db", well)
    world.environment |= {
        "PYTHONPATH": os.pathsep.join([str(package), *sys.path]),
        "ODD_WHILE": str(broken),
        "ODD_URL": f"odd:///{world.directory / 'odd.db'}",
    }
    with world.config.open("a", encoding="utf-8") as file:
        file.write(SOURCES.format(query=QUERY))
    return Odd(world, fed, well)


def test_a_sweep_goes_on_for_everybody_else(odd: Odd) -> None:
    done = odd.world.process("--output", "json", "sweep")
    assert done.code == 1, done.err
    assert done.document["sources_down"] == ["odd"]
    assert odd.world.states() == {odd.well: "deleted"}
    assert "source odd: unexpected KeyError at odd_driver.py:8 in do_execute" in done.err
    assert done.err.count('odd_driver.py", line 8, in do_execute') == 1
    assert PRIVATE not in done.err + done.out
    assert "raise KeyError" not in done.err


def test_what_it_feeds_is_kept_until_it_is_read(odd: Odd) -> None:
    odd.mend()
    assert odd.world.process("sync").code == 0
    (odd.world.directory / "broken").touch()
    assert odd.world.process("sweep").code == 1
    assert odd.world.states() == {odd.fed: "archived", odd.well: "deleted"}
    odd.mend()
    assert odd.world.process("sweep").code == 0
    assert odd.world.states()[odd.fed] == "deleted"


def test_sync_and_doctor_name_it(odd: Odd) -> None:
    done = odd.world.process("sync")
    assert done.code == 1
    assert "source odd: unexpected KeyError" in done.err
    assert odd.world.process("sync", "--source", "odd", "--dry-run").code == 1
    told = odd.world.run("doctor").out
    assert "fail  sources: odd: its last reading failed: source odd: unexpected KeyError" in told
    assert "janitor sync --source odd" in told
    assert PRIVATE not in done.err + told


def test_init_tells_it_without_its_text(odd: Odd) -> None:
    done = odd.world.process("init", "fresh.yaml", "--source", "env:ODD_URL", "--table", "chats")
    assert done.code == 1
    assert "janitor: --source: unexpected KeyError at odd_driver.py:8 in do_execute" in done.err
    assert "Traceback" not in done.err
    assert PRIVATE not in done.err + done.out
    assert not (odd.world.directory / "fresh.yaml").exists()


def test_the_service_keeps_its_schedule_and_says_what_is_down(odd: Odd, serving: Start) -> None:
    scheduled(odd.world, every="1s")
    service = serving()
    until(lambda: service.sweeps() >= 2)
    assert service.get("/healthz") == (200, "ok")
    code, said = service.get("/readyz")
    assert (code, said) == (200, "ok\nsource odd is down: run janitor doctor to see why")
    assert service.metric("janitor_source_up", source="odd") == 0
    assert service.metric("janitor_source_up", source="chats") == 1
    assert service.text.count('odd_driver.py", line 8, in do_execute') == 1
    assert PRIVATE not in service.text
    odd.mend()
    until(lambda: service.metric("janitor_source_up", source="odd") == 1)
    assert service.get("/readyz") == (200, "ok")


@pytest.fixture
def mistaken(world: World, postgres: Server) -> Iterator[str]:
    """A database on PostgreSQL, and an address whose parameter its driver would trip over."""
    with postgres.database() as name:
        postgres.execute("CREATE TABLE chats (id text, updated_at timestamptz)", name)
        well = world.conversation()
        _table(world.directory / "app.db", well)
        world.environment["ODD_URL"] = f"{postgres.url(name)}&row_factory=dict_row"
        with world.config.open("a", encoding="utf-8") as file:
            file.write(SOURCES.format(query=QUERY))
        yield well


def test_an_address_that_its_driver_would_trip_over_is_told(world: World, mistaken: str) -> None:
    done = world.process("sweep")
    assert done.code == 1
    assert "source odd: its address: unknown parameter `row_factory`; remove it" in done.err
    assert "Traceback" not in done.err
    assert world.states() == {mistaken: "deleted"}


def test_init_refuses_it_before_it_writes(world: World, mistaken: str) -> None:
    done = world.process("init", "fresh.yaml", "--source", "env:ODD_URL", "--table", "chats")
    assert mistaken
    assert done.code == 2
    assert "its address: unknown parameter `row_factory`; remove it" in done.err
    assert "Traceback" not in done.err
    assert not (world.directory / "fresh.yaml").exists()
