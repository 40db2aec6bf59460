"""`janitor hold`: what it says, what it copies, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from world import POLICIES, World, finished

from janitor.emulator import Fault, How
from janitor.registry import Registry

UNARCHIVED = "  - {name: old, match: {metadata: {plan: trial}}, delete: {after: 30d}}\n"


def add(world: World, *arguments: str, name: str = "case") -> Any:  # noqa: ANN401 - a document
    done = world.run("--output", "json", "hold", "add", name, "--reason", "law", *arguments)
    assert done.code == 0, done.err
    return done.document


def listed(world: World) -> list[dict[str, Any]]:
    done = world.run("--output", "jsonl", "hold", "list")
    assert done.code == 0, done.err
    return done.lines


def registry(world: World) -> Registry:
    return Registry.open(f"sqlite:///{world.registry}")


@pytest.mark.parametrize("mode", ["audit", "enforce"])
@pytest.mark.parametrize("policies", [POLICIES, UNARCHIVED], ids=["archiving", "not archiving"])
def test_what_is_held_is_copied_at_once_and_kept(world: World, mode: str, policies: str) -> None:
    world.configure(policies, mode=mode)
    held, other = world.fill(1, user="u1", plan="trial"), world.fill(2, user="u2", plan="trial")
    told = add(world, "--metadata", "user=u1")
    assert (told["matched"], told["copied"], told["uncopied"], told["unread"]) == (1, 1, 0, 0)
    assert [path.name[: len(held[0])] for path in world.archive.rglob("*.zst")] == held
    world.configure(policies)
    assert world.run("sweep").code == 0
    states = world.states()
    assert states == {held[0]: "archived"} | dict.fromkeys(other, "deleted")
    assert all(world.emulator.exists(one) is (one in held) for one in [*held, *other])


def test_the_copies_are_a_run_with_events_and_counts(world: World) -> None:
    (held,) = world.fill(1)
    add(world, "--id", held)
    (run,) = world.run("--output", "json", "runs").document["runs"]
    assert (run["command"], run["result"]) == ("hold", "done")
    assert run["counts"] == {"hold:case/archive/done": 1}
    shown = world.run("--output", "json", "runs", run["id"]).document
    assert [(event["name"], event["key"]["id"]) for event in shown["events"]] == [
        ("archived", held)
    ]
    assert world.changes == []


def test_a_second_copy_makes_only_what_is_not_current(world: World) -> None:
    ids = world.fill(3)
    add(world, *(word for one in ids for word in ("--id", one)))
    world.emulator.append_item(ids[1])
    done = world.run("--output", "json", "hold", "copy", "case")
    assert (done.code, done.document["copied"]) == (0, 3)
    newest = world.run("--output", "json", "runs").document["runs"][0]
    assert newest["counts"] == {"hold:case/archive/done": 1}


def test_an_id_that_is_not_registered_is_held_from_the_moment_it_is(world: World) -> None:
    assert world.run("db", "upgrade").code == 0  # a hold makes no registry
    late = world.conversation()
    done = world.run("--output", "json", "hold", "add", "case", "--reason", "law", "--id", late)
    assert done.code == 0
    assert (done.document["matched"], done.document["unregistered"]) == (0, [late])
    assert f"{late} is not registered" in done.err
    assert "matches no existing thread" in done.err
    world.register(late)
    assert world.run("sweep").code == 0
    assert world.emulator.exists(late)
    assert listed(world)[0]["threads"] == 1


def test_a_hold_on_a_deleted_thread_says_that_it_keeps_the_copy(world: World) -> None:
    (gone,) = world.fill(1)
    assert world.run("sweep").code == 0
    assert world.states() == {gone: "deleted"}
    done = world.run("hold", "add", "case", "--reason", "law", "--id", gone)
    assert done.code == 0
    assert "\nThe hold names no thread.\n" in done.out
    assert "matches no existing thread" in done.err
    assert "It also keeps archive copies of deleted threads" in done.err
    assert "is not registered" not in done.err


def test_a_hold_that_matches_nothing_is_told_by_plan_and_metric(world: World) -> None:
    world.fill(1)
    add(world, "--metadata", "user=nobody")
    assert "hold:case" in world.run("--output", "json", "plan").document["unmatched_rules"]
    textfile = world.directory / "janitor.prom"
    assert world.run("sweep", "--metrics-textfile", str(textfile)).code == 0
    said = textfile.read_text()
    assert 'janitor_rules_matching_nothing{rule="hold:case"} 1.0' in said
    assert "janitor_holds 1.0" in said
    assert world.run("hold", "release", "case", "--reason", "typo").code == 0
    assert world.run("sweep", "--metrics-textfile", str(textfile)).code == 0
    said = textfile.read_text()
    assert "hold:case" not in said
    assert "janitor_holds 0.0" in said


def test_threads_whose_metadata_was_never_read_are_named(world: World) -> None:
    unread = world.conversation(user="u1")
    assert world.run("import", "--id", unread).code == 0
    done = world.run("hold", "add", "case", "--reason", "law", "--metadata", "user=u1", "--no-copy")
    said = f"conversation {unread} of project main: its metadata was never read"
    assert said in done.err


def test_unread_metadata_is_read_and_what_is_not_meant_let_go(world: World) -> None:
    meant, other = world.conversation(user="u1"), world.conversation(user="u2")
    for one in (meant, other):
        assert world.run("import", "--id", one).code == 0
    told = add(world, "--metadata", "user=u1", "--no-copy")
    assert (told["matched"], told["unread"]) == (0, 2)
    done = world.run("--output", "json", "hold", "copy", "case")
    assert done.code == 0
    assert (done.document["matched"], done.document["unread"]) == (1, 0)
    explained = world.run("--output", "json", "explain", meant).document["threads"][0]
    assert [(one["reason"], one["by"]) for one in explained["kept_by"]] == [("hold", "case")]
    assert explained["archive"] is not None
    assert world.run("--output", "json", "explain", other).document["threads"][0]["archive"] is None


def test_the_list_tells_who_why_and_how_many(world: World) -> None:
    world.fill(2, user="u1", plan="trial")
    add(world, "--metadata", "user=u1", "--metadata", "plan=trial", "--actor", "counsel")
    add(world, "--metadata", "user=u1", "--until", "2999-01-01", "--no-copy", name="short")
    released = world.run("hold", "release", "short", "--reason", "done", "--actor", "clerk")
    assert released.code == 0
    first, second = listed(world)
    assert (first["name"], first["reason"], first["actor"]) == ("case", "law", "counsel")
    assert (first["state"], first["threads"], first["released_at"]) == ("in force", 2, None)
    assert second["until"].startswith("2999-01-01")
    assert (second["state"], second["released_by"]) == ("in grace", "clerk")
    assert second["release_reason"] == "done"
    assert "in force" in world.run("hold", "list").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "case", "--id", "conv_1"],
        ["add", "case", "--reason", " ", "--id", "conv_1"],
        ["add", "case", "--reason", "law"],
        ["add", "case", "--reason", "law", "--id", "conv_1", "--metadata", "a=b"],
        ["add", "case", "--reason", "law", "--id", "../etc"],
        ["add", "../etc", "--reason", "law", "--id", "conv_1"],
        ["add", "case", "--reason", "law", "--metadata", "a"],
        ["add", "case", "--reason", "law", "--metadata", "janitor_keep_until=forever"],
        ["add", "case", "--reason", "law", "--metadata", f"a={'x' * 513}"],
        ["add", "case", "--reason", "law", "--id", "conv_1", "--until", "2001-01-01"],
        ["copy", "case"],
        ["release", "case", "--reason", "done"],
        ["release", "case"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_what_makes_no_sense_exits_2_and_holds_nothing(world: World, arguments: list[str]) -> None:
    world.fill(1)
    done = world.run("hold", *arguments)
    assert done.code == 2
    assert done.err
    assert listed(world) == []


def test_a_name_is_taken_as_long_as_its_hold_is_in_force(world: World) -> None:
    world.fill(1)
    add(world, "--metadata", "plan=trial", "--no-copy")
    again = ("hold", "add", "case", "--reason", "law", "--metadata", "plan=trial", "--no-copy")
    assert world.run(*again).code == 2
    assert world.run("hold", "release", "case", "--reason", "over").code == 0
    assert world.run("hold", "release", "case", "--reason", "over").code == 2
    assert world.run(*again).code == 0


def test_one_failure_does_not_stop_the_others_and_says_what_to_repeat(world: World) -> None:
    bad, *good = world.fill(3)
    world.emulator.add_fault(Fault(How.EMPTY_OBJECT, path=f"/conversations/{bad}"))
    done = world.process("hold", "add", "case", "--reason", "law", "--metadata", "plan=trial")
    assert done.code == 1
    assert "janitor hold copy case" in done.err
    copied = {one for one in good if world.run("explain", one).out.count("archived")}
    assert copied == set(good)


def test_a_key_that_is_missing_leaves_the_hold_standing(world: World) -> None:
    world.fill(1)
    world.environment.clear()
    done = world.process("hold", "add", "case", "--reason", "law", "--metadata", "plan=trial")
    assert done.code == 2
    assert "hold case is set" in done.err
    assert [one["state"] for one in listed(world)] == ["in force"]


def test_beside_a_sweep_it_stands_at_once_and_the_copies_come_later(world: World) -> None:
    world.fill(2)
    with registry(world) as opened, opened.lock():
        done = world.process(
            *("--output", "json", "hold", "add", "case", "--reason", "law"),
            *("--metadata", "plan=trial", "--wait", "1s"),
        )
    assert done.code == 5
    assert (done.document["matched"], done.document["copied"]) == (2, 0)
    assert "hold case is set; copy its threads with: janitor hold copy case" in done.err
    assert world.process("hold", "copy", "case").code == 0
    assert len(list(world.archive.rglob("*.zst"))) == 2


def test_a_hold_between_plan_and_apply_is_drift(world: World) -> None:
    world.configure(UNARCHIVED)
    held, gone = world.fill(2)
    plan = world.directory / "plan.json"
    assert world.run("plan", "-o", str(plan)).code == 0
    add(world, "--id", held, "--no-copy")
    done = world.run("--output", "json", "apply", str(plan))
    assert done.code == 1
    assert done.document["kept"] == {"drift": 1}
    assert world.emulator.exists(held)
    assert not world.emulator.exists(gone)


def test_a_progress_bar_is_for_terminals_only(world: World) -> None:
    world.fill(1)
    process = world.start("hold", "add", "case", "--reason", "law", "--metadata", "plan=trial")
    done = finished(process)
    assert done.code == 0
    assert done.err == ""
    assert "Held: case" in done.out
