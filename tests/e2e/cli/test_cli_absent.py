"""What is asked of a registry that is not there is refused; an empty one would answer wrongly."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from world import World

from janitor.app.service_loop import ServiceLoop
from janitor.config import load
from janitor.errors import StoreError
from janitor.metrics import Metrics
from janitor.registry import Registry

ASKING = [
    "hold add m --reason r --id conv_1",
    "hold copy m",
    "hold release m --reason r",
    "hold list",
    "pause --reason r",
    "pause --reason r --registry sqlite:///{registry}",
    "resume",
    "approve 0123456789ab --reason r",
    "list",
    "explain conv_1",
    "runs",
    "missing list",
    "missing accept --reason r",
    "plan",
    "plan -o plan.json",
    "sweep --dry-run",
    "restore conv_1",
    "tag",
    "tag --dry-run",
    "export --registry",
    "archive show conv_1",
    "archive verify",
    "archive prune",
    "archive prune --dry-run",
    "validate --against-registry",
]


@pytest.mark.parametrize("there", ["nothing", "an empty file"])
@pytest.mark.parametrize("asked", ASKING)
def test_what_is_asked_of_a_registry_makes_none(world: World, asked: str, there: str) -> None:
    if there == "an empty file":
        world.registry.touch()
    before = {one.name: one.stat().st_size for one in world.directory.iterdir()}
    done = world.run(*asked.format(registry=world.registry).split())
    assert done.code in (2, 3), done
    said = "does not exist" if there == "nothing" else "contains no registry"
    assert said in done.err, done.err
    assert {one.name: one.stat().st_size for one in world.directory.iterdir()} == before


@pytest.mark.parametrize("asked", ["sweep", "db upgrade", "import --id conv_1 --kind conversation"])
def test_what_fills_it_or_sweeps_makes_it(world: World, asked: str) -> None:
    assert world.run(*asked.split()).code == 0
    assert world.registry.exists()


def test_a_service_whose_registry_was_replaced_says_so_everywhere(world: World) -> None:
    [id_] = world.fill(1)
    config, metrics = load(world.config, environment=False), Metrics()
    with Registry.open(config.registry.url) as registry:
        live = ServiceLoop(world.config, config, registry, metrics)
        live.refresh()
        assert live.ready() is None
        assert metrics.registry_up._value.get() == 1
        aside(world.registry)
        held = world.run("hold", "add", "m", "--reason", "r", "--id", id_)
        assert held.code == 2
        assert "does not exist: if it was moved or deleted, put it back" in held.err
        assert not world.registry.exists()
        for _ in range(2):
            assert "is gone: it was moved or deleted while in use" in str(live.ready())
            with pytest.raises(StoreError, match="is gone: it was moved or deleted"):
                live.sweep(Event())
        live.refresh()
        assert metrics.registry_up._value.get() == 0
        assert world.changes == []


def test_a_truncated_registry_is_called_so(world: World) -> None:
    [id_] = world.fill(1)
    config = load(world.config, environment=False)
    with Registry.open(config.registry.url) as registry:
        live = ServiceLoop(world.config, config, registry, Metrics())
        with world.registry.open("r+b") as file:
            file.truncate(0)
        assert "is damaged: it was truncated" in str(live.ready())
        held = world.run("hold", "add", "m", "--reason", "r", "--id", id_)
        assert held.code == 3
        assert "is damaged: it was truncated" in held.err
        assert "locked" not in held.err


def aside(path: Path) -> None:
    path.rename(f"{path}.aside")
