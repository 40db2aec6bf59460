"""For tests of programs that use janitor: an emulated API on loopback.

Nothing here needs pytest; with pytest installed, importing `janitor_emulator` into a `conftest.py`
makes it a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from janitor.emulator import Clock, Emulator, Fault, How

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "Emulated", "Emulator", "Fault", "How", "emulator", "janitor_emulator"]


@dataclass(frozen=True, slots=True)
class Emulated:
    """A running emulator: `base_url` and `api_key` are what a client needs to reach it.

    `server` adds and locks containers, injects faults, and records what was asked and deleted.
    """

    server: Emulator
    base_url: str

    @property
    def api_key(self) -> str:
        """The key of its first project."""
        return self.server.key


@contextmanager
def emulator(
    keys: Mapping[str, str] | None = None, *, clock: Clock | None = None
) -> Iterator[Emulated]:
    """An empty emulator for the length of a `with` block; `keys` maps API keys to projects."""
    server = Emulator(keys, clock=clock)
    with server.serve() as served:
        yield Emulated(server, served.base_url)


def _fixture() -> Iterator[Emulated]:
    """An empty emulator of its own for each test."""
    with emulator() as emulated:
        yield emulated


def _as_fixture(function: Callable[[], Iterator[Emulated]]) -> object:
    try:
        import pytest  # noqa: PLC0415
    except ImportError:
        return None
    return pytest.fixture(name="janitor_emulator")(function)


janitor_emulator = _as_fixture(_fixture)
