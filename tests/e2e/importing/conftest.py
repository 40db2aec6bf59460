from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Server

from importing.importing_world import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A directory with a configuration and no registry yet, on SQLite."""
    made = Office(tmp_path)
    yield made
    made.end()


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, tmp_path: Path, postgres: Server) -> Iterator[Office]:
    """The same on either engine."""
    if request.param == "sqlite":
        made = Office(tmp_path)
        yield made
        made.end()
        return
    with postgres.database() as name:
        made = Office(tmp_path, postgres.url(name))
        yield made
        made.end()
