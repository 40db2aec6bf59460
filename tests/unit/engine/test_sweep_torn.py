"""Items that are gone and stand in a proven copy are no activity: they were our own to remove."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from sweep_world import CHATS, COPIED, DAY, DELETED, NOW, World, enforced, path_of

from janitor.emulator import Fault, How
from janitor.emulator.errors import Json
from janitor.model import Hold, Key, State
from janitor.registry import Registry

Take = Callable[[list[str]], list[str]]
"""Which of the items, oldest first, are gone."""

TAKEN: dict[str, Take] = {
    "oldest": lambda ids: ids[:1],
    "newest": lambda ids: ids[-1:],
    "half": lambda ids: ids[: len(ids) // 2],
    "newer half": lambda ids: ids[len(ids) // 2 :],
    "every other": lambda ids: ids[1::2],
    "all": lambda ids: ids,
}


def contents(world: World, key: Key) -> dict[str, Json]:
    return world.server._world.named(key.id).items


def take(world: World, key: Key, which: Take) -> None:
    items = contents(world, key)
    for one in which(list(items)):
        del items[one]


def copied(world: World, items: int = 6) -> Key:
    """A conversation that was archived ten days after its last activity, and is due in 20 days."""
    key = world.add(items=items, created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    return key


@pytest.mark.parametrize("which", TAKEN.values(), ids=TAKEN)
def test_what_is_left_of_a_copied_conversation_goes_when_it_is_due(
    either_world: World, which: Take
) -> None:
    key = copied(either_world)
    proven = either_world.entry(key).thread.copy
    take(either_world, key, which)
    either_world.advance(20 * DAY)
    report = either_world.sweep()
    assert report.exit_code == 0
    assert either_world.story(key) == ["archived", "torn", "deleted"]
    assert either_world.entry(key).thread.copy == proven, "the copy has all of it"
    assert len(either_world.objects()) == 1


def test_it_is_told_once_and_shortens_and_lengthens_nothing(either_world: World) -> None:
    either_world.policies = enforced(COPIED)  # which looks for new items every week
    key = copied(either_world)
    before = either_world.entry(key)
    take(either_world, key, TAKEN["newer half"])
    for _ in range(3):
        either_world.advance(7 * DAY)
        either_world.sweep()
    after = either_world.entry(key)
    assert either_world.story(key) == ["archived", "torn"]
    assert after.thread.newest_item != before.thread.newest_item, "it was looked at"
    assert after.thread.last_active_at == before.thread.last_active_at
    assert after.thread.state is State.ARCHIVED
    assert after.thread.copy == before.thread.copy
    either_world.policies = enforced(CHATS)
    either_world.approve()
    either_world.sweep()
    assert either_world.state(key) is State.DELETED


def test_a_plan_says_the_same(world: World) -> None:
    key = copied(world)
    take(world, key, TAKEN["newer half"])
    world.advance(20 * DAY)
    [planned] = world.plan().decisions
    assert planned.stages == ("delete",)
    assert world.story(key) == ["archived"]
    world.apply(world.plan())
    assert world.state(key) is State.DELETED


def edit(item: Json) -> None:
    item["content"] = [{"type": "input_text", "text": "Something else."}]


def append(world: World, key: Key) -> None:
    world.server.append_item(key.id)


def change_oldest_left(world: World, key: Key) -> None:
    edit(next(iter(contents(world, key).values())))


def change_newest_left(world: World, key: Key) -> None:
    edit(list(contents(world, key).values())[-1])


def change_metadata(world: World, key: Key) -> None:
    world.server._world.named(key.id).metadata["topic"] = "new"


@pytest.mark.slow
@pytest.mark.parametrize("which", [TAKEN["half"], TAKEN["newer half"]], ids=["half", "newer half"])
@pytest.mark.parametrize(
    "change", [append, change_oldest_left, change_newest_left, change_metadata]
)
def test_what_is_new_or_changed_is_none_of_the_copy(
    world: World, which: Take, change: Callable[[World, Key], None]
) -> None:
    key = copied(world)
    take(world, key, which)
    change(world, key)
    world.advance(20 * DAY)
    world.sweep()
    assert world.server.exists(key.id)
    assert world.changing_calls() == []
    assert "torn" not in world.story(key)
    assert len(world.objects()) == 1, "the copy of what is gone stays"


def test_an_item_that_comes_after_it_was_found_torn_keeps_it(world: World) -> None:
    key = copied(world)
    take(world, key, TAKEN["half"])
    world.advance(20 * DAY)
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: world.server.append_item(key.id))
    world.sweep()
    assert world.server.exists(key.id)
    assert world.state(key) is State.DELETING
    assert len(contents(world, key)) == 1, "the new one"


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_a_copy_that_proves_nothing_makes_it_activity(world: World, harm: str) -> None:
    key = copied(world)
    take(world, key, TAKEN["newer half"])
    [path] = world.objects()
    if harm == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40])
    world.advance(20 * DAY)
    world.sweep()
    assert world.server.exists(key.id)
    assert world.changing_calls() == []


def test_what_is_held_stays_torn(world: World) -> None:
    key = copied(world)
    take(world, key, TAKEN["half"])
    world.registry.holds.add(Hold("court", ids=frozenset([key.id])), world.now)
    world.advance(20 * DAY)
    world.sweep()
    assert len(contents(world, key)) == 3
    assert world.changing_calls() == []


def test_without_a_copy_nothing_proves_whose_doing_it_is(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add(items=6, created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep()
    take(world, key, TAKEN["newer half"])
    world.advance(20 * DAY)
    world.sweep()
    assert world.server.exists(key.id)
    assert "torn" not in world.story(key)


def test_a_registry_from_before_the_items_were_deleted_brings_all_to_their_end(
    world: World,
) -> None:
    """A sweep dies amid its item deletes; then the registry is restored from a backup."""
    keys = [copied(world) for _ in range(4)]
    world.registry.close()
    database = world.root / "janitor.db"
    shutil.copy(database, world.root / "backup.db")
    world.registry = Registry.open(world.url)
    world.advance(20 * DAY)
    for key in keys:
        one = list(contents(world, key))[3]
        path = f"{path_of(key)}/items/{one}"
        world.server.add_fault(Fault(How.STATUS, method="DELETE", path=path, status=500))
    world.sweep()
    assert all(0 < len(contents(world, key)) < 6 for key in keys)
    world.registry.close()
    for name in database.parent.glob("janitor.db-*"):
        name.unlink()
    shutil.copy(world.root / "backup.db", database)
    world.registry = Registry.open(world.url)
    world.server.clear_faults()
    world.policies = enforced(CHATS)
    world.sweep()
    assert {world.state(key) for key in keys} == {State.DELETED}
    assert all(world.story(key) == ["archived", "torn", "deleted"] for key in keys)
