"""I8: what goes wrong with one thread is visible, backs off, and stops no other."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, World, enforced, matching, path_of

from janitor.emulator import Fault, How
from janitor.engine.settlement import MISSING_AGAIN, missing_again_at, thread_backoff
from janitor.engine.sweep import Orders
from janitor.errors import StoreError
from janitor.model import Kind, State
from janitor.policy.rules import ArchiveRule, Delete, Policy


def test_one_that_fails_stops_no_other_and_is_visible(world: World) -> None:
    bad, *others = [world.add() for _ in range(5)]
    fault = Fault(How.STATUS, status=500, path=f"{path_of(bad)}*")
    with world.server.faulty(fault):
        report = world.sweep()
    assert {world.state(key) for key in others} == {State.DELETED}
    assert world.state(bad) is State.ACTIVE
    assert report.exit_code == 1
    assert [entry.thread.key for entry in world.registry.threads.select(failed=True)] == [bad]
    assert world.story(bad) == ["failed"]
    counted = world.metrics.collectors.get_sample_value(
        "janitor_actions_total", {"policy": "chats", "stage": "archive", "outcome": "failed"}
    )
    assert counted == 1
    assert report.run.counts["chats/archive/failed"] == 1


def test_a_failing_thread_rests_longer_each_time(world: World) -> None:
    key = world.add()
    rests = []
    with world.server.faulty(Fault(How.STATUS, status=500, path=f"{path_of(key)}*")):
        for _ in range(11):
            world.sweep()
            at = world.entry(key).review_at
            assert at is not None
            rests.append(at - world.now)
            world.advance(at - world.now)
    assert rests[:3] == [timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20)]
    assert rests[-1] == timedelta(hours=24)
    assert world.entry(key).attempts == 11
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_resting_thread_is_not_asked_for(world: World) -> None:
    key = world.add()
    with world.server.faulty(Fault(How.STATUS, status=500)):
        world.sweep()
    world.server.clear_log()
    world.sweep()
    assert world.server.log == []
    assert world.state(key) is State.ACTIVE


def test_a_success_ends_the_count(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add()
    with world.server.faulty(Fault(How.STATUS, status=500)):
        world.sweep()
    world.advance(DAY)
    world.sweep()
    entry = world.entry(key)
    assert (entry.thread.state, entry.attempts, entry.last_error) == (State.ARCHIVED, 0, None)
    assert list(world.registry.threads.select(failed=True)) == []


def test_a_failure_says_no_text_and_no_metadata(world: World) -> None:
    key = world.add(items=["secret words"], metadata={"name": "marguerite"})  # type: ignore[arg-type]
    body = {"error": {"type": "server_error", "message": "secret words of marguerite"}}
    with world.server.faulty(Fault(How.STATUS, status=500, body=body)):
        world.sweep()
    error = str(world.entry(key).last_error)
    assert key.id in error
    assert "secret" not in error
    assert "marguerite" not in error


def test_an_archive_that_does_not_answer_pauses_what_archives_and_nothing_else(
    world: World,
) -> None:
    kept = Policy("kept", match=matching(plan="a"), archive=ArchiveRule(after=DAY))
    gone = Policy("gone", match=matching(plan="b"), delete=Delete(30 * DAY))
    world.policies = enforced(kept, gone)
    copied = [world.add(metadata={"plan": "a"}) for _ in range(12)]
    deleted = world.add(metadata={"plan": "b"})
    root = world.root / "archive"
    root.rename(world.root / "away")
    root.write_text("no directory")
    report = world.sweep()
    assert report.exit_code == 3
    assert [stop.limit for stop in report.stops] == ["archive"]
    assert {world.state(key) for key in copied} == {State.ACTIVE}
    assert {world.entry(key).attempts for key in copied} == {0}
    assert world.state(deleted) is State.DELETED
    root.unlink()
    (world.root / "away").rename(root)
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in copied} == {State.ARCHIVED}


def test_a_registry_that_fails_ends_the_sweep_as_itself(world: World) -> None:
    world.policies = enforced(DELETED)
    for _ in range(5):
        world.add(Kind.THREAD)

    def break_registry() -> None:
        with world.registry.store.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE event RENAME TO event_gone")

    world.on("GET", "*", break_registry)
    with pytest.raises(StoreError):
        world.sweep()


def test_only_so_many_are_looked_at_where_a_number_is_given(world: World) -> None:
    keys = [world.add(Kind.THREAD) for _ in range(5)]
    world.sweep(Orders(limit=2))
    assert sum(world.state(key) is State.DELETED for key in keys) == 2


def test_only_one_policy_where_it_is_named(world: World) -> None:
    world.policies = enforced(CHATS)
    key = world.add(created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep()
    world.advance(20 * DAY)
    world.sweep(Orders(policy="another"))
    assert world.state(key) is State.ARCHIVED
    world.sweep(Orders(policy="chats"))
    assert world.state(key) is State.DELETED


@given(st.integers(0, 100_000))
def test_a_rest_grows_and_is_bounded(attempts: int) -> None:
    assert timedelta(minutes=5) <= thread_backoff(attempts) <= timedelta(hours=24)
    assert thread_backoff(attempts) <= thread_backoff(attempts + 1)


@given(st.timedeltas(timedelta(), timedelta(days=60)))
def test_what_is_missing_is_asked_for_after_one_seven_and_thirty_days(passed: timedelta) -> None:
    at = missing_again_at(NOW, NOW + passed)
    left = [after for after in MISSING_AGAIN if after > passed]
    assert at == (NOW + left[0] if left else None)


def test_a_clean_stop_settles_what_it_began(world: World) -> None:
    stop = threading.Event()
    key = world.add()
    world.on("GET", path_of(key), stop.set)
    assert world.sweep(stop=stop).run.result == "done"
    assert world.state(key) is State.DELETED
