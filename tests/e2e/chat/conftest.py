from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from chat_house import House, Warm
from postgres import Server
from serve.serving import Start, scheduled, serving
from world import World, world

from janitor.registry import Registry
from janitor.tracking import COUNTERS, delivery, inbox

__all__ = ["serving", "world"]
TOKEN = "a-token-that-registers"  # noqa: S105 - a test's


@pytest.fixture
def house(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A janitor with an empty SQLite registry, and an application that may track into it."""
    monkeypatch.setenv("JANITOR_SPOOL", str(world.directory / "spool"))
    monkeypatch.setattr(delivery, "EVERY", delivery.EVERY)  # the application sets both
    monkeypatch.setattr(inbox, "PATIENCE", inbox.PATIENCE)
    COUNTERS.forget()
    posts: dict[str, delivery.Post] = {}
    monkeypatch.setattr(delivery, "_POSTS", posts)
    url = f"sqlite:///{world.registry}"
    Registry.open(url).close()
    yield House(world, url, url)
    for post in posts.values():
        post.close()


@pytest.fixture
def postgres_house(house: House, postgres: Server) -> Iterator[House]:
    """The same with its registry on PostgreSQL."""
    with postgres.database() as name:
        url = postgres.url(name)
        Registry.open(url).close()
        house.use(url)
        yield house


@pytest.fixture
def spool_house(house: House) -> House:
    """The same with an application that only fills a spool, for somebody else to deliver."""
    house.tracked = f"spool://{house.spool}"
    return house


@pytest.fixture
def http_house(house: House, serving: Start) -> House:
    """The same with an application that tells a running `janitor serve`."""
    scheduled(house.world, more="tokens: {app: {env: TOKEN_OF_APP, scope: register}}")
    served = serving(TOKEN_OF_APP=TOKEN)
    house.tracked = f"http://{TOKEN}@127.0.0.1:{served.port}"
    return house


@pytest.fixture
def any_house(request: pytest.FixtureRequest) -> House:
    """The house of the parameter's name."""
    found: House = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Starts applications within milliseconds."""
    found = Warm()
    yield found
    found.close()
