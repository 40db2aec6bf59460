"""How many calls a due thread takes: docs/performance.md says it, the server counts them.

And how many statements it costs where everything else would wait for them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, World, enforced, world_in

from janitor.model import Key, Kind, State
from janitor.policy.rules import Delete, Items, Limits, Policy

PAGE = Path(__file__).parents[3] / "docs" / "performance.md"
KEPT = replace(DELETED, delete=Delete(30 * DAY, Items.KEEP))
BOTH_KEPT = replace(CHATS, delete=Delete(30 * DAY, Items.KEEP))


def due(policy: Policy) -> Callable[[World, Kind], Key]:
    """A thread that a sweep looks at for the first time."""

    def add(world: World, kind: Kind) -> Key:
        world.policies = enforced(policy)
        return world.add(kind, items=7)

    return add


def copied(world: World, kind: Kind) -> Key:
    """A thread that an earlier sweep has copied, and that is due for removal now."""
    world.policies = enforced(BOTH_KEPT)
    key = world.add(kind, items=7, created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    world.advance(20 * DAY)
    return key


def busy(policy: Policy) -> Callable[[World, Kind], Key]:
    """A thread with an item more than an earlier look has seen."""

    def add(world: World, kind: Kind) -> Key:
        world.policies = enforced(KEPT)
        key = world.add(kind, items=7, created_at=NOW - 29 * DAY, active_at=NOW - 29 * DAY)
        world.sweep()
        world.policies = enforced(policy)
        world.approve()
        world.advance(DAY)
        world.server.append_item(key.id)
        return key

    return add


SCENES: dict[str, Callable[[World, Kind], Key]] = {
    "deleted, items kept": due(KEPT),
    "deleted, items first": due(DELETED),
    "archived": due(COPIED),
    "archived and deleted, items kept": due(BOTH_KEPT),
    "archived and deleted, items first": due(CHATS),
    "archived earlier, deleted, items kept": copied,
    "kept after a look": busy(KEPT),
    "kept after a look that exports": busy(BOTH_KEPT),
}


def table() -> dict[tuple[str, Kind], str]:
    """The calls by scene and kind, as the page has them."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    start = next(n for n, row in enumerate([head, *rows]) if row[0] == "policy")
    kinds = [Kind(name) for name in [head, *rows][start][1:]]
    known = [row for row in [head, *rows][start + 1 :] if row[0] in SCENES]
    return {
        (row[0], kind): cell for row in known for kind, cell in zip(kinds, row[1:], strict=True)
    }


TABLE = table()


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("scene", SCENES)
def test_a_thread_takes_as_many_calls_as_the_page_says(
    world: World, scene: str, kind: Kind
) -> None:
    SCENES[scene](world, kind)
    world.server.clear_log()
    world.sweep()
    made = Counter(entry.method for entry in world.server.log)
    shown = ", ".join(f"{made[verb]} {verb}" for verb in ("GET", "DELETE", "POST") if made[verb])
    assert shown == TABLE[scene, kind]


def on_the_loop(root: Path, policy: Policy, threads: int) -> int:
    """How many statements a sweep of so many threads sends in the event loop's own thread."""
    with world_in(root) as world:
        world.policies = enforced(policy, limits=Limits(max_percent=100))
        keys = [world.add(items=2) for _ in range(threads)]
        sent: list[str] = []

        def note(*said: object) -> None:
            if threading.current_thread() is threading.main_thread():
                sent.append(str(said[2]))

        event.listen(world.registry.store.database.engine, "before_cursor_execute", note)
        world.sweep()
        made = len(sent)
        assert {world.state(key) for key in keys} == {State.DELETED}
        return made


@pytest.mark.parametrize("policy", [DELETED, CHATS], ids=lambda one: str(one.name))
def test_no_thread_costs_a_statement_on_the_event_loop(tmp_path: Path, policy: Policy) -> None:
    counts = {number: tmp_path / str(number) for number in (1, 9)}
    for root in counts.values():
        root.mkdir()
    found = {on_the_loop(root, policy, number) for number, root in counts.items()}
    assert len(found) == 1
