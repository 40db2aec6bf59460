from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from projects.two_projects import Pair, pair_in


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with pair_in(tmp_path) as made:
        yield made
