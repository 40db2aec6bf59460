"""The audit: a line for whatever was done or refused, with who, why, when and the answer's id."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event as sqlalchemy_event
from sweep_world import DAY, DELETED, World, enforced, path_of

from janitor.engine.decisions import Decisions
from janitor.engine.sweep import Orders
from janitor.model import Hold, Key, Kind, Mode, Outcome, Stage, State
from janitor.policy.rules import Delete, Limits, Policy, SoftDelete
from janitor.registry import Event, Pause

CHANGES = re.compile(r"\s*(UPDATE|DELETE\s+FROM)\s+event\b", re.IGNORECASE)
REFUSED = ("deleted", Stage.DELETE, Outcome.KEPT)


def last(world: World, key: Key) -> Event:
    (*_, line) = world.registry.runs.history(key)
    return line


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """Whatever is sent to the registry's database meanwhile."""
    heard: list[str] = []

    def hear(_c: object, _cursor: object, statement: str, *_: object) -> None:
        heard.append(statement)

    engine = world.registry.store.database.engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", hear)
    yield heard
    sqlalchemy_event.remove(engine, "before_cursor_execute", hear)


@pytest.mark.parametrize("kind", Kind)
def test_every_removal_carries_the_id_of_its_answer(world: World, kind: Kind) -> None:
    key = world.add(kind)
    run = world.sweep().run
    (removal,) = [line for line in world.registry.runs.events(run.id) if line.name == "deleted"]
    assert (removal.key, removal.policy, removal.stage) == (key, "chats", Stage.DELETE)
    assert (removal.outcome, removal.at) == (Outcome.DONE, world.now)
    answers = {f"req_{entry.order:032x}" for entry in world.server.log if entry.method == "DELETE"}
    assert removal.response_id in answers


def pause(world: World, _: Key) -> None:
    world.registry.pauses.add(Pause("policy:deleted", "wait", "ops", world.now))


def limit(world: World, _: Key) -> None:
    world.policies = enforced(DELETED, limits=Limits(max_threads=1))
    world.add()


def audit(world: World, _: Key) -> None:
    world.policies = enforced(Policy("deleted", delete=Delete(30 * DAY), mode=Mode.AUDIT))


@pytest.mark.parametrize(
    ("refuse", "reason"), [(pause, "paused"), (limit, "limit"), (audit, "audit")]
)
def test_what_is_refused_has_its_line(
    world: World, refuse: Callable[[World, Key], None], reason: str
) -> None:
    world.policies = enforced(DELETED)
    key = world.add()
    refuse(world, key)
    run = world.sweep().run
    line = last(world, key)
    assert (line.run, line.reason, line.at) == (run.id, reason, world.now)
    assert (line.policy, line.stage, line.outcome) == REFUSED
    assert run.counts["deleted/delete/kept"] >= 1
    assert world.state(key) is State.ACTIVE


def test_a_paused_thread_of_which_nothing_is_due_has_no_line(world: World) -> None:
    key = world.add(created_at=world.now - DAY, active_at=world.now - DAY)
    world.registry.pauses.add(Pause("all", "wait", "ops", world.now))
    world.sweep()
    assert world.registry.runs.history(key) == []


def test_a_hold_at_the_last_moment_has_its_line(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add(Kind.THREAD)
    world.on(
        "GET",
        path_of(key),
        lambda: world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now),
    )
    world.sweep()
    line = last(world, key)
    assert (line.reason, line.policy, line.stage, line.outcome) == ("hold", *REFUSED)
    assert world.server.exists(key.id)


def test_what_drifted_from_a_plan_has_its_line(world: World) -> None:
    world.policies = enforced(DELETED)
    changed, unknown = world.add(), Key("main", Kind.CONVERSATION, "conv_unknown")
    made = world.plan()
    first, *others = made.decisions
    made = replace(made, decisions=Decisions([first, *others, replace(first, key=unknown)]))
    world.registry.registrations.touch([(changed, world.now)])
    run = world.apply(world.signed(made)).run
    for key in (changed, unknown):
        line = last(world, key)
        assert (line.run, line.reason, line.outcome) == (run.id, "drift", Outcome.KEPT)


def test_a_run_without_any_event_is_closed_and_chained(world: World) -> None:
    first, second = world.sweep().run, world.sweep().run
    assert (first.counts, second.counts) == ({}, {})
    assert first.digest is not None
    assert second.previous == first.digest
    assert world.registry.runs.first_broken() is None


def test_no_path_through_the_program_changes_an_event(world: World) -> None:
    marked = Policy("marked", soft_delete=SoftDelete(10 * DAY), delete=Delete(60 * DAY))
    world.policies = enforced(DELETED)
    with statements(world) as heard:
        key = world.add()
        world.sweep(Orders(limit=1))
        world.policies = enforced(marked)
        world.approve()
        busy = world.add()
        world.apply(world.plan())
        world.registry.holds.add(Hold("court", ids=frozenset([busy.id])), world.now)
        world.sweep()
        world.advance(timedelta(days=500))
        world.sweep()
    assert world.registry.threads.get(key) is None, "its tombstone has expired"
    assert [event.name for event in world.registry.runs.history(key)] == ["deleted"]
    assert any("INSERT INTO event" in statement for statement in heard)
    assert [statement for statement in heard if CHANGES.match(statement)] == []
