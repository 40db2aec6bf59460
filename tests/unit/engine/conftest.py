from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_world import World, world_in

# A sweep cannot tell its registry's engine, except by locks and clocks: the slow tier runs both.
ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))


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
        request.getfixturevalue("postgres").registry() as name,
        world_in(tmp_path, request.getfixturevalue("postgres").url(name)) as made,
    ):
        yield made
