"""What a plan says of its cost: the calls that a sweep then makes, and what it does not know."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, OLD, World, enforced

from janitor.drivers.call_counts import Calls
from janitor.engine.cost import Cost, Estimate, ItemCount, ProjectPace, Task, Work, cost, message
from janitor.engine.plan import PlanScope
from janitor.kinds import CATALOGUE
from janitor.model import Kind, Stage
from janitor.policy.rules import Delete, Items, Policy
from janitor.rate_limit import Pace, Verb
from janitor.rate_limit.limiter import Level, started

KEPT_ITEMS = replace(DELETED, delete=Delete(30 * DAY, Items.KEEP))
STAGES = st.sampled_from(
    [
        (Stage.ARCHIVE,),
        (Stage.DELETE,),
        (Stage.ARCHIVE, Stage.DELETE),
        (Stage.SOFT_DELETE,),
        (Stage.ARCHIVE, Stage.SOFT_DELETE),
    ]
)
ITEMS = st.one_of(
    st.none(), st.integers(0, 99).map(ItemCount.exactly), st.integers(0, 100).map(ItemCount.counted)
)
TASKS = st.lists(
    st.builds(Task, st.sampled_from(Kind), STAGES, ITEMS, st.booleans(), st.booleans()), max_size=9
).map(Counter)


@pytest.mark.slow
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("policy", [DELETED, KEPT_ITEMS, COPIED, CHATS], ids=str)
def test_a_sweep_makes_the_calls_that_its_plan_counts(
    world: World, kind: Kind, policy: Policy
) -> None:
    world.policies = enforced(policy)
    for items in (0, 3, 20):
        world.add(kind, items=items)
    said = world.plan().document()["cost"]
    world.server.clear_log()
    assert world.sweep().exit_code == 0
    calls = Counter(entry.method for entry in world.server.log)
    assert (said["deletes"], said["writes"]) == (calls["DELETE"], calls["POST"])
    assert said["reads"] == calls["GET"]


def test_what_is_listed_besides_costs_nothing(world: World) -> None:
    world.add()
    world.add(active_at=NOW, created_at=OLD)
    shown = world.plan(PlanScope(everything=True)).document()
    assert len(shown["decisions"]) == 2
    assert shown["cost"] == world.plan().document()["cost"]


def test_offline_the_cost_is_a_range(world: World) -> None:
    for _ in range(3):
        world.add(items=7)
    world.policies = enforced(DELETED)
    known = world.plan().document()["cost"]
    said = world.plan(PlanScope(offline=True)).document()["cost"]
    assert known["deletes"] == known["least"]["deletes"] == 24
    assert said["least"]["deletes"] == 3
    assert said["least"]["deletes"] < said["deletes"] < said["most"]["deletes"]
    assert said["least"]["deletes"] <= known["deletes"] <= said["most"]["deletes"]


def test_more_items_than_a_page_are_a_range(world: World) -> None:
    world.add(items=130)
    world.policies = enforced(DELETED)
    said = world.plan().document()["cost"]
    assert said["least"]["deletes"] == 101
    assert said["least"]["deletes"] < said["deletes"] < said["most"]["deletes"]


@given(TASKS)
def test_the_likely_calls_lie_between_the_bounds(tasks: Counter[Task]) -> None:
    work = Work({Kind.THREAD: 2}, tasks)
    least, likely, most = (work.calls(items) for items in ("least", "likely", "most"))
    assert all(a <= b <= c for a, b, c in zip(least, likely, most, strict=True))


@given(TASKS)
def test_a_container_is_deleted_once_and_its_items_only_where_they_outlive_it(
    tasks: Counter[Task],
) -> None:
    for task in tasks:
        deletes = task.calls(10).deletes
        goes_first = CATALOGUE[task.kind].items_first and task.items_first
        expected = (11 if goes_first else 1) if Stage.DELETE in task.stages else 0
        assert deletes == expected


def paces(fixed: float | None = None, **level: float) -> dict[str, ProjectPace]:
    allowance = "auto" if fixed is None else fixed
    levels = {verb: replace(started(Level(), verb), **level) for verb in Verb}  # type: ignore[arg-type]
    known = {verb: Pace(verb, allowance, levels[verb]) for verb in Verb}  # type: ignore[arg-type]
    return {"main": ProjectPace(known, 32, 0.0)}


def deleting(number: int, items: ItemCount | None) -> dict[str, Work]:
    return {"main": Work(tasks=Counter({Task(Kind.CONVERSATION, (Stage.DELETE,), items): number}))}


def test_the_rate_that_binds_is_named() -> None:
    made = cost(deleting(140, ItemCount.exactly(20)), paces(cap=300.0, found=210.0, rate=210.0))
    assert message(made).startswith("about 14 min: 2,940 deletes at 210/min (found by itself); ")
    made = cost(deleting(140, ItemCount.exactly(20)), paces(300.0))
    assert message(made).startswith("about 10 min: 2,940 deletes at 300/min (configured); ")
    made = cost(deleting(140, ItemCount.exactly(20)), paces())
    assert message(made).startswith(
        "about 11 min: 2,940 deletes at 120/min (`auto`, no limit met yet)"
    )
    assert message(made).endswith(". At least 10 min, at most 24 min")


def test_unknown_items_are_told_as_a_range() -> None:
    made = cost(deleting(140, None), paces(300.0))
    assert message(made).endswith(". At least 28 s, at most 7 h 57 min")


def test_a_cost_of_nothing_is_told_as_that() -> None:
    assert message(Cost()) == "nothing"
    three = Calls(deletes=1, reads=2, writes=3)
    assert message(Cost(Estimate(three, 3.0))) == "about 3 s: 1 delete, 2 reads and 3 writes"
    assert (
        message(Cost(Estimate(Calls(deletes=1, reads=2), 0.6))) == "about 1 s: 1 delete and 2 reads"
    )
