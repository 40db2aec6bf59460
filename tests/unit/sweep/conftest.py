from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_world import World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made
