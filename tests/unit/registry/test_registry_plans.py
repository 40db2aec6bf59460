"""The key that plans are signed with: one a registry, made once, told to nobody."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command

from janitor.errors import ConfigError
from janitor.registry import Registry
from janitor.registry.database import read_meta, set_meta
from janitor.registry.migrate import migrations
from janitor.registry.plans import KEY

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = "d" * 64


def key_of(registry: Registry) -> str | None:
    with registry.store.reading() as connection:
        return read_meta(connection, KEY)


def test_the_key_is_made_once_and_stays(url: str) -> None:
    with Registry.open(url) as registry:
        first, signature = key_of(registry), registry.plans.signature(DIGEST, NOW)
    assert first is not None
    assert len(bytes.fromhex(first)) == 32
    for read_only in (False, True):
        with Registry.open(url, read_only=read_only) as registry:
            assert key_of(registry) == first
            assert registry.plans.signature(DIGEST, NOW) == signature


def test_an_older_registry_is_given_one_by_its_migration_and_not_by_reading(url: str) -> None:
    with Registry.open(url) as registry:
        first = key_of(registry)
        with registry.store.writing() as connection:
            command.downgrade(migrations(connection), "0004")
        assert key_of(registry) is None
    with pytest.raises(ConfigError, match="run `janitor db upgrade`"):
        Registry.open(url, read_only=True).close()
    with Registry.open(url) as registry:
        assert key_of(registry) not in {None, first}


def test_a_key_that_was_lost_is_told_and_made_anew(url: str) -> None:
    with Registry.open(url) as registry:
        before = registry.plans.signature(DIGEST, NOW)
        with registry.store.writing() as connection:
            set_meta(connection, KEY, None)
        with pytest.raises(ConfigError, match=r"has lost the key.*`janitor db upgrade`"):
            registry.plans.signature(DIGEST, NOW)
    with Registry.open(url) as registry:
        assert registry.plans.signature(DIGEST, NOW) != before


def test_a_signature_is_of_this_registry_digest_and_time(
    sqlite_url: str, postgres_url: str, tmp_path: Path
) -> None:
    signatures = set[str]()
    for url in (sqlite_url, postgres_url, f"sqlite:///{tmp_path / 'other.db'}"):
        with Registry.open(url) as registry:
            signatures.add(registry.plans.signature(DIGEST, NOW))
            signatures.add(registry.plans.signature("e" * 64, NOW))
            signatures.add(registry.plans.signature(DIGEST, NOW + timedelta(microseconds=1)))
            registry.store.id = "another"
            signatures.add(registry.plans.signature(DIGEST, NOW))
    assert len(signatures) == 12


def test_nobody_else_may_read_the_file_that_holds_the_key(sqlite_url: str) -> None:
    with Registry.open(sqlite_url) as registry:
        registry.plans.signature(DIGEST, NOW)
        files = [Path(registry.name + suffix) for suffix in ("", "-wal", "-shm")]
        modes = {stat.S_IMODE(file.stat().st_mode) for file in files if file.exists()}
    assert modes == {0o600}
