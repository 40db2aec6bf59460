"""A server that lists, a registry of either engine, and walks over what the server lists."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from empty_registry import lay
from postgres import Server

from janitor.drivers import Endpoint, read_only
from janitor.drivers.connect import connect
from janitor.emulator import Emulator, Fault, How
from janitor.kinds import CATALOGUE
from janitor.model import Key, Kind
from janitor.registry import Entry, Registration, Registry
from janitor.sources.discovery import ApiList, ListResult, discover, preview

T = TypeVar("T")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Lists:
    """What is walked; `access` may be changed."""

    server: Emulator
    base_url: str
    url: str
    registry: Registry
    access: str = "a1"
    at_each_page: Callable[[], object] = lambda: None
    stop: threading.Event = field(default_factory=threading.Event)

    def fill(self, number: int, kind: Kind = Kind.AGENT_SESSION) -> list[str]:
        """So many containers at the server, oldest first."""
        return [self.server.add(kind) for _ in range(number)]

    def register(self, *ids: str, kind: Kind = Kind.AGENT_SESSION, project: str = "main") -> None:
        said = [Registration(Key(project, kind, one)) for one in ids]
        self.registry.registrations.add(said, self.now)

    @property
    def now(self) -> datetime:
        return self.server.clock.now()

    def discover(self, kind: Kind = Kind.AGENT_SESSION) -> tuple[ListResult, list[str]]:
        """How a pass went, and the ids that it told as absent."""
        absent: list[str] = []

        async def act(place: ApiList) -> ListResult:
            return await discover(
                self.registry,
                place,
                self._clock,
                stop=self.stop,
                tell=lambda key: absent.append(key.id),
            )

        return self._over(kind, act), absent

    def _clock(self) -> datetime:
        """It is looked at once a page."""
        self.at_each_page()
        return self.now

    def preview(self, kind: Kind = Kind.AGENT_SESSION) -> ListResult:
        return self._over(kind, lambda place: preview(self.registry, place))

    def _over(self, kind: Kind, act: Callable[[ApiList], Awaitable[T]]) -> T:
        endpoint = Endpoint("main", self.server.key, base_url=self.base_url, timeout=10.0)

        async def main() -> T:
            async with connect(endpoint, concurrency=2) as drivers:
                return await act(ApiList("main", kind, read_only(drivers[kind]), self.access))

        return asyncio.run(main())

    def known(self) -> list[Entry]:
        return list(self.registry.threads.select())

    def ids(self) -> list[str]:
        return sorted(entry.thread.key.id for entry in self.known())

    def asked(self) -> int:
        """How many pages were asked for."""
        return sum(entry.call == "list" for entry in self.server.log)

    def fault(
        self,
        how: How,
        kind: Kind = Kind.AGENT_SESSION,
        *,
        skip: int = 0,
        times: int | None = None,
    ) -> int:
        """Let lists go wrong; gives the number of the fault."""
        path = CATALOGUE[kind].path
        return self.server.add_fault(Fault(how, path=path, call="list", skip=skip, times=times))


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[Lists]:
    """An empty server that lists all kinds, and an empty registry in a file."""
    yield from _lists(lay(tmp_path / "janitor.db"))


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lists]:
    """The same over a registry of each engine."""
    if request.param == "sqlite":
        yield from _lists(lay(tmp_path / "janitor.db"))
        return
    postgres: Server = request.getfixturevalue("postgres")
    with postgres.registry() as name:
        yield from _lists(postgres.url(name))


def _lists(url: str) -> Iterator[Lists]:
    server = Emulator(lists_all=True)
    server.clock.set(NOW)
    with server.serve() as served, Registry.open(url) as registry:
        yield Lists(server, served.base_url, url, registry)
