from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracked import Place

from janitor.registry import Registry
from janitor.testing import Emulated, emulator
from janitor.tracking import COUNTERS, delivery


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry without threads, made once."""
    path = tmp_path_factory.mktemp("registry") / "janitor.db"
    Registry.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(autouse=True)
def counted_anew() -> Iterator[None]:
    """Each test counts for itself, and nothing is left to be told when all of them are over."""
    COUNTERS.forget()
    yield
    COUNTERS.forget()


@pytest.fixture
def place(tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty registry of the test's own, and a directory for its spools."""
    shutil.copy(empty_registry, tmp_path / "janitor.db")
    monkeypatch.setenv("JANITOR_SPOOL", str(tmp_path / "spool"))
    posts: dict[str, delivery.Post] = {}
    monkeypatch.setattr(delivery, "_POSTS", posts)
    yield Place(tmp_path)
    for post in posts.values():
        post.close()


@pytest.fixture(scope="session")
def served() -> Iterator[Emulated]:
    """One emulated API for all tests of a worker."""
    with emulator() as running:
        yield running


@pytest.fixture
def api(served: Emulated) -> Iterator[Emulated]:
    """The emulated API without faults."""
    yield served
    served.server.clear_faults()
