"""A plan tells first of removals that were begun, and says of each what the next run then does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sweep_world import CHATS, DAY, DELETED, World, enforced, path_of

from janitor.emulator import Fault, How
from janitor.engine.plan import Plan, PlanScope
from janitor.engine.recovery import Unfinished
from janitor.model import Hold, Key, Kind, Mode, State
from janitor.policy.rules import Delete, Limits, Policy
from janitor.registry.pauses import Pause

ITEMS = 20


def half_deleted(world: World, items: int = ITEMS) -> Key:
    """A conversation whose janitor died after some item deletes had been carried out."""
    key = world.add(items=items, metadata={})
    world.die_at("DELETE", f"{path_of(key)}/items/*", skip=8)
    world.sweep_and_die()
    assert 0 < len(world.server.items(key.id)) < items
    return key


def emptied(world: World) -> Key:
    """One whose items are all gone, and itself not yet."""
    key = world.add(items=3, metadata={})
    world.die_at("DELETE", path_of(key))
    world.sweep_and_die()
    assert world.server.items(key.id) == []
    return key


def gone(world: World, kind: Kind = Kind.CONVERSATION) -> Key:
    """A container that is gone, whose janitor died before it learnt of it."""
    key = world.add(kind)
    world.die_at("DELETE", path_of(key), after=True)
    world.sweep_and_die()
    assert not world.server.exists(key.id)
    return key


def untouched(world: World, kind: Kind = Kind.THREAD) -> Key:
    """One whose janitor died with its intent committed, and nothing sent."""
    key = world.add(kind)
    world.die_at("DELETE", "*")
    world.sweep_and_die()
    return key


def told(world: World, key: Key, scope: PlanScope = PlanScope()) -> tuple[Plan, Unfinished]:  # noqa: B008 - frozen
    """The plan, and the one thing that it says was begun."""
    assert world.state(key) is State.DELETING
    calls = len(world.changing_calls())
    made = world.plan(scope)
    assert len(world.changing_calls()) == calls
    assert world.state(key) is State.DELETING
    (one,) = made.unfinished
    assert one.key == key
    assert made.kept["not_due"] == 0
    assert [planned.key for planned in made.decisions] == []
    return made, one


@pytest.mark.slow
@pytest.mark.parametrize("policy", [CHATS, DELETED], ids=["copied", "uncopied"])
@pytest.mark.parametrize("begin", [half_deleted, emptied, gone, untouched])
def test_what_is_told_is_what_the_next_sweep_does(
    world: World, policy: Policy, begin: Callable[[World], Key]
) -> None:
    world.policies = enforced(policy)
    key = begin(world)
    items = len(world.server.items(key.id)) if key.kind is Kind.CONVERSATION else 0
    made, one = told(world, key)
    exists = world.server.exists(key.id)
    assert (one.policy, one.kept) == (world.policies.rules[0].name, None)
    assert (one.items, one.container) == (items if exists else 0, exists)
    assert one.untouched is (begin is untouched)
    world.exchanges.clear()
    world.server.clear_log()
    assert world.sweep().exit_code == 0
    deletes = [call for call in world.server.log if call.method == "DELETE"]
    assert made.document()["cost"]["deletes"] == len(deletes) == one.deletes
    assert made.document()["cost"]["reads"] > 0
    assert world.state(key) is State.DELETED
    assert world.plan().unfinished == []


def test_what_is_told_is_the_same_where_all_rows_are_looked_at(world: World) -> None:
    key = half_deleted(world)
    _, before = told(world, key)
    world.policies = enforced(replace(CHATS, delete=Delete(20 * DAY)))
    made, after = told(world, key)
    assert (after, made.kept["not_due"]) == (before, 0)


def test_offline_or_without_a_probe_left_nothing_is_asked(world: World) -> None:
    key = half_deleted(world)
    for scope in (PlanScope(offline=True), PlanScope(probes=0)):
        made, one = told(world, key, scope)
        assert (one.items, one.container, one.kept) == (None, None, None)
        assert (made.not_probed, made.document()["cost"]["deletes"]) == (1, 1)


def held(world: World, key: Key) -> None:
    world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)


def paused(world: World, key: Key) -> None:
    world.registry.pauses.add(Pause("all", "quiet", "ops", world.now))


def audited(world: World, key: Key) -> None:
    world.policies = replace(world.policies, mode=Mode.AUDIT)


def spoken(world: World, key: Key) -> None:
    world.server.append_item(key.id)


def unserved(world: World, key: Key) -> None:
    world.kinds = frozenset({Kind.THREAD})


def failing(world: World, key: Key) -> None:
    world.server.add_fault(Fault(How.STATUS, status=500, method="GET", path=path_of(key)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (held, "hold"),
        (paused, "paused"),
        (audited, "audit"),
        (spoken, "torn"),
        (unserved, "not_served"),
        (failing, "failed"),
    ],
)
def test_what_a_sweep_leaves_is_told_with_its_reason_and_costs_nothing(
    world: World, change: Callable[[World, Key], None], reason: str
) -> None:
    key = half_deleted(world)
    change(world, key)
    made, one = told(world, key)
    assert (one.kept, made.kept[reason]) == (reason, 1)
    assert made.document()["cost"]["deletes"] == 0
    left = world.server.items(key.id)
    world.sweep()
    assert world.server.items(key.id) == left
    assert world.state(key) is State.DELETING


def test_what_was_never_begun_upstream_falls_under_the_limits(world: World) -> None:
    key = untouched(world)
    world.policies = replace(world.policies, limits=Limits(max_threads=1))
    world.add()
    made = world.plan()
    (one,) = made.unfinished
    assert one.kept == "limit"
    assert world.sweep().exit_code == 4
    assert world.server.exists(key.id)


def test_the_document_has_them_before_the_decisions(world: World) -> None:
    key = half_deleted(world)
    made, one = told(world, key)
    said = made.document()
    assert list(said).index("unfinished") < list(said).index("decisions")
    (row,) = said["unfinished"]
    assert (row["id"], row["kind"], row["project"]) == (key.id, key.kind, key.project)
    assert (row["items"], row["container"], row["policy"]) == (one.items, True, "chats")
    assert row["since"] is not None
