"""One container registered under several projects of one account: all of them must let it go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from postgres import Server
from sweep_world import DAY, NOW, OLD, World, enforced, path_of, world_in

from janitor.engine.context import RunContext
from janitor.engine.errors import ChangedError
from janitor.engine.worker import Worker
from janitor.model import Hold, Key, Kind, Mode, Stage, State
from janitor.policy.rules import ArchiveRule, Delete, Limits, Policy, Selector, SoftDelete
from janitor.registry import Pause

MAIN, LEGAL, THIRD = (Selector(projects=frozenset([name])) for name in ("main", "legal", "third"))
GO = Policy("go", match=MAIN, delete=Delete(30 * DAY))
GO_TOO = Policy("go_too", match=LEGAL, delete=Delete(30 * DAY))
LATER = replace(GO_TOO, delete=Delete(90 * DAY))
STAY = Policy("stay", match=LEGAL, keep_forever=True)
COPIED = replace(GO_TOO, archive=ArchiveRule(after=7 * DAY, keep_for=90 * DAY))
TWO = (GO, GO_TOO)
BOTH = enforced(*TWO)


@pytest.fixture
def world(world: World) -> World:
    world.keys = {"main": "sk-main", "legal": "sk-main"}
    world.policies = BOTH
    return world


def twin_of(world: World, key: Key, project: str = "legal", **said: object) -> Key:
    twin = replace(key, project=project)
    world.register(twin, **said)  # type: ignore[arg-type]
    return twin


def assert_kept(world: World, key: Key, why: str, *, project: str = "legal") -> None:
    assert world.changing_calls() == []
    assert world.server.exists(key.id)
    assert f"other_project {project}: {why}" in [*world.reasons(key), *world.sweep().kept]


REFUSALS: dict[str, tuple[Callable[[World, Key], object], str]] = {
    "keep forever": (
        lambda world, _: setattr(world, "policies", enforced(GO, STAY)),
        "keep_forever",
    ),
    "no policy": (lambda world, _: setattr(world, "policies", enforced(GO)), "unmatched"),
    "not due": (lambda world, _: setattr(world, "policies", enforced(GO, LATER)), "not_due"),
    "audit": (
        lambda world, _: setattr(world, "policies", enforced(GO, replace(GO_TOO, mode=Mode.AUDIT))),
        "audit",
    ),
    "paused": (
        lambda world, _: world.registry.pauses.add(
            Pause("project:legal", "look", "ops", world.now)
        ),
        "paused",
    ),
    "keep_until": (
        lambda world, twin: world.register(twin, keep_until=NOW + DAY),
        "keep_until",
    ),
    "active": (lambda world, twin: world.register(twin, active_at=NOW - DAY), "not_due"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_keeps_the_one_row_keeps_the_container(world: World, name: str) -> None:
    key = world.add()
    twin = twin_of(world, key)
    refuse, why = REFUSALS[name]
    refuse(world, twin)
    world.sweep()
    assert_kept(world, key, why)
    assert world.state(key) is world.state(twin) is State.ACTIVE


def test_a_hold_on_the_other_row_by_what_was_reported_of_it_alone(world: World) -> None:
    key = world.add()
    twin_of(world, key, metadata={"matter": "42"})
    world.registry.holds.add(Hold("matter", "letter", metadata={"matter": "42"}), NOW)
    world.sweep()
    assert_kept(world, key, "hold")


def test_a_kind_that_the_other_project_does_not_serve_is_kept(world: World) -> None:
    key = world.add(Kind.THREAD)
    world.keys = {"main": "sk-main", "legal": "sk-main"}
    twin_of(world, key)
    with unserved(world, "legal"):
        world.sweep()
        assert_kept(world, key, "not_served")


@contextmanager
def unserved(world: World, project: str) -> Iterator[None]:
    reach = world._connected

    def less(name: str, *, changing: bool):  # type: ignore[no-untyped-def]  # noqa: ANN202
        world.kinds = frozenset() if name == project else frozenset(Kind)
        return reach(name, changing=changing)

    world._connected = less  # type: ignore[method-assign]
    yield
    world._connected = reach  # type: ignore[method-assign]


def test_rows_that_all_let_it_go_are_settled_together(world: World) -> None:
    key = world.add()
    twin = twin_of(world, key)
    report = world.sweep()
    assert world.state(key) is world.state(twin) is State.DELETED
    assert world.server.deletes[key.id] == 1
    assert world.story(key)[-1] == world.story(twin)[-1] == "deleted"
    assert report.outcomes == {
        ("go", "delete", "done"): 1,
        ("go_too", "delete", "done"): 1,
    }
    assert world.registry.threads.population() == {}
    assert not world.entry(twin).intent
    assert world.sweep().outcomes == {}


def test_of_three_rows_one_is_enough_to_keep_it(world: World) -> None:
    world.keys["third"] = "sk-main"
    key = world.add()
    others = [twin_of(world, key), twin_of(world, key, "third")]
    world.policies = enforced(GO, GO_TOO)
    world.sweep()
    assert_kept(world, key, "unmatched", project="third")
    world.policies = enforced(GO, GO_TOO, Policy("third", match=THIRD, delete=Delete(30 * DAY)))
    world.approve()
    world.sweep()
    assert {world.state(one) for one in (key, *others)} == {State.DELETED}


@pytest.mark.parametrize("key_of_legal", ["sk-other", "sk-main"])
def test_equal_addresses_with_other_keys_are_other_tenants(world: World, key_of_legal: str) -> None:
    world.keys["legal"] = key_of_legal
    world.policies = enforced(GO, STAY)
    key = world.add()
    twin_of(world, key)
    world.sweep()
    assert world.server.exists(key.id) is (key_of_legal == "sk-main")


def test_a_credential_that_becomes_the_same_counts_from_the_next_sweep_on(world: World) -> None:
    world.keys["legal"] = "sk-other"
    world.policies = enforced(LATER, replace(STAY, match=MAIN))
    key = world.add()
    twin_of(world, key)
    world.sweep()
    world.keys["legal"] = "sk-main"
    world.advance(60 * DAY)
    world.sweep()
    assert world.server.exists(key.id)


def test_a_soft_delete_needs_the_consent_of_all_and_then_both_go(world: World) -> None:
    soft = SoftDelete(10 * DAY)
    world.policies = enforced(replace(GO, soft_delete=soft), STAY)
    key = world.add()
    twin = twin_of(world, key)
    world.sweep()
    assert_kept(world, key, "keep_forever")
    world.policies = enforced(replace(GO, soft_delete=soft), replace(GO_TOO, soft_delete=soft))
    world.approve()
    world.sweep()
    assert world.state(key) is world.state(twin) is State.SOFT_DELETED
    world.advance(60 * DAY)
    world.sweep()
    assert world.state(key) is world.state(twin) is State.DELETED


def test_a_removal_waits_for_the_copy_that_the_other_row_archives(world: World) -> None:
    # The row that is not archived comes first, by the name of its project.
    world.policies = enforced(replace(COPIED, name="copied", match=MAIN), GO_TOO)
    key = world.add()
    twin = twin_of(world, key)
    world.sweep()
    world.sweep()
    assert world.state(key) is world.state(twin) is State.DELETED
    copy = world.entry(key).thread.copy
    assert copy is not None
    assert copy.items == 3
    assert world.entry(twin).thread.copy is None


def test_a_copy_of_the_other_row_that_is_damaged_keeps_it(world: World) -> None:
    world.policies = enforced(GO, replace(COPIED, delete=Delete(90 * DAY)))
    key = world.add()
    twin_of(world, key)
    world.sweep()
    [copy] = world.objects()
    copy.write_bytes(copy.read_bytes()[:-9])
    world.advance(40 * DAY)
    world.sweep()
    assert world.server.exists(key.id)
    assert world.server.deletes[key.id] == 0


@pytest.mark.parametrize("held", ["main", "legal"])
def test_a_hold_on_either_row_between_items_stops_the_rest(world: World, held: str) -> None:
    metadata = {name: {"matter": "42"} if name == held else {} for name in ("main", "legal")}
    key = world.add(items=120, metadata=metadata["main"])
    twin = twin_of(world, key, metadata=metadata["legal"])
    hold = Hold("matter", "letter", metadata={"matter": "42"})
    world.on("DELETE", f"{path_of(key)}/items/*", lambda: world.registry.holds.add(hold, NOW))
    world.sweep()
    assert len(world.server.items(key.id)) == 20
    assert world.state(key) is world.state(twin) is State.DELETING
    assert "torn" in (*world.story(key), *world.story(twin))
    world.registry.holds.release("matter", NOW, reason="over", actor="ops")
    world.advance(8 * DAY)
    world.sweep()
    assert world.state(key) is world.state(twin) is State.DELETED


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(0, 10, 3))
def test_death_around_any_request_ends_with_both_rows_gone(
    world: World, step: int, *, after: bool
) -> None:
    kept_for = ArchiveRule(after=7 * DAY, keep_for=90 * DAY)
    world.policies = enforced(*(Policy(one.name, one.match, archive=kept_for) for one in TWO))
    key = world.add()
    twin = twin_of(world, key)
    world.sweep()
    world.policies = enforced(*(replace(one, archive=kept_for) for one in TWO))
    world.approve()
    world.die_at("*", "*", skip=step, after=after)
    world.sweep_and_die()
    world.sweep()
    assert world.state(key) is world.state(twin) is State.DELETED
    assert world.server.deletes[key.id] == 1
    assert world.story(key).count("deleted") == world.story(twin).count("deleted") == 1
    assert not {"missing", "torn"} & {*world.story(key), *world.story(twin)}
    assert world.registry.threads.population() == {}


def test_a_policy_over_its_limit_keeps_what_it_shares(world: World) -> None:
    world.policies = enforced(GO, GO_TOO, limits=Limits(max_threads=1))
    key = world.add()
    twin_of(world, key)
    world.register(Key("legal", Kind.CONVERSATION, "conv_another"))
    world.sweep()
    assert_kept(world, key, "limit")


def test_the_plan_says_who_keeps_it_and_changes_nothing(world: World) -> None:
    world.policies = enforced(GO, STAY)
    key = world.add()
    twin_of(world, key)
    made = world.plan()
    assert made.kept["other_project legal: keep_forever"] == 1
    assert not [row for row in made.decisions if Stage.DELETE in row.stages]
    assert world.server.exists(key.id)


def test_a_row_that_another_janitor_works_on_keeps_the_container(
    tmp_path: Path, postgres: Server
) -> None:
    with postgres.registry() as name, world_in(tmp_path, postgres.url(name)) as world:
        world.keys, world.policies = {"main": "sk-main", "legal": "sk-main"}, BOTH
        key = world.add()
        twin = twin_of(world, key)
        world.registry.claims.borrow(world.registry.claims.claimant("0" * 32), [twin])

        async def look(context: RunContext) -> None:
            run = world.registry.runs.start("sweep", "enforce", "", world.now)
            worker = Worker(context, run, threading.Event())
            review = await worker.reviewer.on_probe(world.entry(key), world.now)
            assert review.decision.stage is Stage.DELETE
            with pytest.raises(ChangedError, match="legal: another janitor is working on it"):
                async with worker.executor.together(review):
                    pass

        world.run(look)


def test_borrowed_rows_are_what_they_were(world: World) -> None:
    world.policies = enforced(GO, LATER)
    key = world.add()
    twin = twin_of(world, key, active_at=OLD + timedelta(days=1))
    by = world.registry.claims.claimant("a" * 32)
    loans = world.registry.claims.borrow(by, [twin])
    world.registry.claims.bring_back(by, loans.values())
    assert world.registry.claims.take_keys(by, [twin])


def test_a_removal_of_the_other_row_that_is_not_settled_keeps_the_container(world: World) -> None:
    world.keys = {"main": "sk-main"}
    key = world.add()
    world.die_at("DELETE", f"{path_of(key)}/items/*", skip=1)
    world.sweep_and_die()
    twin = twin_of(world, key)
    calls = len(world.changing_calls())
    world.keys = {"main": "sk-main", "legal": "sk-main"}
    world.registry.pauses.add(Pause("policy:go", "look", "ops", world.now))
    world.sweep()
    assert world.state(key) is State.DELETING
    assert world.state(twin) is State.ACTIVE
    assert len(world.changing_calls()) == calls
