"""I8: what is due and was not done is named, counted and backed off after every sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from postgres import Server
from sweep_world import CHATS, DAY, DELETED, World, enforced, world_in

from janitor.emulator import Fault, How
from janitor.engine.context import RunContext
from janitor.engine.limits import overdue
from janitor.model import Hold, Key, Kind, Mode, State
from janitor.policy import Policies
from janitor.registry import Pause

REFUSALS = {
    "500": Fault(How.STATUS, method="DELETE", status=500),
    "501": Fault(How.STATUS, method="DELETE", status=501),
    "not-deleted": Fault(How.DELETED_FALSE, method="DELETE"),
    "404": Fault(How.STATUS, method="DELETE", status=404),
    "404-detail": Fault(How.STATUS, method="DELETE", status=404, body={"detail": "Not Found"}),
    "reset": Fault(How.RESET, method="DELETE"),
}
MINUTES = [5, 10]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world on each engine."""
    if request.param == "sqlite":
        with world_in(tmp_path) as made:
            yield made
        return
    server: Server = request.getfixturevalue("postgres")
    with server.registry() as name, world_in(tmp_path, server.url(name)) as made:
        yield made


def failed(world: World) -> set[Key]:
    return {one.thread.key for one in world.registry.threads.select(failed=True)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [*((Kind.CONVERSATION, name) for name in REFUSALS), (Kind.THREAD, "500")],
)
def test_a_deletion_that_is_refused_is_named_after_every_sweep(
    world: World, name: str, kind: Kind
) -> None:
    keys = {world.add(kind) for _ in range(2)}
    world.server.add_fault(REFUSALS[name])
    for sweep in range(2):
        assert world.sweep().exit_code == 1, sweep
        assert failed(world) == keys, sweep
        # A sweep that comes too early tries nothing, and says so again.
        world.server.deletes.clear()
        resting = world.sweep()
        assert resting.exit_code == 1
        assert [undone.threads for undone in resting.failures] == [2]
        assert failed(world) == keys
        causes = {world.entry(key).last_error for key in keys}
        assert None not in causes
        assert resting.failures[0].cause in causes
        for key in keys:
            assert world.entry(key).attempts == sweep + 1
            assert world.server.exists(key.id)
        [rest] = {world.entry(key).review_at for key in keys}
        assert rest is not None
        assert rest - world.now == timedelta(minutes=MINUTES[sweep])
        world.advance(rest - world.now)
    world.server.clear_faults()
    assert world.sweep().exit_code == 0
    assert {world.state(key) for key in keys} == {State.DELETED}
    assert failed(world) == set()


def test_failures_stay_on_either_engine(either: World) -> None:
    world = either
    keys = {world.add() for _ in range(2)}
    world.server.add_fault(REFUSALS["500"])
    assert [world.sweep().exit_code for _ in range(3)] == [1, 1, 1]
    assert failed(world) == keys
    assert {world.entry(key).attempts for key in keys} == {1}
    assert {world.state(key) for key in keys} == {State.ARCHIVED}
    world.advance(timedelta(minutes=5))
    assert world.sweep().exit_code == 1
    assert {world.entry(key).attempts for key in keys} == {2}


def test_what_rests_is_overdue_for_the_metrics(world: World) -> None:
    key = world.add()
    world.server.add_fault(REFUSALS["500"])
    for _ in range(2):
        world.sweep()

    async def look(context: RunContext) -> Mapping[str, datetime | None]:
        return overdue(context, world.now)

    since = world.run(look, changing=False)
    assert since["chats"] == world.entry(key).due_at


def test_one_that_is_in_use_is_no_failure(world: World) -> None:
    key = world.add()
    world.server.lock(key.id)
    assert [world.sweep().exit_code for _ in range(2)] == [0, 0]
    assert world.entry(key).attempts == 1


def test_half_done_removals_that_are_read_are_failures_of_their_own(world: World) -> None:
    """The server answers every read: that it deletes nothing is no outage."""
    world.policies = enforced(DELETED)
    keys = [world.add() for _ in range(2)]
    world.server.add_fault(REFUSALS["500"])
    for attempt in range(1, 4):
        assert world.sweep().silences == ()
        assert {world.entry(key).attempts for key in keys} == {attempt}
        world.advance(DAY)


def test_what_somebody_else_deletes_meanwhile_is_told_as_that(world: World) -> None:
    """As another janitor does that works on a copy of this registry."""
    world.policies = enforced(DELETED)
    state = world.server._world

    def delete(key: Key) -> None:
        state.remove(state.named(key.id))

    for key in [world.add() for _ in range(2)]:
        world.on("DELETE", f"*{key.id}", partial(delete, key))
    report = world.sweep()
    assert all(hook.happened for hook in world.hooks)
    said = "Somebody else deleted it in the meantime: make sure that no other janitor uses a copy"
    told = " ".join(report.silences) or str(report)
    assert said in told
    assert "check the endpoint" not in told


def test_what_failed_and_is_held_by_now_is_no_failure(world: World) -> None:
    key = world.add()
    with world.server.faulty(REFUSALS["500"]):
        world.sweep()
    world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)
    assert world.sweep().exit_code == 0
    assert world.state(key) is State.ARCHIVED


def test_failures_under_audit_or_a_pause_are_not_told(world: World) -> None:
    world.add()
    with world.server.faulty(REFUSALS["500"]):
        world.sweep()
    world.sweep()
    world.registry.pauses.add(Pause("all", "a look first", "ops", world.now))
    assert world.sweep().exit_code == 0
    world.registry.pauses.end("all")
    assert world.sweep().exit_code == 1
    world.policies = Policies((CHATS,), mode=Mode.AUDIT)
    assert world.sweep().exit_code == 0
