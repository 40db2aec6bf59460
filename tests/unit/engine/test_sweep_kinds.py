"""Archive, prove, delete: all kinds, in one sweep and in two, and every count agrees."""

from __future__ import annotations

import pytest
from sweep_world import CHATS, COPIED, DAY, NOW, World, enforced, outcomes

from janitor.archive import Header, Trailer
from janitor.model import Key, Kind, Outcome, Record, Stage, State
from janitor.policy.rules import Limits


def texts(world: World, key: Key) -> list[str]:
    """The ids of the items that the archive holds of a thread."""
    copy = world.entry(key).thread.copy
    assert copy is not None
    records = list(world.archive.read(copy.path))
    assert isinstance(records[0], Header)
    assert isinstance(records[-1], Trailer)
    return [one.id for one in records if isinstance(one, Record) and one.is_item]


@pytest.mark.parametrize("kind", Kind)
def test_what_is_due_for_both_is_archived_proven_and_deleted_in_one_sweep(
    world: World, kind: Kind
) -> None:
    key = world.add(kind)
    items = [item["id"] for item in world.server.items(key.id)]
    report = world.sweep()
    assert report.exit_code == 0
    assert world.state(key) is State.DELETED
    assert not world.server.exists(key.id)
    assert world.server.items(key.id) == []
    assert texts(world, key) == items
    assert world.story(key) == ["archived", "deleted"]


@pytest.mark.parametrize("kind", Kind)
def test_archived_in_one_sweep_and_deleted_in_a_later_one(world: World, kind: Kind) -> None:
    key = world.add(kind, created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY)
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    assert world.server.exists(key.id)
    world.advance(20 * DAY)
    world.sweep()
    assert world.state(key) is State.DELETED
    assert not world.server.exists(key.id)
    assert world.story(key) == ["archived", "deleted"]


@pytest.mark.parametrize("kind", Kind)
def test_nothing_happens_a_microsecond_before_the_date(world: World, kind: Kind) -> None:
    key = world.add(kind, created_at=NOW - 7 * DAY, active_at=NOW - 7 * DAY)
    world.server.clock.set(NOW - DAY / 86_400_000_000)
    world.sweep()
    assert world.state(key) is State.ACTIVE
    world.server.clock.set(NOW)
    world.sweep()
    assert world.state(key) is State.ARCHIVED


def test_the_items_of_a_conversation_go_before_it(world: World) -> None:
    key = world.add(items=3)
    items = [item["id"] for item in world.server.items(key.id)]
    world.sweep()
    assert world.server.deletes == {**dict.fromkeys(items, 1), key.id: 1}
    asked = [one.id for one in world.server.log if one.method == "DELETE"]
    assert asked[-1] == key.id


def test_a_tombstone_tells_no_more_than_that_it_was_deleted(world: World) -> None:
    key = world.add(metadata={"user_id": "ann"}, upstream={"topic": "divorce"})
    report = world.sweep()
    entry = world.entry(key)
    thread = entry.thread
    assert (thread.reported, thread.upstream, thread.newest_item) == (None, None, None)
    assert (thread.last_active_at, entry.sightings.reported_at) == (None, None)
    assert (entry.deleted_at, entry.deleted_run, entry.policy) == (NOW, report.run.id, "chats")
    assert entry.archive_keep_until == NOW + 90 * DAY
    assert list(world.registry.threads.select(metadata={"user_id": "ann"})) == []
    world.close()
    assert b"divorce" not in (world.root / "janitor.db").read_bytes()


def test_every_count_says_the_same(world: World) -> None:
    world.policies = enforced(CHATS, limits=Limits(max_percent=100))
    keys = [world.add(kind) for kind in Kind for _ in range(3)]
    copied = [world.add(kind, created_at=NOW - 10 * DAY, active_at=NOW - 10 * DAY) for kind in Kind]
    report = world.sweep()
    archived, deleted = (
        ("chats", Stage.ARCHIVE, Outcome.DONE),
        ("chats", Stage.DELETE, Outcome.DONE),
    )
    wanted = {archived: len(copied) + len(keys), deleted: len(keys)}
    assert dict(report.outcomes) == wanted
    assert outcomes(list(world.registry.runs.events(report.run.id))) == wanted
    assert report.run.counts == {"/".join(name): number for name, number in wanted.items()}
    assert dict(world.registry.runs.totals()) == wanted
    for (policy, stage, outcome), number in wanted.items():
        labels = {"policy": policy, "stage": stage, "outcome": outcome}
        counted = world.metrics.collectors.get_sample_value("janitor_actions_total", labels)
        assert counted == number
    deletes = world.server.deletes
    assert {deletes[key.id] for key in keys} == {1}
    assert {deletes[key.id] for key in copied} == {0}
    states = world.registry.threads.states()
    assert sum(n for (_, _, state), n in states.items() if state is State.DELETED) == len(keys)
    stored = world.metrics.collectors.get_sample_value(
        "janitor_archive_bytes_total", {"project": "main"}
    )
    assert stored == sum(path.stat().st_size for path in world.objects())
    assert world.registry.runs.first_broken() is None


def test_what_is_deleted_is_never_touched_again(world: World) -> None:
    keys = [world.add(kind) for kind in Kind]
    world.sweep()
    told = [world.story(key) for key in keys]
    world.server.clear_log()
    for _ in range(3):
        world.advance(40 * DAY)
        world.sweep()
    assert world.server.log == []
    assert [world.story(key) for key in keys] == [[*one, "pruned"] for one in told]


def test_tombstones_expire(world: World) -> None:
    world.policies = enforced(CHATS)
    key = world.add()
    world.sweep()
    world.advance(401 * DAY)
    world.sweep()
    assert world.registry.threads.get(key) is None


def test_a_policy_that_only_archives_deletes_nothing(world: World) -> None:
    world.policies = enforced(COPIED)
    keys = [world.add(kind) for kind in Kind]
    world.sweep()
    world.advance(400 * DAY)
    world.sweep()
    assert {world.state(key) for key in keys} == {State.ARCHIVED}
    assert world.changing_calls() == []


def test_a_sweep_with_nothing_to_do_is_a_run_of_zero_counts(world: World) -> None:
    report = world.sweep()
    assert (report.run.result, dict(report.run.counts), report.exit_code) == ("done", {}, 0)
    assert world.registry.runs.newest()[0].id == report.run.id
