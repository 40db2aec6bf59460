from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from crash_databases import Database, Files, Shared
from crash_scenarios import Scenario, configuration
from crash_stage import KEY, Forks
from postgres import Server

from janitor.emulator import Emulator


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[Emulator, str]]:
    emulator = Emulator({KEY: "main"})
    with emulator.serve() as served:
        yield emulator, served.base_url


@pytest.fixture(scope="session")
def forks(
    served: tuple[Emulator, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Forks]:
    directory = tmp_path_factory.mktemp("warm")
    text = configuration(
        Scenario("warm", "archive: {after: 7d}"),
        registry=Files().url(directory),
        base_url=served[1],
        directory=directory,
    )
    (directory / "janitor.yaml").write_text(text, encoding="utf-8")
    made = Forks(directory)
    yield made
    made.close()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Files()
        return
    server: Server = request.getfixturevalue("postgres")
    shared = Shared(server, f"crash{uuid4().hex}")
    yield shared
    shared.close()
