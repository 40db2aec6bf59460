from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from janitor.registry import Registry


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'janitor.db'}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.open(url) as opened:
        yield opened
