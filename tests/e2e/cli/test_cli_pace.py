"""A configured rate is kept by the program itself, and told."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from world import World

from janitor.registry import Registry


def rates(path: Path) -> dict[str, float]:
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {
        one.labels["verb"]: one.value
        for family in families
        for one in family.samples
        if one.name == "janitor_rate_per_minute"
    }


def paced(world: World, rate: str) -> dict[str, float]:
    text = world.config.read_text(encoding="utf-8")
    unlimited = "{delete: unlimited, read: unlimited, write: unlimited}"
    assert unlimited in text
    world.config.write_text(text.replace(unlimited, rate), encoding="utf-8")
    path = world.directory / "janitor.prom"
    done = world.run("sweep", "--metrics-textfile", str(path))
    assert done.code == 0, done.err
    return rates(path)


def test_a_sweep_tells_the_rates_that_it_keeps(world: World) -> None:
    ids = world.fill(3)
    told = paced(world, "{delete: 100/s, read: auto, write: unlimited}")
    assert told == {"delete": pytest.approx(6000), "read": pytest.approx(500)}
    assert {world.states()[one] for one in ids} == {"deleted"}


def test_what_a_sweep_found_is_remembered_and_a_plan_remembers_nothing(world: World) -> None:
    world.fill(2)
    paced(world, "{delete: auto, read: auto}")

    def remembered() -> str | None:
        with Registry.open(f"sqlite:///{world.registry}", read_only=True) as registry:
            return registry.key_values.recall("pace:main")

    before = remembered()
    assert before is not None
    assert world.run("plan").code == 0
    assert remembered() == before
