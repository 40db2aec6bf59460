"""A place in a `keep_last` group is taken only by a thread that this sweep has seen alive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from postgres import Server
from sweep_world import DAY, NOW, OLD, World, enforced, path_of, world_in

from janitor.emulator import Fault, How
from janitor.engine import keep_last
from janitor.engine.lease import Lease
from janitor.engine.plan import PlanScope
from janitor.engine.sweep import Orders
from janitor.model import Key, Kind, Mode, State
from janitor.policy.rules import Delete, KeepLast, Lifetime, Policy
from janitor.registry import Entry, Event, Registration, Settlement, ThreadQueries, Witnessed

LAST = Policy("last", delete=Delete(10 * DAY), keep_last=KeepLast(1, "user_id"), max_percent=100)
ANN = {"user_id": "ann"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "sqlite":
        with world_in(tmp_path) as made:
            yield made
        return
    postgres: Server = request.getfixturevalue("postgres")
    with postgres.registry() as name, world_in(tmp_path, postgres.url(name)) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


def of_ann(world: World, *days: int, **others: str) -> list[Key]:
    """Conversations of one user, last active so many days ago, the most recent first."""
    world.policies = enforced(LAST)
    return [
        world.add(active_at=NOW - ago * DAY, metadata=ANN, upstream=ANN | others) for ago in days
    ]


def lose(world: World, key: Key) -> None:
    """Let its user delete a thread upstream."""
    body = {"error": {"type": "invalid_request_error", "message": "No such thing", "code": None}}
    world.server.add_fault(Fault(How.STATUS, path=f"*/{key.id}*", status=404, body=body))


def reads(world: World, key: Key) -> int:
    """How often the container itself was asked for."""
    path = path_of(key)
    return sum(one.method == "GET" and one.path == path for one in world.server.log)


def keys_of(name: str, number: int) -> list[Key]:
    return [Key("main", Kind.CONVERSATION, f"{name}_{n:04}") for n in range(number)]


def looked_at(world: World, *keys: Key) -> None:
    """Let earlier sweeps have looked at all of these; nothing is due by then."""
    rules, world.policies = world.policies, enforced(Policy("k", keep_forever=True))
    world.sweep()
    world.policies = rules
    assert all(world.entry(key).sightings.baseline_at for key in keys)
    world.approve()
    world.advance(timedelta(minutes=1))
    world.server.clear_log()


def test_what_its_user_deleted_takes_no_place(world: World) -> None:
    newest, second, third = of_ann(world, 20, 30, 40)
    lose(world, newest)
    world.sweep()
    assert world.state(second) is State.ACTIVE
    assert world.state(third) is State.DELETED
    assert world.entry(newest).missing_since is not None


def test_a_row_of_what_never_was_takes_no_place(world: World) -> None:
    [only] = of_ann(world, 40)
    world.register(Key("main", Kind.CONVERSATION, "conv_never"), active_at=NOW, metadata=ANN)
    world.sweep()
    assert world.state(only) is State.ACTIVE


def test_the_ranking_is_asked_down_to_as_many_as_live(world: World) -> None:
    keys = of_ann(world, 20, 21, 22, 23, 24, 25)
    world.policies = enforced(replace(LAST, keep_last=KeepLast(2, "user_id")))
    for key in keys[:3]:
        lose(world, key)
    world.sweep()
    assert [world.state(key) is State.DELETED for key in keys[3:]] == [False, False, True]


def test_a_head_is_asked_for_once_by_one_call_for_all_groups(world: World) -> None:
    newest, *others = of_ann(world, 20, 30, 40, 50, 60)
    world.policies = enforced(LAST, replace(LAST, name="all", keep_last=KeepLast(1)))
    looked_at(world, newest, *others)
    world.sweep()
    assert {world.state(key) for key in others} == {State.DELETED}
    assert world.state(newest) is State.ACTIVE
    asked = [one.path for one in world.server.log if newest.id in one.path]
    assert asked == [f"/conversations/{newest.id}"]


def test_what_a_sweep_looks_at_for_its_own_sake_is_asked_for_once(world: World) -> None:
    world.policies = enforced(LAST)
    groups = [{"user_id": f"u{number}"} for number in range(6)]
    heads = []
    for number, said in enumerate(groups):
        ages = (30, 20) if number % 2 else (20, 30)
        keys = [world.add(active_at=NOW - ago * DAY, metadata=said, upstream=said) for ago in ages]
        heads.append(keys[ages.index(20)])
    world.sweep()
    assert {world.state(key) for key in heads} == {State.ACTIVE}
    assert len(world.server.deletes) >= len(groups)
    assert [reads(world, key) for key in heads] == [1] * len(heads)


def test_what_waits_for_a_head_of_the_same_sweep_is_worked_without_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = list[Lease]()

    def pause(lease: Lease) -> float:
        paused.append(lease)
        return 0.0

    monkeypatch.setattr(Lease, "pause", property(pause))
    newest, second = of_ann(world, 20, 30)
    world.sweep()
    assert (world.state(newest), world.state(second)) == (State.ACTIVE, State.DELETED)
    assert paused == []


def test_nobody_is_asked_for_where_nothing_is_due(world: World) -> None:
    keys = of_ann(world, 1, 2, 3)
    looked_at(world, *keys)
    world.advance(2 * DAY)
    world.sweep()
    assert world.server.log == []


def test_each_sweep_asks_anew(world: World) -> None:
    newest, second = of_ann(world, 20, 30)
    third = world.add(active_at=NOW - 9 * DAY, metadata=ANN, upstream=ANN)
    world.sweep()
    assert {world.state(one) for one in (newest, second)} == {State.DELETED}
    fourth = world.add(active_at=NOW - 8 * DAY, metadata=ANN, upstream=ANN)
    world.sweep()
    lose(world, fourth)
    world.advance(3 * DAY)
    world.sweep()
    assert world.state(third) is State.ACTIVE


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 503, 418])
def test_a_head_without_an_answer_keeps_who_would_leave(world: World, status: int) -> None:
    newest, second, third = of_ann(world, 20, 30, 40)
    looked_at(world, newest, second, third)
    fault = world.server.add_fault(
        Fault(How.STATUS, path=f"/conversations/{newest.id}", status=status)
    )
    report = world.sweep()
    assert world.state(second) is State.ACTIVE
    assert world.state(third) is State.DELETED
    assert report.kept["unanswered"] == 1
    assert "unanswered" in world.reasons(second)
    assert report.exit_code == 1
    assert world.entry(newest).attempts == 1
    world.server.remove_fault(fault)
    world.sweep()
    assert world.state(second) is State.DELETED


def test_a_busy_head_is_alive(world: World) -> None:
    newest, second = of_ann(world, 20, 30)
    looked_at(world, newest, second)
    world.server.add_fault(Fault(How.LOCKED, path=f"/conversations/{newest.id}"))
    world.sweep()
    assert world.state(second) is State.DELETED


def test_a_head_that_has_gone_to_another_group_takes_no_place(world: World) -> None:
    [second] = of_ann(world, 30)
    moved = world.add(active_at=NOW - 20 * DAY, metadata=ANN, upstream={"user_id": "bob"})
    looked_at(world, second)
    world.registry.settlements.settle([Settlement(moved, None, upstream=ANN)])
    world.sweep()
    assert world.state(second) is State.ACTIVE
    assert world.state(moved) is State.ACTIVE


def test_what_the_ceiling_removes_takes_no_place(world: World) -> None:
    world.policies = enforced(LAST, lifetime=Lifetime(max=50 * DAY))
    old = world.add(created_at=OLD, active_at=NOW - 20 * DAY, metadata=ANN, upstream=ANN)
    younger = world.add(
        created_at=NOW - 40 * DAY, active_at=NOW - 30 * DAY, metadata=ANN, upstream=ANN
    )
    world.sweep()
    assert world.state(old) is State.DELETED
    assert world.state(younger) is State.ACTIVE


def test_a_ceiling_asks_for_nobody(world: World) -> None:
    keys = of_ann(world, 20, 30)
    world.policies = enforced(LAST, lifetime=Lifetime(max=50 * DAY))
    lose(world, keys[0])
    world.sweep()
    assert world.state(keys[1]) is State.DELETED


def test_heads_that_are_gone_count_for_the_limit(world: World) -> None:
    world.policies = enforced(LAST)
    groups = [{"user_id": f"u{number}"} for number in range(8)]
    heads = [world.add(active_at=NOW - 20 * DAY, metadata=one, upstream=one) for one in groups]
    others = [world.add(active_at=NOW - 30 * DAY, metadata=one, upstream=one) for one in groups]
    looked_at(world, *heads, *others)
    for key in heads:
        lose(world, key)
    report = world.sweep()
    assert [stop.limit for stop in report.stops] == ["gone"]
    assert {world.state(key) for key in others} == {State.ACTIVE}
    # Those that were asked for before it stopped are missing now, as any other would be.
    assert sum(world.state(key) is State.MISSING for key in heads) >= 5


def test_what_a_plan_says_the_sweep_does_and_its_cost_counts_the_heads(world: World) -> None:
    world.policies = enforced(LAST)
    heads, others = [], []
    for said in ({"user_id": f"u{number}"} for number in range(4)):
        head, *rest = [
            world.add(active_at=NOW - ago * DAY, metadata=said, upstream=said, items=1)
            for ago in (20, 30, 40)
        ]
        heads.append(head)
        others += rest
    looked_at(world, *heads, *others)
    for key in heads[:2]:
        lose(world, key)
    made = world.plan()
    planned = {row.key for row in made.decisions if row.stages}
    assert (len(planned), made.heads) == (6, 4)
    world.server.clear_log()
    world.sweep()
    assert {one.thread.key for one in world.registry.threads.select(state=State.DELETED)} == planned
    asked = sum(one.method == "GET" for one in world.server.log)
    assert made.document()["cost"]["reads"] == asked


def test_a_plan_reads_the_first_members_of_a_long_group_alone(
    local: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, group = Counter[str](), ThreadQueries.group

    def counted(
        threads: ThreadQueries, per: str | None, value: str | None, *, page_size: int
    ) -> Iterator[Entry]:
        for entry in group(threads, per, value, page_size=page_size):
            read["members"] += 1
            yield entry

    monkeypatch.setattr(ThreadQueries, "group", counted)
    local.policies = enforced(LAST)
    reported = [Registration(key, OLD, OLD, metadata=ANN) for key in keys_of("conv", 600)]
    local.registry.registrations.add(reported, NOW - DAY)
    made = local.plan(PlanScope(offline=True))
    assert sum(made.kept.values()) == 600
    assert read["members"] < 600, "not each thread's group anew"


def test_a_plan_ends_where_more_places_are_kept_than_answers_are_remembered(
    local: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_last, "REMEMBERED_AT_MOST", 20)
    local.policies = enforced(replace(LAST, keep_last=KeepLast(30, "user_id")))
    reported = [Registration(key, OLD, OLD, metadata=ANN) for key in keys_of("conv", 40)]
    local.registry.registrations.add(reported, NOW - DAY)
    assert sum(local.plan(PlanScope(offline=True)).kept.values()) == 40


@pytest.mark.parametrize(("probes", "kept"), [(0, 2), (2, 1), (3, 0)])
def test_a_head_that_is_not_probed_keeps_in_the_plan(local: World, probes: int, kept: int) -> None:
    keys = of_ann(local, 20, 30, 40)
    looked_at(local, *keys)
    made = local.plan(PlanScope(probes=probes))
    assert made.kept.get("not_probed", 0) == kept
    assert len([row for row in made.decisions if row.stages]) == 2 - kept
    assert made.not_probed == 3 - probes


def test_a_plan_writes_nothing_of_the_heads(local: World) -> None:
    keys = of_ann(local, 20, 30)
    looked_at(local, *keys)
    before = local.entry(keys[0])
    lose(local, keys[0])
    assert local.plan().kept == {"keep_last": 1, "missing": 1}
    assert local.entry(keys[0]) == before


def test_audit_asks_and_records(local: World) -> None:
    keys = of_ann(local, 20, 30)
    looked_at(local, *keys)
    local.policies = replace(enforced(LAST), mode=Mode.AUDIT)
    lose(local, keys[0])
    report = local.sweep()
    assert report.kept.get("audit") is None
    assert local.entry(keys[0]).missing_since is not None
    assert local.changing_calls() == []


def test_a_head_that_goes_between_plan_and_apply_is_drift(world: World) -> None:
    keys = of_ann(world, 20, 30, 40)
    looked_at(world, *keys)
    made = world.plan()
    assert len([row for row in made.decisions if row.stages]) == 2
    lose(world, keys[0])
    report = world.apply(made)
    assert [world.state(key) for key in keys[1:]] == [State.ACTIVE, State.DELETED]
    assert (report.kept["drift"], report.exit_code) == (1, 1)


def test_a_removal_of_the_dead_is_not_gone_on_with_once_its_head_is_gone(world: World) -> None:
    newest, second = of_ann(world, 20, 30)
    looked_at(world, newest, second)
    world.die_at("DELETE", f"/conversations/{second.id}/items/*", after=True)
    world.sweep_and_die()
    world.advance(timedelta(minutes=1))
    lose(world, newest)
    world.sweep()
    assert world.state(second) is State.DELETING
    assert world.story(second)[-1] == "torn"
    assert world.server.exists(second.id)


def test_a_removal_of_the_dead_goes_on_where_its_head_lives(world: World) -> None:
    newest, second = of_ann(world, 20, 30)
    looked_at(world, newest, second)
    world.die_at("DELETE", f"/conversations/{second.id}/items/*", after=True)
    world.sweep_and_die()
    world.advance(timedelta(minutes=1))
    world.sweep()
    assert world.state(second) is State.DELETED


def test_a_removal_that_was_done_is_recovered_by_the_heads_of_its_own_run(world: World) -> None:
    newest, second = of_ann(world, 20, 30)
    looked_at(world, newest, second)
    world.die_at("DELETE", f"/conversations/{second.id}", after=True)
    world.sweep_and_die()
    world.advance(timedelta(minutes=1))
    world.sweep()
    assert world.state(second) is State.DELETED


def supplant(world: World, head: Key) -> None:
    """Let a head go, and a row come in its place of what never was."""
    world.registry.settlements.settle([Settlement(head, None, tombstone=True)])
    never = Key("main", Kind.CONVERSATION, "conv_never")
    world.register(never, active_at=NOW - 25 * DAY, metadata=ANN)


def test_right_before_the_call_it_must_still_hold(world: World) -> None:
    newest, second = of_ann(world, 20, 30)
    looked_at(world, newest, second)
    # After the look that asked for the head: the list of what is to go, right before the call.
    path = f"/conversations/{second.id}/items"
    world.on("GET", path, lambda: supplant(world, newest), skip=1)
    world.sweep()
    assert world.state(second) is State.ACTIVE


def test_between_two_items_it_must_still_hold(world: World) -> None:
    newest, second = of_ann(world, 20, 30)
    looked_at(world, newest, second)
    path = f"/conversations/{second.id}/items/*"
    world.on("DELETE", path, lambda: supplant(world, newest))
    world.sweep()
    assert world.state(second) is State.DELETING
    assert world.server.exists(second.id)


def test_a_head_that_is_noted_as_missing_meanwhile_takes_no_place(local: World) -> None:
    newest, second = of_ann(local, 20, 30)
    looked_at(local, newest, second)

    def miss() -> None:
        local.registry.settlements.witness([Witnessed(newest, local.now)])
        line = Event("another run", local.now, newest, "missing")
        local.registry.settlements.note([Settlement(newest, None, missing=True, events=(line,))])

    local.on("GET", f"/conversations/{second.id}", miss)
    local.sweep()
    assert local.state(second) is State.ACTIVE


def test_what_is_settled_of_a_head_meanwhile_does_not_make_it_unseen(local: World) -> None:
    [newest] = of_ann(local, 20)
    looked_at(local, newest)
    before = local.entry(newest)
    local.registry.settlements.witness([Witnessed(newest, local.now)])
    local.registry.settlements.settle([Settlement(newest, None, sightings=before.sightings)])
    assert local.entry(newest).sightings.alive_at == local.now


def test_a_few_at_most_are_kept_by_the_same_rule(world: World) -> None:
    newest, second, third = of_ann(world, 20, 30, 40)
    lose(world, newest)
    for _ in range(6):
        world.sweep(Orders(limit=1))
    assert [world.state(key) for key in (second, third)] == [State.ACTIVE, State.DELETED]


def test_the_sweep_of_one_policy_asks_for_heads_of_others(world: World) -> None:
    newest, second, third = of_ann(world, 20, 30, 40)
    looked_at(world, newest, second, third)
    lose(world, newest)
    world.sweep(Orders(policy="last"))
    assert [world.state(key) for key in (second, third)] == [State.ACTIVE, State.DELETED]


def test_what_another_replica_has_seen_alive_is_not_asked_for_again(world: World) -> None:
    newest, second = of_ann(world, 20, 30)
    looked_at(world, newest, second)
    world.registry.settlements.witness([Witnessed(newest, world.now)])
    world.sweep()
    assert world.state(second) is State.DELETED
    assert reads(world, newest) == 0


def test_a_project_that_is_not_served_proves_no_place(world: World) -> None:
    [second] = of_ann(world, 30)
    looked_at(world, second)
    elsewhere = Key("elsewhere", Kind.CONVERSATION, "conv_1")
    world.register(elsewhere, active_at=NOW, metadata=ANN)
    report = world.sweep()
    assert world.state(second) is State.ACTIVE
    assert report.kept["unanswered"] == 1


def test_a_container_takes_one_place_whoever_has_it_registered(world: World) -> None:
    world.keys = {"main": "sk-main", "legal": "sk-main"}
    world.policies = enforced(replace(LAST, keep_last=KeepLast(2, "user_id")))
    newest, second, third = (
        world.add(active_at=NOW - ago * DAY, metadata=ANN, upstream=ANN) for ago in (20, 30, 40)
    )
    world.register(replace(newest, project="legal"), active_at=NOW - 20 * DAY, metadata=ANN)
    world.sweep()
    assert world.state(second) is State.ACTIVE
    assert world.state(third) is State.DELETED


def test_a_member_far_down_a_long_group_takes_no_place(local: World) -> None:
    local.policies = enforced(LAST)
    keys = keys_of("conv", keep_last.FAR + 5)
    reported = [Registration(key, OLD, OLD, metadata=ANN) for key in keys]
    local.registry.registrations.add(reported, NOW - DAY)
    last = local.entry(keys[-1]).thread
    for far, expected in ((keys[keep_last.FAR], [keys[keep_last.FAR]]), (keys[-2], [])):

        def counts(entry: Entry, far: Key = far) -> bool:
            return entry.thread.key == far

        ranking = keep_last.Ranking(local.registry, local.policies, (), counts, remembers=False)
        before = ranking.before(last, NOW)["last"]
        assert [entry.thread.key for entry in before] == expected
