from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "sweep"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from postgres import Server
from sweep_world import World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


@pytest.fixture
def postgres_world(tmp_path: Path, postgres: Server) -> Iterator[World]:
    with postgres.registry() as name, world_in(tmp_path, postgres.url(name)) as made:
        yield made


@pytest.fixture(params=["world", "postgres_world"], ids=["sqlite", "postgres"])
def either_world(request: pytest.FixtureRequest) -> World:
    """A world whose registry is on either engine."""
    found: World = request.getfixturevalue(request.param)
    return found
