"""Several janitors on one registry: one reads the sources, and all go by what it found."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from application import CHATS, of_file, read, write
from postgres import Server

from janitor.app.source_readings import read_sources
from janitor.config import Config, load
from janitor.errors import AccessError, StoppedError
from janitor.metrics import Metrics
from janitor.registry import Lock, Registry
from janitor.sources.watermark import down, memories

CONFIG = """\
version: 1
registry: {url: "sqlite:///unused.db"}
projects: {main: {api_key: ""}}
policies: []
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "janitor.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return replace(load(path), sources={"chats": of_file(tmp_path / "app.db")})


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'janitor.db'}"
    server: Server = request.getfixturevalue("postgres")
    return server.url(request.getfixturevalue("app"))


@pytest.fixture
def replicas(url: str) -> Iterator[tuple[Registry, Registry]]:
    with Registry.open(url) as one, Registry.open(url) as other:
        yield one, other


def announcing(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once the registry is asked for the lock."""
    asked, lock = threading.Event(), registry.syncing

    def syncing(wait: timedelta) -> Lock:
        asked.set()
        return lock(wait)

    monkeypatch.setattr(registry, "syncing", syncing)
    return asked


def begin(config: Config, registry: Registry, stop: threading.Event | None = None) -> None:
    read_sources(config, registry, Metrics(), lambda: datetime.now(UTC), stop)


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_waited_goes_by_what_was_found(
    replicas: tuple[Registry, Registry],
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fails: bool,
) -> None:
    one, other = replicas
    asked = announcing(other, monkeypatch)
    source = config.sources["chats"]
    with ThreadPoolExecutor(1) as pool:
        with one.syncing(timedelta()):
            waiting = pool.submit(begin, config, other)
            assert asked.wait(30)
            if fails:
                with pytest.raises(AccessError):
                    read(one, source)
            else:
                write(tmp_path / "app.db", CHATS.format(type="TEXT"))
                read(one, source)
        waiting.result(30)
    assert memories(other)["chats"].readings == 1
    assert bool(down(other, ["chats"])) is fails


def test_whoever_waits_is_asked_to_stop(
    replicas: tuple[Registry, Registry], config: Config
) -> None:
    one, other = replicas
    stop = threading.Event()
    stop.set()
    with one.syncing(timedelta()), pytest.raises(StoppedError):
        begin(config, other, stop)
    assert memories(one) == {}


def test_a_source_that_is_no_longer_configured_is_forgotten(
    replicas: tuple[Registry, Registry], config: Config
) -> None:
    one, _ = replicas
    begin(config, one)
    assert memories(one).keys() == {"chats"}
    others = replace(config.sources["chats"], name="others")
    begin(replace(config, sources={"others": others}), one)
    assert memories(one).keys() == {"others"}
