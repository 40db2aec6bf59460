"""I2: whatever changes right before the removing call keeps the thread, and says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sweep_world import CHATS, DAY, DELETED, NOW, World, enforced, matching, path_of

from janitor.drivers.send_guard import LOOK_LASTS
from janitor.emulator import Fault, How
from janitor.kinds import CATALOGUE
from janitor.model import Hold, Key, Kind, State
from janitor.policy.rules import Policy
from janitor.registry import Settlement

LEGAL = Policy("legal", match=matching(department="legal"), keep_forever=True)

Change = Callable[[World, Key], object]


def hold(world: World, key: Key) -> None:
    world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)


def protect_upstream(world: World, key: Key) -> None:
    world.server._world.named(key.id).metadata["department"] = "legal"


def protect_by_report(world: World, key: Key) -> None:
    world.register(key, metadata={"department": "legal"})


def say_more(world: World, key: Key) -> None:
    world.server.append_item(key.id)


def touch(world: World, key: Key) -> None:
    world.registry.registrations.touch([(key, world.now)])


def keep_until(world: World, key: Key) -> None:
    world.register(key, keep_until=NOW + DAY)


def damage(world: World, _: Key) -> None:
    [path] = world.objects()
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes(9))


def lose(world: World, _: Key) -> None:
    [path] = world.objects()
    path.unlink()


def change_metadata(world: World, key: Key) -> None:
    world.server._world.named(key.id).metadata["topic"] = "other"


def newest_of(key: Key) -> str:
    """The list of which the newest item is read after a copy: right before the first DELETE."""
    return f"{path_of(key)}/{CATALOGUE[key.kind].items_path}"


def age(world: World) -> None:
    """Let the look become too old to rely on."""
    world.uptime += LOOK_LASTS


LATEST = {
    "a hold": (hold, "hold"),
    "reported metadata": (protect_by_report, "keep_forever"),
    "a touch": (touch, "not_due"),
    "a date to keep until": (keep_until, "keep_until"),
}
EARLIER = LATEST | {
    "metadata upstream": (protect_upstream, "keep_forever"),
    "a new item": (say_more, "not_due"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LATEST)
@pytest.mark.parametrize("policy", [CHATS, DELETED], ids=lambda one: str(one.name))
def test_what_the_registry_is_told_last_of_all_still_keeps_it(
    world: World, name: str, policy: Policy
) -> None:
    act, reason = LATEST[name]
    world.policies = enforced(policy, LEGAL)
    key = world.add(upstream={"plan": "trial"}, items=120)
    # Two pages are listed right before the first DELETE; so many items are more than a look lists.
    lists = 5 if policy is CHATS else 3
    world.on("GET", newest_of(key), lambda: act(world, key), skip=lists - 1)
    report = world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.state(key) in {State.ACTIVE, State.ARCHIVED}
    assert world.entry(key).intent is None
    assert world.changing_calls() == []
    assert world.reasons(key) == [reason]
    assert (report.kept[reason], report.exit_code) == (1, 0)


@pytest.mark.parametrize("name", LATEST)
@pytest.mark.parametrize("kind", [Kind.CONVERSATION, Kind.THREAD, Kind.AGENT_SESSION])
def test_what_changes_after_the_decision_keeps_it(world: World, name: str, kind: Kind) -> None:
    act, reason = LATEST[name]
    world.policies = enforced(CHATS, LEGAL)
    key = world.add(kind, upstream={"plan": "trial"})
    world.on("GET", newest_of(key), lambda: act(world, key), skip=1)
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.server.exists(key.id)
    assert world.changing_calls() == []
    assert world.story(key) == ["archived", "kept"]
    assert world.reasons(key) == [reason]


@pytest.mark.parametrize("name", EARLIER)
@pytest.mark.parametrize("kind", [Kind.CONVERSATION, Kind.THREAD, Kind.AGENT_SESSION])
def test_what_changes_after_a_look_that_is_too_old_keeps_it(
    world: World, name: str, kind: Kind
) -> None:
    act, reason = EARLIER[name]
    world.policies = enforced(CHATS, LEGAL)
    key = world.add(kind, upstream={"plan": "trial"})

    def wait() -> None:
        age(world)
        act(world, key)

    # Right after the copy's last read, so that only another look can tell.
    world.on("GET", newest_of(key), wait, skip=1)
    world.hooks[-1].after = True
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.server.exists(key.id)
    assert world.changing_calls() == []
    assert "deleted" not in world.story(key)
    assert world.reasons(key) == [reason]


def test_what_somebody_else_deleted_meanwhile_is_left_and_the_sweep_goes_on(world: World) -> None:
    world.policies = enforced(DELETED)
    key, other = world.add(), world.add()
    gone = Settlement(key, None, tombstone=True)
    world.on("GET", path_of(key), lambda: world.registry.settlements.settle([gone]))
    assert world.sweep().exit_code == 0
    assert not [call for call in world.changing_calls() if key.id in call]
    assert world.state(other) is State.DELETED


@pytest.mark.parametrize("act", [damage, lose])
def test_a_copy_that_is_no_longer_sound_keeps_it_and_is_made_anew(
    world: World, act: Change
) -> None:
    key = world.add(created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep()
    act(world, key)
    world.advance(20 * DAY)
    report = world.sweep()
    assert world.server.exists(key.id)
    assert world.changing_calls() == []
    assert world.story(key) == ["archived", "failed"]
    assert report.exit_code == 1
    world.advance(DAY)
    world.sweep()
    assert world.state(key) is State.DELETED
    assert world.story(key) == ["archived", "failed", "archived", "deleted"]


@pytest.mark.parametrize("act", [damage, lose])
def test_a_copy_that_is_harmed_within_the_sweep_keeps_it(world: World, act: Change) -> None:
    key = world.add()
    world.on("GET", newest_of(key), lambda: act(world, key), skip=1)
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.changing_calls() == []
    assert world.story(key) == ["archived", "failed"]


def test_a_container_that_changed_without_a_new_item_is_archived_anew(world: World) -> None:
    key = world.add(created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep()
    change_metadata(world, key)
    world.advance(20 * DAY)
    world.sweep()
    assert world.server.exists(key.id)
    assert world.changing_calls() == []
    world.sweep()
    assert world.state(key) is State.DELETED
    assert world.story(key) == ["archived", "kept", "archived", "deleted"]


@pytest.mark.parametrize("kind", [Kind.AGENT_SESSION, Kind.THREAD])
def test_what_is_at_work_is_left_alone(world: World, kind: Kind) -> None:
    key = world.add(kind)
    run = world.server.start_run(key.id)
    report = world.sweep()
    assert world.server.exists(key.id)
    assert world.story(key) == ["busy"]
    assert report.exit_code == 0
    assert world.changing_calls() == []
    if kind is Kind.THREAD:
        world.server.set_run(run, "completed")
    world.server.lock(key.id, locked=False)
    world.advance(40 * DAY)
    world.sweep()
    assert world.state(key) is State.DELETED


@pytest.mark.parametrize("kind", [Kind.CONVERSATION, Kind.AGENT_SESSION])
def test_what_is_locked_at_the_last_moment_stays(world: World, kind: Kind) -> None:
    key = world.add(kind)
    world.on("DELETE", f"{path_of(key)}*", lambda: world.server.lock(key.id))
    world.sweep()
    assert all(hook.happened for hook in world.hooks)
    assert world.server.exists(key.id)
    assert world.state(key) is State.ARCHIVED
    assert world.entry(key).intent is None
    assert world.story(key) == ["archived", "withdrawn", "busy"]


def test_an_item_between_copy_and_proof_keeps_it(world: World) -> None:
    world.policies = enforced(CHATS)
    key = world.add(created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.on("GET", f"{path_of(key)}/items", lambda: world.server.append_item(key.id), skip=1)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    assert world.reasons(key) == ["changed while it was copied"]


@pytest.mark.parametrize("how", [How.TRUNCATED, How.NO_LAST_ID, How.CUT_BODY, How.EMPTY_OBJECT])
def test_an_export_that_cannot_be_believed_archives_and_deletes_nothing(
    world: World, how: How
) -> None:
    key = world.add(items=120)
    with world.server.faulty(Fault(how, path="*/items", skip=1)):
        world.sweep()
    assert world.server.exists(key.id)
    assert world.changing_calls() == []
    assert "deleted" not in world.story(key)
