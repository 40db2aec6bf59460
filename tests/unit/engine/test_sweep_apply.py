"""A reviewed plan is carried out to the letter: what drifted is kept, what was edited refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sweep_wire import CrashError
from sweep_world import CHATS, DAY, DELETED, NOW, World, enforced, matching

from janitor.engine.apply import PlanSite, check, load
from janitor.engine.decisions import Decisions
from janitor.engine.plan import Plan
from janitor.errors import ConfigError
from janitor.model import Hold, Key, Kind, Mode, State
from janitor.policy.rules import Delete, Limits, Policy

Change = Callable[[World, Key], object]


def written(made: Plan) -> dict[str, Any]:
    """The plan as the command line writes it."""
    document: dict[str, Any] = json.loads(json.dumps({"schema": 1, **made.document()}, default=str))
    return document


def read(document: dict[str, Any]) -> Plan:
    return load(json.dumps(document).encode(), "plan.json")


def through_a_file(made: Plan) -> Plan:
    return read(written(made))


def test_what_was_planned_is_done(world: World) -> None:
    keys = [world.add(kind) for kind in Kind]
    later = world.add(created_at=NOW - DAY, active_at=NOW - DAY)
    report = world.apply(through_a_file(world.plan()))
    assert {world.state(key) for key in keys} == {State.DELETED}
    assert world.state(later) is State.ACTIVE
    assert (report.exit_code, report.run.result) == (0, "done")


def test_a_plan_made_before_any_look_is_carried_out(world: World) -> None:
    world.policies = enforced(Policy("legal", match=matching(a="b"), keep_forever=True), DELETED)
    key = world.add(metadata={})
    assert world.apply(world.plan()).exit_code == 0
    assert world.state(key) is State.DELETED


def test_limits_do_not_stop_what_a_person_has_reviewed(world: World) -> None:
    world.policies = enforced(DELETED, limits=Limits(max_threads=1))
    keys = [world.add() for _ in range(3)]
    assert world.sweep().exit_code == 4
    assert world.apply(world.plan()).exit_code == 0
    assert {world.state(key) for key in keys} == {State.DELETED}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "conv_other"),
        ("newest_item", "msg_other"),
        ("last_active_at", "2026-01-01T00:00:00+00:00"),
        ("stages", ["delete"]),
    ],
)
def test_an_edited_plan_is_refused(world: World, field: str, value: object) -> None:
    world.add()
    document = written(world.plan())
    document["decisions"][0][field] = value
    with pytest.raises(ConfigError, match="digest"):
        read(document)


@pytest.mark.parametrize("field", ["now", "hypothetical", "registry", "policies_digest"])
def test_a_plan_whose_head_was_edited_is_refused(world: World, field: str) -> None:
    world.add()
    document = written(world.plan(hypothetical=True))
    edited = {"now": (NOW + DAY).isoformat(), "hypothetical": False}
    document[field] = edited.get(field, "0" * 32)
    with pytest.raises(ConfigError, match="digest"):
        read(document)


REGISTERED = b'{"id": "conv_1"}\n{"id": "conv_2"}\n'


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"null", b'{"decisions": 3}', b"\xff", REGISTERED]
)
def test_what_is_no_plan_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigError) as refused:
        load(text, "r.jsonl")
    assert str(refused.value) == (
        "r.jsonl: not a plan, or only part of one; make a new one: janitor plan -o plan.json"
    )


def test_a_plan_is_for_this_registry_these_policies_and_today(world: World) -> None:
    world.add()
    made = world.plan()
    with pytest.raises(ConfigError, match="another registry"):
        world.apply(replace(made, registry="0" * 32))
    with pytest.raises(ConfigError, match="--at"):
        world.apply(world.plan(hypothetical=True))
    world.policies = enforced(replace(CHATS, delete=Delete(31 * DAY)))
    with pytest.raises(ConfigError, match="policies"):
        world.apply(made)
    assert world.changing_calls() == []


def test_a_plan_grows_too_old(world: World) -> None:
    key = world.add()
    made = world.plan()
    world.advance(DAY)
    check(PlanSite(world.registry, world.policies, world.now), made, "plan.json", DAY)
    world.advance(timedelta(microseconds=1))
    with pytest.raises(ConfigError, match="too old"):
        world.apply(made)
    assert world.state(key) is State.ACTIVE


def test_nothing_is_applied_under_audit(world: World) -> None:
    world.add()
    world.policies = replace(world.policies, mode=Mode.AUDIT)
    with pytest.raises(ConfigError, match="audit"):
        world.apply(world.plan())


def say_more(world: World, key: Key) -> None:
    world.server.append_item(key.id)


def touch(world: World, key: Key) -> None:
    world.registry.registrations.touch([(key, world.now)])


def a_little_activity(world: World, key: Key) -> None:
    world.registry.registrations.touch([(key, NOW - 50 * DAY)])


def hold(world: World, key: Key) -> None:
    world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)


def protect(world: World, key: Key) -> None:
    world.register(key, metadata={"department": "legal"})


def protect_upstream(world: World, key: Key) -> None:
    world.server._world.named(key.id).metadata["department"] = "legal"


@pytest.mark.parametrize(
    "drift", [say_more, touch, a_little_activity, hold, protect, protect_upstream]
)
def test_what_drifted_since_is_kept_and_told(world: World, drift: Change) -> None:
    legal = Policy("legal", match=matching(department="legal"), keep_forever=True)
    world.policies = enforced(DELETED, legal)
    key, same = world.add(metadata={}), world.add(metadata={})
    made = through_a_file(world.plan())
    drift(world, key)
    report = world.apply(made)
    assert world.server.exists(key.id)
    assert world.state(same) is State.DELETED
    assert (report.exit_code, dict(report.kept)) == (1, {"drift": 1})
    assert world.changing_calls()[-1].endswith(same.id)


def test_an_item_between_plan_and_apply_is_activity_to_the_next_sweep_too(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add()
    made = world.plan()
    world.server.append_item(key.id)
    assert world.apply(made).exit_code == 1
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert world.changing_calls() == []


def test_a_thread_that_the_registry_forgot_is_drift(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add()
    made = world.plan()
    (first,) = made.decisions
    planned = replace(first, key=replace(key, id="conv_unknown"))
    report = world.apply(world.signed(replace(made, decisions=Decisions([planned]))))
    assert (report.exit_code, dict(report.kept)) == (1, {"drift": 1})


def test_what_is_not_in_the_plan_is_not_touched(world: World) -> None:
    world.add()
    made = world.plan()
    later = world.add()
    world.apply(made)
    assert world.state(later) is State.ACTIVE


def test_applied_again_it_goes_on_where_it_stopped(world: World) -> None:
    world.policies = enforced(DELETED)
    world.concurrency = 1
    keys = [world.add(Kind.THREAD, items=0) for _ in range(6)]
    made = through_a_file(world.plan())
    stop = threading.Event()
    world.on("DELETE", "*", stop.set, skip=2)
    first = world.apply(made, stop)
    done = {key for key in keys if world.state(key) is State.DELETED}
    assert 3 <= len(done) < 6
    assert first.run.result == "partial"
    world.advance(3 * DAY)  # its age is judged at its first start
    second = world.apply(made)
    assert {world.state(key) for key in keys} == {State.DELETED}
    assert second.exit_code == 0
    assert sum(second.outcomes.values()) == 6 - len(done)
    assert {world.server.deletes[key.id] for key in keys} == {1}


def test_applied_again_after_a_death_it_goes_on(world: World) -> None:
    keys = [world.add() for _ in range(3)]
    made = world.plan()
    world.die_at("DELETE", "*", skip=4)
    with pytest.raises(CrashError):
        world.apply(made)
    assert world.apply(made).exit_code == 0
    assert {world.state(key) for key in keys} == {State.DELETED}
    assert max(world.server.deletes.values()) == 1


def test_applied_twice_nothing_is_done_twice(world: World) -> None:
    world.add()
    made = world.plan()
    world.apply(made)
    deletes = world.server.deletes
    report = world.apply(made)
    assert world.server.deletes == deletes
    assert dict(report.outcomes) == {}


def test_a_plan_that_archives_only_does_not_delete_later(world: World) -> None:
    key = world.add(created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    made = world.plan()
    world.advance(30 * DAY)
    report = world.apply(made, max_age=60 * DAY)
    assert world.server.exists(key.id)
    assert (report.exit_code, dict(report.kept)) == (1, {"drift": 1})
