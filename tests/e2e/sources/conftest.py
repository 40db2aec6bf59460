from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Server
from world import World, world

from sources.application_world import Application

__all__ = ["world"]


@pytest.fixture
def application(world: World, postgres: Server) -> Iterator[Application]:
    with postgres.database() as name:
        yield Application(world, postgres, name)
