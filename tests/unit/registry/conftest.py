from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from empty_registry import lay
from postgres import Server

from janitor.registry import Registry


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'janitor.db'}"


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    with postgres.database() as name:
        yield postgres.url(name)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database of either engine."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    if url.startswith("sqlite"):
        lay(Path(url.removeprefix("sqlite:///")))
    with Registry.open(url) as opened:
        yield opened
