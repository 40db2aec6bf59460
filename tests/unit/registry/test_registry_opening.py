from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from janitor.errors import ConfigError
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry
from janitor.registry.migrate import MIGRATIONS, REVISION, VERSION_TABLE, migrations
from janitor.registry.tables import METADATA

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Key("main", Kind.THREAD, "t")


def ids(registry: Registry) -> set[str]:
    return {entry.thread.key.id for entry in registry.threads.select()}


def test_models_and_migrations_agree(registry: Registry) -> None:
    with registry.store.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, METADATA) == []


def test_the_program_names_the_newest_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == REVISION


def test_an_older_registry_is_brought_up_with_what_it_holds(url: str) -> None:
    with Registry.open(url) as registry:
        registry.registrations.add([Registration(KEY, NOW, metadata={"plan": "trial"})], NOW)
        with registry.store.writing() as connection:
            command.downgrade(migrations(connection), "0001")
    with Registry.open(url) as registry:
        (entry,) = registry.threads.select()
        assert entry.thread.reported == {"plan": "trial"}
        assert entry.thread.source is None


@pytest.mark.parametrize("read_only", [True, False])
def test_a_newer_schema_is_refused(url: str, *, read_only: bool) -> None:
    restamp(url, "0999")
    with pytest.raises(ConfigError, match=rf"0999.*{REVISION}.*upgrade janitor"):
        Registry.open(url, read_only=read_only).close()


def test_an_older_schema_is_not_migrated_by_reading(url: str) -> None:
    restamp(url, "0000")
    with pytest.raises(ConfigError, match="janitor db upgrade"):
        Registry.open(url, read_only=True).close()


def restamp(url: str, revision: str) -> None:
    stamp = f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"  # noqa: S608
    with Registry.open(url) as registry, registry.store.writing() as connection:
        connection.exec_driver_sql(stamp)


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "postgresql://h/d", "sqlite:////no/d/f"])
def test_a_url_that_leads_nowhere_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match=r"registry\.url|does not exist"):
        Registry.open(url).close()


def test_a_file_that_keeps_text_in_other_units_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "janitor.db")) as connection:
        connection.executescript("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (x); DROP TABLE t")
    with pytest.raises(ConfigError, match="UTF-16le"):
        Registry.open(sqlite_url).close()


def test_a_registry_keeps_its_id(url: str) -> None:
    with Registry.open(url) as registry:
        first = registry.id
    with Registry.open(url) as registry, Registry.open(url, read_only=True) as reader:
        assert registry.id == reader.id == first


def test_a_reader_follows_a_writer_and_writes_nothing(url: str) -> None:
    Registry.open(url).close()
    with Registry.open(url, read_only=True) as reader:
        with Registry.open(url) as writer:
            writer.registrations.add([Registration(KEY)], NOW)
        assert ids(reader) == {"t"}
        with pytest.raises(ConfigError, match="is not writable"):
            reader.registrations.add([Registration(KEY, NOW)], NOW)
