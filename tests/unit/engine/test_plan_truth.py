"""I14: what a plan says of a sweep is what the sweep then does, number by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, World, enforced, matching

from janitor.emulator import Fault, How
from janitor.engine.plan import Plan, PlanScope
from janitor.engine.report import Report
from janitor.engine.sweep import Orders
from janitor.errors import AccessError, ArchiveError
from janitor.model import Hold, Key, Kind, Mode, Outcome
from janitor.policy import Policies
from janitor.policy.rules import Delete, KeepLast, Limits, Policy, SoftDelete
from janitor.registry import Pause

Told = tuple[dict[str, int], dict[str, int]]
"""What is done, by stage, and what is kept, by reason."""

PLAN = {"plan": "trial"}


def planned(made: Plan) -> Told:
    """What a plan says that a sweep would do."""
    done = Counter(str(stage) for row in made.decisions for stage in row.swept)
    return dict(done), dict(made.kept)


def swept(report: Report) -> Told:
    """What a sweep did; an answer that did not come keeps, whatever it is called."""
    done, kept = Counter[str](), Counter(report.kept)
    for (_, stage, outcome), number in report.outcomes.items():
        if outcome is Outcome.DONE:
            done[stage] += number
        elif outcome is not Outcome.KEPT:
            kept[outcome] += number
    return dict(done), dict(kept)


def lose(world: World, key: Key) -> None:
    """Let the server forget a thread."""
    gone = {"error": {"type": "invalid_request_error", "message": "No such thing", "code": None}}
    world.server.add_fault(Fault(How.STATUS, path=f"*/{key.id}*", status=404, body=gone))


def pause(world: World, scope: str) -> None:
    world.registry.pauses.add(Pause(scope, "a look first", "ops", world.now))


def due(world: World) -> None:
    for kind in Kind:
        world.add(kind)
    world.add(active_at=NOW - 10 * DAY, created_at=NOW - 10 * DAY)
    world.add(active_at=NOW)


def due_next_week(world: World) -> None:
    world.add(active_at=NOW - 24 * DAY, created_at=NOW - 24 * DAY)
    world.sweep()
    world.advance(DAY)
    world.add()


def paused_wholly(world: World) -> None:
    due(world)
    pause(world, "all")


def paused_project(world: World) -> None:
    world.keys["other"] = "sk-other"
    world.add(project="other")
    world.add()
    pause(world, "project:other")


def paused_policy(world: World) -> None:
    trial = replace(CHATS, name="trial", match=matching(plan="trial"))
    world.policies = enforced(trial, replace(CHATS, default=True))
    world.add(metadata=PLAN, upstream=PLAN)
    world.add(metadata={}, upstream={})
    pause(world, "policy:trial")


def paused_remover(world: World) -> None:
    world.policies = enforced(COPIED, DELETED)
    world.add()
    pause(world, "policy:deleted")


def paused_behind_a_look(world: World) -> None:
    world.policies = enforced(replace(COPIED, match=matching(plan="trial")))
    world.add(upstream=PLAN)
    pause(world, "policy:copied")


def limited(world: World) -> None:
    trial = replace(DELETED, name="trial", match=matching(plan="trial"))
    paid = replace(DELETED, name="paid", match=matching(plan="paid"))
    world.policies = enforced(trial, paid, limits=Limits(max_threads=2))
    for plan in ("trial", "trial", "trial", "paid"):
        world.add(metadata={"plan": plan}, upstream={"plan": plan})


def limited_and_paused(world: World) -> None:
    limited(world)
    pause(world, "policy:trial")


def limited_by_unknown_facts(world: World) -> None:
    world.policies = enforced(DELETED, limits=Limits(max_threads=1))
    for _ in range(2):
        world.add(active_at=None, created_at=OLD_ENOUGH)


OLD_ENOUGH = NOW - 50 * DAY


def unapproved(world: World) -> None:
    world.policies = enforced(replace(DELETED, delete=Delete(90 * DAY)))
    for age in (100, 40, 41, 5):
        world.add(created_at=NOW - age * DAY, active_at=NOW - age * DAY)
    world.sweep()
    world.policies = enforced(DELETED)
    world.add(created_at=NOW - 95 * DAY, active_at=NOW - 95 * DAY)


def unapproved_and_seen(world: World) -> None:
    unapproved(world)
    world.sweep()
    world.advance(DAY)
    world.add(created_at=NOW - 35 * DAY, active_at=NOW - 35 * DAY)


def unapproved_and_copied(world: World) -> None:
    world.policies = enforced(replace(CHATS, delete=Delete(90 * DAY)))
    world.add()
    world.add(created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep(Orders(limit=1))
    world.policies = enforced(CHATS)


def unapproved_before_its_copy(world: World) -> None:
    world.policies = enforced(replace(CHATS, delete=Delete(90 * DAY)))
    world.add(active_at=NOW)
    world.sweep()
    world.add()
    world.policies = enforced(CHATS)


def unapproved_and_paused(world: World) -> None:
    unapproved(world)
    pause(world, "policy:deleted")


def unapproved_edit_past_a_pause(world: World) -> None:
    """The edit would take a thread from the paused policy, and waits for approval."""
    world.policies = enforced(DELETED)
    for age in (20, 12):
        world.add(created_at=NOW - age * DAY, active_at=NOW - age * DAY)
    world.sweep()
    pause(world, "policy:deleted")
    world.policies = enforced(replace(DELETED, name="edited", delete=Delete(25 * DAY)))
    world.advance(15 * DAY)


def unapproved_and_gone(world: World) -> None:
    world.policies = enforced(replace(DELETED, delete=Delete(90 * DAY)))
    key = world.add()
    world.add()
    world.sweep()
    world.policies = enforced(DELETED)
    lose(world, key)


def audit(world: World) -> None:
    due(world)
    world.policies = Policies((CHATS,), mode=Mode.AUDIT)


def audit_of_one(world: World) -> None:
    trial = replace(DELETED, name="trial", match=matching(plan="trial"), mode=Mode.AUDIT)
    world.policies = enforced(trial, replace(DELETED, match=matching(plan="paid")))
    for plan in ("trial", "trial", "paid"):
        world.add(metadata={"plan": plan}, upstream={"plan": plan})


def held(world: World) -> None:
    due(world)
    key = world.add()
    world.registry.holds.add(Hold("court", ids=frozenset({key.id})), world.now)


def released(world: World) -> None:
    key = world.add()
    world.registry.holds.add(Hold("court", ids=frozenset({key.id})), world.now)
    world.registry.holds.release("court", world.now, reason="over")


def kept_last(world: World) -> None:
    one = Policy("one", keep_last=KeepLast(1), delete=Delete(30 * DAY))
    world.policies = enforced(one)
    for age in (40, 50, 60):
        world.add(created_at=NOW - age * DAY, active_at=NOW - age * DAY)


def kept_last_of_whom_one_is_gone(world: World) -> None:
    kept_last(world)
    rules, world.policies = world.policies, enforced(Policy("all", keep_forever=True))
    world.sweep()
    world.policies = rules
    world.approve()
    world.advance(DAY)
    (newest, *_) = world.registry.threads.group()
    lose(world, newest.thread.key)


def not_served(world: World) -> None:
    world.add()
    world.register(Key("elsewhere", Kind.THREAD, "thread_1"))


def not_found(world: World) -> None:
    due(world)
    world.register(Key("main", Kind.THREAD, "thread_unknown"))


def missing_before(world: World) -> None:
    world.register(Key("main", Kind.THREAD, "thread_unknown"))
    world.add(Kind.THREAD)
    world.sweep()
    world.advance(DAY)


def unread(world: World) -> None:
    trial = replace(DELETED, name="trial", match=matching(plan="trial"))
    world.policies = enforced(trial)
    world.add(upstream=PLAN)


def never_dated(world: World) -> None:
    world.add(active_at=None)


def busy(world: World) -> None:
    key = world.add(Kind.THREAD)
    world.server.start_run(key.id)


def spared(world: World) -> None:
    kept = Policy("legal", match=matching(case="7"), keep_forever=True)
    world.policies = enforced(DELETED, kept)
    key = world.add(metadata={"case": "7"}, upstream={})
    world.sweep()
    world.register(key, metadata={})


def soft_deleted(world: World) -> None:
    marked = Policy("marked", soft_delete=SoftDelete(10 * DAY), delete=Delete(60 * DAY))
    world.policies = enforced(marked)
    world.add(created_at=NOW - 20 * DAY, active_at=NOW - 20 * DAY)
    world.add(created_at=NOW - 70 * DAY, active_at=NOW - 70 * DAY)
    world.sweep()
    world.advance(51 * DAY)


def policies_changed(world: World) -> None:
    world.policies = enforced(replace(DELETED, delete=Delete(20 * DAY)))
    for age in (10, 25, 40):
        world.add(created_at=NOW - age * DAY, active_at=NOW - age * DAY)
    world.policies = enforced(DELETED)


def policies_loosened(world: World) -> None:
    world.policies = enforced(DELETED)
    for age in (10, 25):
        world.add(created_at=NOW - age * DAY, active_at=NOW - age * DAY)
    world.sweep()
    world.policies = enforced(replace(DELETED, delete=Delete(200 * DAY)))
    world.add()


WORLDS: dict[Callable[[World], None], Told] = {
    due: ({"archive": 5, "delete": 4}, {"not_due": 1}),
    due_next_week: ({"archive": 1, "delete": 1}, {}),
    paused_wholly: ({}, {"paused": 6}),
    paused_project: ({"archive": 1, "delete": 1}, {"paused": 1}),
    paused_policy: ({"archive": 1, "delete": 1}, {"paused": 1}),
    paused_remover: ({}, {"paused": 1}),
    paused_behind_a_look: ({}, {"paused": 1}),
    limited: ({"delete": 1}, {"limit": 3}),
    limited_and_paused: ({"delete": 1}, {"paused": 3}),
    limited_by_unknown_facts: ({}, {"not_due": 2}),
    unapproved: ({"delete": 1}, {"unapproved": 2}),
    unapproved_and_seen: ({}, {"unapproved": 3}),
    unapproved_and_copied: ({"archive": 1}, {"unapproved": 1}),
    unapproved_before_its_copy: ({"archive": 1}, {"unapproved": 1}),
    unapproved_and_gone: ({}, {"unapproved": 2}),
    unapproved_and_paused: ({}, {"paused": 3}),
    unapproved_edit_past_a_pause: ({}, {"paused": 2}),
    audit: ({}, {"audit": 5, "not_due": 1}),
    audit_of_one: ({"delete": 1}, {"audit": 2}),
    held: ({"archive": 6, "delete": 4}, {"not_due": 1}),
    released: ({"archive": 1}, {}),
    spared: ({}, {"released": 1}),
    kept_last: ({"delete": 2}, {"keep_last": 1}),
    kept_last_of_whom_one_is_gone: ({"delete": 1}, {"keep_last": 1, "missing": 1}),
    not_served: ({"archive": 1, "delete": 1}, {"not_served": 1}),
    not_found: ({"archive": 5, "delete": 4}, {"not_due": 1, "missing": 1}),
    missing_before: ({}, {"missing": 1}),
    unread: ({}, {"uncounted": 1}),
    never_dated: ({}, {"not_due": 1}),
    busy: ({}, {"busy": 1}),
    soft_deleted: ({"delete": 2}, {}),
    policies_changed: ({"delete": 1}, {"not_due": 2}),
    policies_loosened: ({}, {"not_due": 1}),
}
"""A table to be added to: how a world is prepared, and what a sweep of it does and keeps."""


EACH = pytest.mark.parametrize("prepare", WORLDS, ids=lambda prepare: prepare.__name__)


@EACH
def test_a_sweep_does_what_the_plan_said(
    either_world: World, prepare: Callable[[World], None]
) -> None:
    prepare(either_world)
    made = either_world.plan()
    report = either_world.sweep()
    assert swept(report) == planned(made) == WORLDS[prepare]
    assert sorted(report.backlog.tripped) == sorted(made.backlog.tripped)
    assert report.exit_code == (4 if made.backlog.tripped else 0)
    waiting = report.unapproved
    assert made.pending == (waiting is not None)
    assert made.unapproved == ({} if waiting is None else waiting.threads)


@EACH
def test_a_plan_without_a_server_says_no_other_reason_than_a_sweep_could(
    world: World, prepare: Callable[[World], None]
) -> None:
    prepare(world)
    offline, made = world.plan(PlanScope(offline=True)), world.plan()
    for reason in ("paused", "limit", "unapproved", "not_served"):
        assert offline.kept[reason] == made.kept[reason], reason


def test_a_server_that_fails_keeps_what_it_was_asked_about(world: World) -> None:
    due(world)
    fault = Fault(How.STATUS, status=500)
    with world.server.faulty(fault):
        made = world.plan()
    with world.server.faulty(fault):
        report = world.sweep()
    assert swept(report) == planned(made)
    assert made.kept["failed"]
    assert report.exit_code == 1


def test_a_refused_credential_stops_both(world: World) -> None:
    world.add()
    world.keys["main"] = "sk-wrong"
    made = world.plan()
    report = world.sweep()
    assert made.exit_code == report.exit_code == AccessError.exit_code
    assert [stop.limit for stop in made.stops] == [stop.limit for stop in report.stops]


def test_an_archive_that_is_gone_keeps_what_it_holds(world: World) -> None:
    due(world)
    world.archive_error = ArchiveError("archive: gone")
    made = world.plan()
    report = world.sweep()
    assert swept(report) == planned(made)
    assert made.kept["archive_down"] == 5
    assert made.archive_trouble == "archive: gone"
    assert report.exit_code == 3
