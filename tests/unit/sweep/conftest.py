from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_world import World, world_in

ENGINES = ("sqlite", "postgresql")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


@pytest.fixture(params=ENGINES)
def either_world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world on each engine in turn."""
    if request.param == "sqlite":
        with world_in(tmp_path) as made:
            yield made
        return
    with (
        request.getfixturevalue("postgres").database() as name,
        world_in(tmp_path, request.getfixturevalue("postgres").url(name)) as made,
    ):
        yield made
