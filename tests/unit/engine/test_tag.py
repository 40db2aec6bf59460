"""Tags: written where they lack, once, beside what the application wrote, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_wire import CrashError
from sweep_world import COPIED, DELETED, OLD, World, enforced, path_of

from janitor.emulator import Fault, How
from janitor.engine.report import Report
from janitor.engine.tag import Tag, Tagged, Wanted, foresee, tag, tag_of
from janitor.errors import ConfigError
from janitor.kinds import METADATA_PAIRS
from janitor.model import Key, Kind, Mode, State
from janitor.policy import Policies
from janitor.registry import Pause
from janitor.tracking.calls import CREATED_AT

TAG = {CREATED_AT: "2026-04-02T12:00:00Z"}
FULL = {f"k{n}": "v" for n in range(METADATA_PAIRS)}
ALL = Wanted()


def tagged(world: World, wanted: Wanted = ALL) -> tuple[Tagged, Report]:
    done = Tagged()
    with world.registry.lock(world.patience):
        report = world.run(lambda context: tag(context, wanted, threading.Event(), done))
    return done, report


def foreseen(world: World, wanted: Wanted = ALL) -> Tagged:
    done, stop = Tagged(), threading.Event()
    world.run(lambda context: foresee(context, wanted, stop, done), changing=False)
    return done


def fill_up(world: World, key: Key) -> None:
    world.server._world.named(key.id).metadata.update(FULL)


def counts(done: Tagged) -> tuple[int, int, int, dict[str, int]]:
    return (done.tagged, done.there, done.full, dict(done.kept))


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=20), st.booleans())
def test_a_tag_is_missing_only_where_there_is_room_for_it(
    upstream: Mapping[str, str], has: bool
) -> None:
    upstream = {**upstream, **(TAG if has else {})}
    found = tag_of(upstream)
    assert (found is Tag.THERE) == (CREATED_AT in upstream)
    assert (found is Tag.MISSING) == (not has and len({**upstream, **TAG}) <= METADATA_PAIRS)


@pytest.mark.parametrize("kind", [Kind.CONVERSATION, Kind.AGENT_SESSION, Kind.THREAD])
def test_the_servers_own_creation_time_is_written_beside_what_was_there(
    world: World, kind: Kind
) -> None:
    world.policies = enforced()
    key = world.add(kind, upstream={"plan": "trial"}, active_at=OLD)
    before = world.entry(key).thread
    done, report = tagged(world)
    assert (counts(done), report.exit_code) == ((1, 0, 0, {}), 0)
    assert world.server.metadata(key.id) == {"plan": "trial", **TAG}
    after = world.entry(key).thread
    assert after.upstream == {"plan": "trial", **TAG}
    assert (after.last_active_at, after.state) == (before.last_active_at, State.ACTIVE)
    assert world.story(key) == ["tagged"]
    assert report.run.command == "tag"


def test_a_kind_without_metadata_is_left_out(world: World) -> None:
    world.add(Kind.CHATKIT_THREAD)
    assert counts(tagged(world)[0]) == (0, 0, 0, {})
    assert world.server.log == []


def test_what_is_tagged_is_not_asked_for_again(world: World) -> None:
    world.policies = enforced()
    world.add()
    world.add(upstream=TAG)
    assert counts(tagged(world)[0]) == (1, 1, 0, {})
    world.server.clear_log()
    assert counts(tagged(world)[0]) == (0, 0, 0, {})
    assert world.server.log == []


def test_where_no_key_is_free_nothing_is_written(world: World) -> None:
    world.policies = enforced()
    key = world.add(upstream=FULL)
    assert counts(tagged(world)[0]) == (0, 0, 1, {})
    world.server.clear_log()
    assert counts(tagged(world)[0]) == (0, 0, 1, {})
    assert (world.server.log, world.server.metadata(key.id)) == ([], FULL)


def test_a_key_that_is_taken_between_the_look_and_the_write_is_left_alone(world: World) -> None:
    world.policies = enforced()
    key = world.add()
    world.on("GET", f"{path_of(key)}/items", lambda: fill_up(world, key))
    done, report = tagged(world)
    assert (counts(done), report.exit_code) == ((0, 0, 1, {}), 0)
    assert world.server.metadata(key.id) == FULL


def test_under_audit_nothing_is_tagged(world: World) -> None:
    world.add()
    world.policies = Policies(mode=Mode.AUDIT)
    with pytest.raises(ConfigError, match="audit"):
        tagged(world)
    assert (world.server.log, world.registry.runs.newest()) == ([], [])


@pytest.mark.parametrize("wanted", [Wanted("nowhere"), Wanted(kind=Kind.CHATKIT_THREAD)])
def test_what_cannot_be_meant_is_refused(world: World, wanted: Wanted) -> None:
    with pytest.raises(ConfigError):
        tagged(world, wanted)
    with pytest.raises(ConfigError):
        foreseen(world, wanted)


def test_only_what_is_meant_is_asked_for_and_later_the_rest(world: World) -> None:
    world.policies = enforced()
    keys = [world.add() for _ in range(3)]
    other = world.add(Kind.THREAD)
    assert tagged(world, Wanted("main", Kind.CONVERSATION, limit=2))[0].tagged == 2
    assert tagged(world, Wanted(kind=Kind.CONVERSATION))[0].tagged == 1
    assert [CREATED_AT in world.server.metadata(key.id) for key in (*keys, other)] == [
        *(True, True, True),
        False,
    ]


def test_what_is_due_stays_due_and_nothing_else_is_done(world: World) -> None:
    world.policies = enforced(DELETED)
    key = world.add()
    tagged(world)
    assert world.changing_calls() == [f"POST {path_of(key)}"]
    assert world.entry(key).review_at == world.now
    world.sweep()
    assert world.state(key) is State.DELETED


def test_a_tag_outdates_no_copy(world: World) -> None:
    world.policies = enforced(COPIED)
    key = world.add()
    world.sweep()
    tagged(world)
    world.server.clock.advance(timedelta(days=30))
    world.sweep()
    assert world.story(key) == ["archived", "tagged"]


def test_a_pause_is_obeyed_before_the_look_and_before_the_write(world: World) -> None:
    key, scope = world.add(), "project:main"
    world.registry.pauses.add(Pause(scope, "a look first", "ops", world.now))
    assert counts(tagged(world)[0]) == (0, 0, 0, {"paused": 1})
    assert world.server.log == []
    world.registry.pauses.end(scope)
    pause = Pause("all", "a look first", "ops", world.now)
    world.on("GET", f"{path_of(key)}/items", lambda: world.registry.pauses.add(pause))
    assert counts(tagged(world)[0]) == (0, 0, 0, {"paused": 1})
    assert world.changing_calls() == []


@pytest.mark.parametrize("how", [How.LOCKED, How.STATUS, How.NULL])
def test_one_that_fails_stops_no_other_and_rests(world: World, how: How) -> None:
    world.policies = enforced()
    keys = [world.add() for _ in range(3)]
    fault = Fault(how, method="POST", path=path_of(keys[1]))
    with world.server.faulty(fault):
        done, report = tagged(world)
    outcome = "busy" if how is How.LOCKED else "failed"
    assert counts(done) == (2, 0, 0, {outcome: 1})
    assert report.exit_code == (0 if how is How.LOCKED else 1)
    assert counts(tagged(world)[0]) == (0, 0, 0, {"resting": 1})
    world.advance(timedelta(hours=1))
    assert counts(tagged(world)[0]) == (1, 0, 0, {})


def test_a_refused_credential_stops_the_project(world: World) -> None:
    for _ in range(20):
        world.add()
    world.concurrency = 1
    world.keys["main"] = "sk-wrong"
    done, report = tagged(world)
    assert (done.tagged, report.exit_code) == (0, 3)
    assert len(world.server.log) < 20
    assert foreseen(world).kept == {"limit": 20}


def test_a_server_that_fails_says_to_tag_again_and_not_to_sweep(world: World) -> None:
    for _ in range(20):
        world.add()
    with world.server.faulty(Fault(How.STATUS, status=500)):
        _, report = tagged(world)
    (stop,) = report.stops
    assert stop.message.endswith("then run: the same command again")


def test_a_key_that_sees_nothing_stops_the_project_and_settles_nothing(world: World) -> None:
    keys = [world.add() for _ in range(20)]
    world.concurrency = 1
    world.keys["main"] = "sk-other"
    done, report = tagged(world)
    assert (done.tagged, report.exit_code) == (0, 4)
    assert {world.state(key) for key in keys} == {State.ACTIVE}
    assert done.kept["limit"] >= 10
    assert set(foreseen(world).kept) == {"missing", "limit"}


@pytest.mark.parametrize("after", [True, False])
def test_killed_at_the_write_it_is_written_once_in_the_end(world: World, after: bool) -> None:
    world.policies = enforced()
    key = world.add(upstream={"plan": "trial"})
    world.die_at("POST", path_of(key), after=after)
    with pytest.raises(CrashError):
        tagged(world)
    done, _ = tagged(world)
    assert (done.tagged, done.there) == ((0, 1) if after else (1, 0))
    assert world.entry(key).thread.upstream == {"plan": "trial", **TAG}
    assert [entry.method for entry in world.server.log if entry.method != "GET"] == ["POST"]


def snapshot(world: World) -> list[object]:
    return [*world.registry.threads.select(), *world.registry.runs.newest()]


def test_a_dry_run_counts_the_same_and_changes_nothing(world: World) -> None:
    world.policies = enforced()
    keys: list[Key] = [world.add() for _ in range(3)]
    world.add(upstream=FULL)
    world.add(upstream=TAG)
    world.server.lock(keys[0].id)
    world.registry.registrations.add([], world.now)
    before = snapshot(world)
    dry = foreseen(world)
    assert (snapshot(world), world.changing_calls()) == (before, [])
    world.server.lock(keys[0].id, locked=False)
    assert counts(dry) == counts(tagged(world)[0]) == (3, 1, 1, {})
