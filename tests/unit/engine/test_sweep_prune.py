"""The archive's copies of deleted threads end when their keep_for is over, and no sooner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update
from sweep_world import CHATS, DAY, NOW, OLD, World, enforced, matching, world_in

from janitor.engine.clock import ClockWatch, Uptime
from janitor.engine.context import RunContext
from janitor.engine.prune import prune_archive
from janitor.engine.report import Report
from janitor.engine.sweep import Orders
from janitor.errors import ArchiveError, ConfigError
from janitor.model import Hold, Key, Kind, Mode, State
from janitor.policy import Policies
from janitor.policy.rules import ArchiveRule, Delete, Lifetime, Limits, Policy
from janitor.registry import Pause, RunResult
from janitor.registry.copies import WAITS
from janitor.registry.tables import META, THREAD

GRACE = 7 * DAY
DUE = 91 * DAY
"""How long after a deletion a copy that is kept for 90 days is past its date."""


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """One on SQLite; on PostgreSQL where a test is parametrized by `both`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        with world_in(tmp_path) as made:
            yield made
        return
    server = request.getfixturevalue("postgres")
    with server.registry() as name, world_in(tmp_path, server.url(name)) as made:
        yield made


both = pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)


def prune(world: World, yes: int | None = None) -> Report:
    async def work(context: RunContext) -> Report:
        return await prune_archive(context, threading.Event(), yes=yes)

    with world.registry.lock(world.patience):
        return world.run(work)


def deleted(world: World, number: int = 1, **facts: Any) -> list[Key]:  # noqa: ANN401 - those of `add`
    """Threads that were copied and deleted, each with its object."""
    keys = [world.add(**facts) for _ in range(number)]
    policies = world.policies
    world.policies = replace(policies, limits=Limits(max_percent=100.0))
    world.sweep()
    world.policies = policies
    assert {world.state(key) for key in keys} == {State.DELETED}
    return keys


def alter(world: World, *keys: Key, **values: object) -> None:
    """Change rows behind the program's back, all of them where no key is named."""
    ids = [key.id for key in keys]
    changed = update(THREAD).values(values)
    with world.registry.store.database.engine.begin() as connection:
        connection.execute(changed.where(THREAD.c.id.in_(ids)) if ids else changed)


def upgraded(world: World) -> None:
    """The registry is as the migration leaves one whose dates nobody has kept."""
    with world.registry.store.database.engine.begin() as connection:
        connection.execute(insert(META), {"key": WAITS, "value": "1"})


def paths(world: World, key: Key) -> list[Path]:
    return [path for path in world.objects() if path.name.startswith(key.id)]


@both
def test_a_copy_ends_when_its_time_is_over_and_no_sooner(world: World) -> None:
    [key] = deleted(world)
    world.advance(90 * DAY - DAY)
    done = world.sweep()
    assert (done.pruned.due, done.pruned.removed, len(world.objects())) == (0, 0, 1)
    world.advance(DAY)
    assert world.plan().pruned.foreseen == 1
    done = world.sweep()
    assert (done.pruned.removed, done.exit_code, done.run.result) == (1, 0, RunResult.DONE)
    assert world.objects() == []
    entry = world.entry(key)
    assert (entry.thread.copy, entry.archive_keep_until) == (None, None)
    assert world.story(key)[-1] == "pruned"
    assert world.registry.copies.count() == 0
    families = {one.name: one for one in world.metrics.families()}
    [sample] = families["janitor_archive_pruned"].samples
    assert (sample.labels, sample.value) == ({"project": "main"}, 1.0)
    assert world.registry.runs.first_broken() is None
    assert world.sweep().pruned.removed == 0


@pytest.mark.parametrize("kind", Kind)
def test_it_ends_whatever_the_kind(world: World, kind: Kind) -> None:
    deleted(world, kind=kind)
    world.advance(DUE)
    assert (world.sweep().pruned.removed, world.objects()) == (1, [])


def test_nothing_ends_while_its_thread_lives(world: World) -> None:
    copied = Policy("copied", archive=ArchiveRule(after=7 * DAY, keep_for=DAY))
    world.policies = enforced(copied)
    key = world.add()
    world.sweep()
    assert world.state(key) is State.ARCHIVED
    for state in State:
        if state is not State.DELETED:
            alter(world, state=state, archive_keep_until=OLD)
            world.advance(400 * DAY)
            assert prune(world).pruned.removed == 0
            assert len(world.objects()) == 1


LONGER: dict[str, tuple[Policies, int]] = {
    "longer": (enforced(replace(CHATS, archive=ArchiveRule(7 * DAY, keep_for=400 * DAY))), 400),
    "shorter": (enforced(replace(CHATS, archive=ArchiveRule(7 * DAY, keep_for=2 * DAY))), 90),
    "gone": (enforced(Policy("none", delete=Delete(900 * DAY))), 90),
    "a rule that may mean it": (
        enforced(
            CHATS, Policy("law", matching(a="b"), archive=ArchiveRule(DAY, keep_for=300 * DAY))
        ),
        300,
    ),
    "a rule that means others": (
        enforced(
            CHATS,
            Policy(
                "law",
                replace(matching(), projects=frozenset({"other"})),
                archive=ArchiveRule(DAY, keep_for=300 * DAY),
            ),
        ),
        90,
    ),
}


@pytest.mark.parametrize(("policies", "days"), LONGER.values(), ids=LONGER)
def test_the_later_of_what_was_recorded_and_of_what_is_asked_for_today_counts(
    world: World, policies: Policies, days: int
) -> None:
    deleted(world)
    world.policies = policies
    world.sweep()
    world.approve()
    world.advance((days - 1) * DAY)
    world.sweep()
    assert len(world.objects()) == 1
    world.advance(DAY)
    assert (world.sweep().pruned.removed, world.objects()) == (1, [])


def test_for_ever_is_for_ever(world: World) -> None:
    deleted(world)
    world.policies = enforced(replace(CHATS, archive=ArchiveRule(7 * DAY, keep_for=None)))
    world.advance(9000 * DAY)
    assert world.sweep().pruned.kept == {"not_due": 1}
    assert len(world.objects()) == 1


def test_of_two_policies_each_thread_keeps_the_time_that_was_promised_for_it(world: World) -> None:
    """The README's two policies: what the default asks for is nothing to what another matches."""
    trial = Policy(
        "trial",
        matching(plan="trial"),
        archive=ArchiveRule(7 * DAY, keep_for=90 * DAY),
        delete=Delete(30 * DAY),
    )
    rest = Policy(
        "rest",
        default=True,
        archive=ArchiveRule(7 * DAY, keep_for=365 * DAY),
        delete=Delete(30 * DAY),
    )
    world.policies = enforced(trial, rest)
    short = world.add(metadata={"plan": "trial"}, upstream={})
    long = world.add(metadata={"plan": "paid"}, upstream={})
    world.sweep()
    world.advance(DUE)
    assert world.sweep().pruned.removed == 1
    assert (paths(world, short), len(paths(world, long))) == ([], 1)
    world.advance(275 * DAY)
    assert (world.sweep().pruned.removed, world.objects()) == (1, [])


HELD: dict[str, tuple[Hold, dict[str, Any], bool]] = {
    "said by the server": (Hold("h", metadata={"m": "1"}), {"upstream": {"m": "1"}}, True),
    "another value": (Hold("h", metadata={"m": "1"}), {"upstream": {"m": "2"}}, False),
    "no such key": (Hold("h", metadata={"m": "1"}), {"upstream": {"n": "1"}}, False),
    "one of two": (Hold("h", metadata={"m": "1", "n": "2"}), {"upstream": {"m": "1"}}, False),
    "said by the application": (
        Hold("h", metadata={"m": "1"}), {"upstream": {}, "metadata": {"m": "1"}}, True,
    ),
    "perhaps said by the application": (
        Hold("h", metadata={"m": "1"}), {"upstream": {"m": "2"}, "metadata": {"m": "3"}}, True,
    ),
    "said alike by both": (
        Hold("h", metadata={"m": "1"}), {"upstream": {"m": "2"}, "metadata": {"m": "2"}}, False,
    ),
    "said of another key": (
        Hold("h", metadata={"m": "1"}), {"upstream": {"m": "2"}, "metadata": {"user": "u"}}, False,
    ),
    "of a kind without metadata": (
        Hold("h", metadata={"m": "1"}), {"kind": Kind.CHATKIT_THREAD, "metadata": {"m": "1"}}, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("hold", "facts", "stays"), HELD.values(), ids=HELD)
def test_what_does_not_certainly_escape_a_hold_stays(
    world: World, hold: Hold, facts: dict[str, Any], *, stays: bool
) -> None:
    deleted(world, **facts)
    world.registry.holds.add(hold, world.now)
    world.advance(DUE)
    foreseen = world.plan().pruned
    done = world.sweep()
    assert (foreseen.foreseen, len(world.objects())) == (int(not stays), int(stays))
    assert done.pruned.kept == foreseen.kept == ({"hold": 1} if stays else {})
    world.registry.holds.release("h", world.now, reason="over")
    assert world.sweep().pruned.removed == 0
    world.advance(GRACE)
    assert world.sweep().pruned.removed == int(stays)
    assert world.objects() == []


def test_a_hold_by_id_stands_until_its_grace_is_over(world: World) -> None:
    one, other = deleted(world, 2)
    world.registry.holds.add(Hold("h", ids=frozenset({one.id})), world.now)
    world.advance(DUE)
    assert world.sweep().pruned.removed == 1
    assert (len(paths(world, one)), paths(world, other)) == (1, [])
    world.registry.holds.release("h", world.now, reason="over")
    world.advance(GRACE - DAY)
    assert world.sweep().pruned.removed == 0
    world.advance(DAY)
    assert world.sweep().pruned.removed == 1


@both
def test_a_hold_that_comes_in_the_midst_stops_what_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = deleted(world, 5)
    world.advance(DUE)
    real = world.archive.prune

    async def then_held(key: Key, at: tuple[str, ...]) -> None:
        await real(key, at)
        if len(world.objects()) == 3:
            world.registry.holds.add(Hold("h", ids=frozenset(one.id for one in keys)), world.now)

    monkeypatch.setattr(world.archive, "prune", then_held)
    done = world.sweep()
    assert (done.pruned.removed, done.pruned.kept, len(world.objects())) == (2, {"hold": 3}, 3)
    assert len({one for one in keys if world.entry(one).thread.copy is not None}) == 3


def test_what_cannot_be_read_stays_by_name_while_a_hold_may_mean_it(world: World) -> None:
    [key] = deleted(world, upstream={"m": "2"})
    world.registry.holds.add(Hold("h", metadata={"m": "1"}), world.now)
    [path] = world.objects()
    path.write_bytes(path.read_bytes()[:-9])
    world.advance(DUE)
    done = world.sweep()
    assert (done.pruned.removed, done.pruned.failed, done.exit_code) == (0, 1, 1)
    [said] = done.pruned.messages()
    assert key.id in said
    assert path.name in said
    world.registry.holds.release("h", world.now, reason="over")
    world.advance(GRACE)
    assert (world.sweep().pruned.removed, world.objects()) == (1, [])


STOPS: dict[str, Callable[[World], object]] = {
    "everything is paused": lambda w: w.registry.pauses.add(Pause("all", "r", "ops", w.now)),
    "its project is paused": lambda w: w.registry.pauses.add(
        Pause("project:main", "r", "ops", w.now)
    ),
    "its policy is paused": lambda w: w.registry.pauses.add(
        Pause("policy:chats", "r", "ops", w.now)
    ),
    "audit": lambda w: setattr(w, "policies", replace(w.policies, mode=Mode.AUDIT)),
    "its policy is in audit": lambda w: setattr(
        w, "policies", enforced(replace(CHATS, mode=Mode.AUDIT))
    ),
}


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_a_pause_and_audit_stop_it(world: World, stop: Callable[[World], object]) -> None:
    deleted(world)
    world.advance(DUE)
    stop(world)
    assert world.plan().pruned.foreseen == 0
    done = world.sweep()
    assert (done.pruned.removed, done.exit_code, len(world.objects())) == (0, 0, 1)
    if world.policies.mode is Mode.AUDIT:
        with pytest.raises(ConfigError, match="mode is audit"):
            prune(world)
    else:
        assert prune(world).pruned.removed == 0


def test_another_scope_stops_nothing(world: World) -> None:
    deleted(world)
    world.advance(DUE)
    world.registry.pauses.add(Pause("project:other", "r", "ops", world.now))
    world.registry.pauses.add(Pause("policy:other", "r", "ops", world.now))
    assert world.sweep().pruned.removed == 1


@both
def test_over_the_limit_none_is_removed_until_a_person_names_the_number(world: World) -> None:
    keys = deleted(world, 30)
    world.policies = enforced(Policy("none", delete=Delete(900 * DAY)))  # no time that passes helps
    world.advance(DAY)
    alter(world, *keys[:4], archive_keep_until=NOW)
    done = world.sweep()
    assert (done.pruned.removed, done.exit_code, done.run.result) == (0, 4, RunResult.LIMITED)
    [said] = done.pruned.messages()
    assert "4 of 30" in said
    assert "janitor archive prune --yes 4" in said
    assert prune(world).exit_code == prune(world, yes=3).exit_code == 4
    assert len(world.objects()) == 30
    done = prune(world, yes=4)
    assert (done.pruned.removed, done.exit_code, len(world.objects())) == (4, 0, 26)


def test_time_that_passed_allows_more_than_the_limit(world: World) -> None:
    deleted(world, 30)
    world.advance(DUE)
    assert (world.sweep().pruned.removed, world.objects()) == (30, [])


def test_waiting_alone_does_not_lift_the_limit(world: World) -> None:
    deleted(world, 30)
    world.advance(DUE - 5 * DAY)
    world.sweep()
    for _ in range(3):
        world.advance(20 * DAY)
        done = world.sweep()
    assert (done.exit_code, len(world.objects())) == (4, 30)


def test_a_wrong_clock_removes_nothing(world: World) -> None:
    deleted(world)
    world.advance(DUE)

    async def work(context: RunContext) -> Report:
        boot = Uptime("boot", 3 * DAY)
        watch = ClockWatch(DAY / 4, lambda: world.now, lambda: boot)
        watch.hear((world.now - 90 * DAY).strftime("%a, %d %b %Y %H:%M:%S GMT"))
        return await prune_archive(replace(context, watch=watch), threading.Event())

    done = world.run(work)
    assert (done.pruned.removed, done.exit_code, len(world.objects())) == (0, 4, 1)


@both
def test_the_first_removal_after_an_upgrade_waits_for_a_person(world: World) -> None:
    deleted(world, 2)
    alter(world, archive_terms=None)
    upgraded(world)
    world.advance(DUE)
    assert (world.plan().pruned.foreseen, world.plan().pruned.waiting) == (0, 2)
    for _ in range(2):
        done = world.sweep()
        assert (done.pruned.waiting, done.exit_code, len(world.objects())) == (2, 0, 2)
        [said] = done.pruned.messages()
        assert "2 archive copies" in said
        assert "`janitor archive prune`" in said
    assert (prune(world).pruned.removed, world.objects()) == (2, [])
    deleted(world)
    world.advance(DUE)
    assert world.sweep().pruned.removed == 1


def test_an_upgrade_before_any_date_is_over_waits_for_nobody(world: World) -> None:
    deleted(world)
    upgraded(world)
    world.sweep()
    world.advance(DUE)
    assert world.sweep().pruned.removed == 1


def test_what_somebody_else_removed_is_recorded_as_gone(world: World) -> None:
    [key] = deleted(world)
    [path] = world.objects()
    path.unlink()
    world.advance(DUE)
    done = world.sweep()
    assert (done.pruned.removed, done.pruned.gone, done.exit_code) == (0, 1, 0)
    assert world.story(key)[-1] == "archive_gone"
    assert world.entry(key).thread.copy is None


def test_what_lies_in_no_directory_is_not_believed_to_be_gone(world: World) -> None:
    [key] = deleted(world)
    [path] = world.objects()
    path.parent.rename(world.root / "elsewhere")
    world.advance(DUE)
    done = world.sweep()
    assert (done.pruned.gone, done.pruned.failed, done.exit_code) == (0, 1, 1)
    assert world.entry(key).thread.copy is not None


def test_a_link_in_its_place_is_not_followed_and_not_removed(world: World) -> None:
    [key] = deleted(world)
    [path] = world.objects()
    target = world.root / "precious"
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)
    world.advance(DUE)
    done = world.sweep()
    assert (done.pruned.removed, done.pruned.failed) == (0, 1)
    assert (target.exists(), path.is_symlink()) == (True, True)
    assert world.entry(key).thread.copy is not None


@both
def test_an_object_that_another_row_names_stays(world: World) -> None:
    one, other = deleted(world, 2)
    living = world.add(active_at=NOW, created_at=NOW)
    world.advance(DUE)
    copy = world.entry(one).thread.copy
    assert copy is not None
    alter(world, living, other, copy_path=copy.path)
    done = prune(world)
    assert (done.pruned.removed, len(paths(world, one))) == (0, 1)
    assert (done.pruned.kept, done.pruned.failed) == ({"changed": 1}, 1)


@both
def test_every_object_of_the_series_that_the_row_names_ends(world: World) -> None:
    world.policies = enforced(
        replace(CHATS, delete=Delete(200 * DAY), archive=ArchiveRule(items=2, keep_for=90 * DAY))
    )
    key = world.add(active_at=NOW, created_at=NOW)
    world.sweep()
    [first] = world.objects()
    container = world.server._world.containers[key.id]
    del container.items[next(iter(container.items))]  # an item that only the older copy holds
    world.server.append_item(key.id)
    world.advance(2 * DAY)
    world.sweep()
    assert len(world.objects()) == 2
    world.advance(250 * DAY)
    world.sweep()
    assert (world.state(key), len(world.objects())) == (State.DELETED, 2)
    world.advance(DUE)
    assert (world.sweep().pruned.removed, world.objects()) == (1, [])
    assert not first.exists()


def test_an_archive_that_does_not_answer_keeps_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = deleted(world, 3)
    world.advance(DUE)
    real = world.archive.prune

    async def once(key: Key, at: tuple[str, ...]) -> None:
        if len(world.objects()) < 3:
            raise ArchiveError("the disk is gone")
        await real(key, at)

    with monkeypatch.context() as patch:
        patch.setattr(world.archive, "prune", once)
        done = world.sweep()
    assert (done.pruned.removed, done.exit_code, len(world.objects())) == (1, 3, 2)
    assert sum(world.entry(key).thread.copy is not None for key in keys) == 2
    done = world.sweep()
    assert (done.pruned.removed, done.exit_code, world.objects()) == (2, 0, [])


@both
def test_one_who_died_after_the_removal_is_counted_all_the_same(world: World) -> None:
    [key] = deleted(world)
    world.advance(DUE)
    [past] = world.registry.copies.past(world.now)
    assert world.registry.copies.intend_prune("dead", [past]) == {key}
    asyncio.run(world.archive.prune(key, past.paths))
    world.registry.holds.add(Hold("late", metadata={"m": "1"}), world.now)
    done = world.sweep()
    assert (done.pruned.removed, done.pruned.gone) == (1, 0)
    assert world.story(key)[-1] == "pruned"


def test_a_sweep_of_one_policy_removes_only_its_copies(world: World) -> None:
    deleted(world)
    world.advance(DUE)
    assert world.sweep(Orders(policy="other")).pruned.removed == 0
    assert world.sweep(Orders(policy="chats", limit=1)).pruned.removed == 1


def test_a_tombstone_outlives_its_time_while_its_copy_is_there(world: World) -> None:
    [key] = deleted(world)
    world.registry.pauses.add(Pause("all", "r", "ops", world.now))
    world.advance(401 * DAY)
    world.sweep()
    assert world.registry.threads.get(key) is not None
    world.registry.pauses.end("all")
    world.sweep()
    assert (world.registry.threads.get(key), world.objects()) == (None, [])


def test_the_ceiling_ends_threads_and_keep_for_their_copies(world: World) -> None:
    kept = Policy("kept", archive=ArchiveRule(after=7 * DAY, keep_for=90 * DAY))
    world.policies = enforced(kept, lifetime=Lifetime(max=30 * DAY), limits=Limits(max_percent=100))
    key = world.add(created_at=OLD)
    world.sweep()
    assert world.state(key) is State.DELETED
    world.advance(89 * DAY)
    assert world.sweep().pruned.removed == 0
    world.advance(DAY)
    assert world.sweep().pruned.removed == 1
