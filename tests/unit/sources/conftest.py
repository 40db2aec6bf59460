from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from empty_registry import lay
from postgres import Server

from janitor.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(lay(tmp_path / "janitor.db")) as opened:
        yield opened


@pytest.fixture
def app(postgres: Server) -> Iterator[str]:
    """An empty database of an application's, on PostgreSQL."""
    with postgres.database() as name:
        yield name
