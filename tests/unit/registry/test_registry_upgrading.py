"""A registry is brought to this program's schema when a person asks for it, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, text

from janitor.errors import ConfigError, LockedError
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry, upgrade
from janitor.registry.migrate import REVISION, VERSION_TABLE, migrations

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Key("main", Kind.THREAD, "t")
AT_ONCE = timedelta(0)


def make(url: str, revision: str | None = None) -> None:
    """A registry with one thread, at an earlier revision where one is given."""
    with Registry.open(url, untrusted=frozenset({"far"})) as registry:
        registry.registrations.add([Registration(KEY, NOW)], NOW)
        if revision is not None:
            with registry.store.writing() as connection:
                command.downgrade(migrations(connection), revision)


def test_an_older_schema_is_brought_up_with_what_it_holds(url: str) -> None:
    make(url, "0001")
    with pytest.raises(ConfigError, match="janitor db upgrade"):
        Registry.open(url, read_only=True).close()
    done = upgrade(url, wait=AT_ONCE)
    assert (done.found, done.now) == ("0001", REVISION)
    with Registry.open(url, read_only=True) as registry:
        assert [entry.thread.key for entry in registry.threads.select()] == [KEY]
        assert registry.store.meta("untrusted") == '["far"]', "whom it trusts stays as it was"


def test_nothing_to_do_changes_nothing(url: str) -> None:
    make(url)
    done = upgrade(url, wait=AT_ONCE)
    assert (done.found, done.now) == (REVISION, REVISION)


def test_an_empty_database_is_filled(url: str) -> None:
    assert upgrade(url, wait=AT_ONCE).found is None
    Registry.open(url, read_only=True).close()


def test_while_a_run_goes_on_it_waits(url: str) -> None:
    make(url)
    with Registry.open(url) as registry, registry.lock(AT_ONCE):
        with registry.store.writing() as connection:
            command.downgrade(migrations(connection), "0001")
        with pytest.raises(LockedError):
            upgrade(url, wait=AT_ONCE)
        with pytest.raises(ConfigError, match="schema 0001"):
            Registry.open(url, read_only=True).close()


def test_a_newer_schema_stays_as_it_is(url: str) -> None:
    make(url)
    stamp = f"UPDATE {VERSION_TABLE} SET version_num = '0999'"  # noqa: S608
    with Registry.open(url) as registry, registry.store.writing() as connection:
        connection.exec_driver_sql(stamp)
    with pytest.raises(ConfigError, match="upgrade janitor"):
        upgrade(url, wait=AT_ONCE)


def test_another_programs_database_stays_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE chats (id TEXT)"))
    with pytest.raises(ConfigError, match="another program"):
        upgrade(url, wait=AT_ONCE)
    assert inspect(engine).get_table_names() == ["chats"]
    assert [path.name for path in tmp_path.iterdir()] == ["other.db"]
