"""A plan says how long its sweep takes, and how many calls; then the sweep is run and timed.

Both live in virtual time, where nothing passes but what rate limits let wait for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from timed_world import KEY, Timed, timed
from virtual_time import VirtualClock

from janitor.app.compose import compose
from janitor.app.event_loop import run_loop
from janitor.config import load
from janitor.emulator import Emulator
from janitor.engine.plan import Plan, PlanScope, plan
from janitor.model import Key, Kind
from janitor.registry import Registration

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
OLD = BEGIN - timedelta(days=60)
TOLERATED = 0.25
HEAD = 'archive: {url: "file://archive", keep_for: 90d}\nlimits: {max_percent: 100}\npolicies:\n'
DELETE = "  - {name: old, default: true, delete: {after: 30d}}\n"
KEEP_ITEMS = "  - {name: old, default: true, delete: {after: 30d, items: keep}}\n"
COPY = "  - {name: old, default: true, archive: {after: 7d}}\n"
COPY_AND_DELETE = "  - {name: old, default: true, archive: {after: 7d}, delete: {after: 30d}}\n"
MARK = "  - {name: old, default: true, soft_delete: {after: 30d}, delete: {after: 90d}}\n"
AUTO = "{delete: auto, read: auto, write: auto}"


@dataclass(frozen=True)
class Mix:
    """So many threads of each kind with so many items, the policies, the rates, and a quota."""

    threads: tuple[tuple[Kind, int, int], ...]
    policies: str
    rate: str = AUTO
    quota: dict[str, int] = field(default_factory=dict)
    swept_before: bool = False


MIXES = {
    "few conversations": Mix(((Kind.CONVERSATION, 10, 5),), DELETE),
    "conversations with items": Mix(((Kind.CONVERSATION, 30, 40),), DELETE),
    "long conversations": Mix(((Kind.CONVERSATION, 6, 250),), DELETE, "{delete: 300/min}"),
    "items kept": Mix(((Kind.CONVERSATION, 150, 30),), KEEP_ITEMS),
    "threads": Mix(((Kind.THREAD, 120, 3),), DELETE, "{delete: 60/min, read: 600/min}"),
    "slow reads": Mix(((Kind.THREAD, 100, 3),), DELETE, "{delete: 300/min, read: 100/min}"),
    "copies": Mix(((Kind.AGENT_SESSION, 60, 20), (Kind.THREAD, 40, 150)), COPY),
    "copied and deleted": Mix(
        ((Kind.CONVERSATION, 40, 20), (Kind.CHATKIT_THREAD, 40, 20)), COPY_AND_DELETE
    ),
    "marked": Mix(((Kind.CONVERSATION, 120, 4),), MARK, "{write: 60/min}"),
    "a quota to be found": Mix(
        ((Kind.CONVERSATION, 130, 20),), DELETE, AUTO, {"DELETE": 300, "GET": 1000}
    ),
    "a quota found before": Mix(
        ((Kind.CONVERSATION, 50, 20),), DELETE, AUTO, {"DELETE": 200}, swept_before=True
    ),
}


def add(world: Timed, kind: Kind, items: int) -> None:
    made = world.server.add(kind, created_at=OLD, items=items)
    key = Key("main", kind, made)
    world.registry.registrations.add([Registration(key, OLD, OLD, None, {})], world.now)


def fill(world: Timed, mix: Mix) -> None:
    for kind, number, items in mix.threads:
        for _ in range(number):
            add(world, kind, items)


def planned(world: Timed, scope: PlanScope) -> Plan:
    async def look() -> Plan:
        opened = compose(
            load(world.directory / "janitor.yaml"),
            world.registry,
            changing=False,
            time=world.clock.time,
        )
        async with opened as context:
            return await plan(context, scope)

    return run_loop(look)


def foreseen_and_done(directory: Path, mix: Mix, scope: PlanScope) -> tuple[dict[str, Any], ...]:
    clock = VirtualClock(BEGIN)
    server = Emulator(
        {KEY: "main"}, clock=clock, quota=mix.quota, quota_clock=clock.seconds, quota_named=False
    )
    with timed(directory, server, clock, mix.rate, HEAD + mix.policies) as world:
        fill(world, mix)
        if mix.swept_before:
            world.sweep()
            fill(world, mix)
        clock.set(world.now + timedelta(hours=1))
        said = planned(world, scope).document()["cost"]
        clock.set(world.now + timedelta(hours=1))
        server.clear_log()
        begun = world.now
        world.sweep()
        calls = Counter(entry.method for entry in server.log if entry.status != 429)
        done = {
            "seconds": (world.now - begun).total_seconds(),
            "deletes": calls["DELETE"],
            "reads": calls["GET"],
            "writes": calls["POST"],
        }
    return said, done


@pytest.mark.parametrize("name", MIXES)
def test_a_sweep_takes_as_long_as_its_plan_said(tmp_path: Path, name: str) -> None:
    said, done = foreseen_and_done(tmp_path, MIXES[name], PlanScope(probes=10_000))
    for calls in ("deletes", "reads", "writes"):
        assert said["least"][calls] <= done[calls] <= said["most"][calls]
    if said["least"]["deletes"] == said["most"]["deletes"]:
        assert said["deletes"] == done["deletes"]
    assert said["seconds"] == pytest.approx(done["seconds"], rel=TOLERATED, abs=2)
