"""What is believed missing: under which access, next to which canary, and what never is."""

from __future__ import annotations

import pytest
from sweep_world import DAY, NOW, World, enforced

from janitor.emulator import Fault, How
from janitor.model import Key, Kind, State
from janitor.policy.rules import Limits, Policy, SoftDelete
from janitor.registry import RunResult

UNKNOWN: dict[str, object] = {
    "error": {"type": "invalid_request_error", "message": "No such thing", "code": None}
}


@pytest.fixture
def seen(world: World) -> list[Key]:
    """Threads that one sweep has seen alive, and that fall due 30 days later."""
    marked = Policy("marked", soft_delete=SoftDelete(30 * DAY))
    world.policies = enforced(marked, limits=Limits(max_percent=100))
    keys = [world.add(Kind.THREAD, created_at=NOW - DAY, active_at=NOW - DAY) for _ in range(12)]
    world.sweep()
    world.advance(40 * DAY)
    return keys


def lose(world: World, keys: list[Key]) -> None:
    """Let the server forget threads."""
    for key in keys:
        world.server.add_fault(Fault(How.STATUS, path=f"*/{key.id}*", status=404, body=UNKNOWN))


def rotate(world: World) -> None:
    """Reach the same server under another fingerprint."""
    world.base_url = world.base_url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("rotated", [False, True])
def test_what_was_seen_before_proves_the_access_and_those_are_gone(
    world: World, seen: list[Key], *, rotated: bool
) -> None:
    if rotated:
        rotate(world)
    lose(world, seen[:6])
    report = world.sweep()
    assert ([stop.limit for stop in report.stops], report.exit_code) == (["gone"], 4)
    assert report.run.result is RunResult.LIMITED
    assert {world.state(key) for key in seen[:6]} == {State.MISSING}
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in seen[6:]} == {State.SOFT_DELETED}


def test_what_is_new_proves_no_access_however_often_it_answers(
    world: World, seen: list[Key]
) -> None:
    world.keys["main"] = "sk-other"
    new = world.server.add_thread(project="other", created_at=world.now)
    world.register(Key("main", Kind.THREAD, new), active_at=world.now)
    for _ in range(3):
        report = world.sweep()
        assert [stop.limit for stop in report.stops] == ["missing"]
        assert (
            "its threads last answered under another endpoint or credential"
            in report.stops[0].message
        )
        assert {world.state(key) for key in seen} == {State.ACTIVE}
        world.advance(DAY)
    world.keys["main"] = "sk-main"
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in seen} == {State.SOFT_DELETED}


def test_a_few_are_noted_until_the_access_is_proven(world: World) -> None:
    gone = [Key("main", Kind.THREAD, f"thread_gone{n}") for n in range(2)]
    for key in gone:
        world.register(key)
    for _ in range(2):
        assert world.sweep().exit_code == 0
        assert {world.state(key) for key in gone} == {State.ACTIVE}
        assert {world.entry(key).missing_since for key in gone} == {NOW}
        world.advance(DAY)
    world.add(Kind.THREAD, created_at=world.now, active_at=world.now)
    world.sweep()
    assert {world.state(key) for key in gone} == {State.MISSING}
    assert list(world.registry.threads.unknown_upstream()) == [world.entry(key) for key in gone]


def test_a_kind_whose_canaries_are_silent_is_not_believed(world: World, seen: list[Key]) -> None:
    lose(world, seen)
    young = [world.add(Kind.CONVERSATION, active_at=world.now) for _ in range(3)]
    report = world.sweep()
    assert [stop.limit for stop in report.stops] == ["missing"]
    assert "kind thread" in report.stops[0].message
    assert {world.state(key) for key in (*seen, *young)} == {State.ACTIVE}
    assert {world.entry(key).missing_since for key in seen} == {None}
