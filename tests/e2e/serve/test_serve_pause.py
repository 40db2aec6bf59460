"""`pause` and `resume`: obeyed before the next call, told to whoever looks."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from world import World, finished, until

from serve.serving import Start, scheduled

LONG = 150


def test_a_paused_policy_is_left_alone_and_others_go_on(world: World) -> None:
    trials, marked = world.fill(2), world.fill(1, age=70, plan="marked")
    assert world.run("pause", "--policy", "trial-chats", "--reason", "incident 42").code == 0
    assert world.run("sweep").code == 0
    states = world.states()
    assert {states[one] for one in trials} == {"active"}
    assert states[marked[0]] != "active"
    assert not [path for path in world.changes if any(one in path for one in trials)]
    assert world.run("resume", "--policy", "trial-chats").code == 0
    assert world.run("sweep").code == 0
    assert {world.states()[one] for one in trials} == {"deleted"}


@pytest.mark.parametrize("scope", [[], ["--project", "main"]])
def test_everything_or_a_project_can_be_paused(world: World, scope: list[str]) -> None:
    world.fill(2)
    assert world.run("pause", *scope, "--reason", "incident 42").code == 0
    done = world.run("sweep")
    assert done.code == 0
    assert "paused 2" in done.out
    command = " ".join(["janitor resume", *scope])
    assert re.search(rf"paused by \w+ since .* UTC: incident 42; end it with `{command}`", done.err)
    assert world.changes == []
    assert len(world.states()) == 2
    world.register(world.conversation())
    assert len(world.states()) == 3, "registration goes on"


def test_a_sweep_under_way_obeys_before_its_next_call(world: World) -> None:
    world.fill(16)
    world.emulator.latency = 0.1
    process = world.start("sweep")
    until(lambda: any(entry.method == "DELETE" for entry in world.emulator.log))
    assert world.run("pause", "--reason", "stop!").code == 0
    done = finished(process)
    assert done.code == 0, done.err
    assert "paused by " in done.err
    assert world.emulator.ids()
    begun = {path.split("/")[2] for path in world.changes}
    assert len(begun) < 16
    assert "paused" in done.out


def test_item_deletes_stop_in_the_midst_and_go_on_after_resume(world: World) -> None:
    one = world.conversation(items=LONG)
    world.register(one)
    world.emulator.latency = 0.2
    process = world.start("sweep")
    until(lambda: any(entry.method == "DELETE" for entry in world.emulator.log))
    assert world.run("pause", "--policy", "trial-chats", "--reason", "stop!").code == 0
    finished(process)
    assert world.emulator.exists(one)
    left = len(world.emulator.items(one))
    assert 0 < left < LONG
    assert world.states()[one] == "deleting", "torn, and visible"
    assert world.run("sweep").code == 0
    assert len(world.emulator.items(one)) == left
    assert world.run("resume", "--policy", "trial-chats").code == 0
    world.emulator.latency = 0
    assert world.run("sweep").code == 0
    assert world.states()[one] == "deleted"


def test_a_pause_ends_by_itself(world: World) -> None:
    world.fill(1)
    done = world.run("--output", "json", "pause", "--for", "2s", "--reason", "a short one")
    until_at = datetime.fromisoformat(done.document["until"])
    assert timedelta(0) < until_at - datetime.now(UTC) <= timedelta(seconds=2)
    world.run("sweep")
    until(lambda: datetime.now(UTC) > until_at)
    assert world.run("sweep").code == 0
    assert set(world.states().values()) == {"deleted"}


def test_it_works_while_the_configuration_is_broken(world: World) -> None:
    world.fill(1)
    good = world.config.read_text(encoding="utf-8")
    world.config.write_text(good.replace("policies:", "policys:"), encoding="utf-8")
    assert world.run("sweep").code == 2
    assert world.run("pause", "--policy", "any-name", "--reason", "broken").code == 0
    world.config.write_text("registry: [", encoding="utf-8")
    assert world.run("pause", "--reason", "broken").code == 2
    registry = f"sqlite:///{world.registry}"
    assert world.run("pause", "--registry", registry, "--reason", "broken").code == 0
    world.config.write_text(good, encoding="utf-8")
    assert world.run("sweep").code == 0
    assert world.changes == []
    for scope in ([], ["--policy", "any-name"]):
        assert world.run("resume", *scope).code == 0


def test_a_name_that_nothing_bears_is_refused(world: World) -> None:
    done = world.run("pause", "--policy", "trail-chats", "--reason", "a typo")
    assert done.code == 2
    assert "known: trial-chats, marked" in done.err
    assert world.run("pause", "--project", "mian", "--reason", "a typo").code == 2
    assert world.run("resume").code == 2


def test_who_ends_a_pause_is_told_which_others_go_on(world: World) -> None:
    world.fill(1)
    for scope in ([], ["--policy", "trial-chats"], ["--project", "main"]):
        world.run("pause", *scope, "--reason", "a look first")
    done = world.run("resume", "--project", "main")
    assert re.findall("end it with `(.+)`", done.out) == [
        "janitor resume",
        "janitor resume --policy trial-chats",
    ]
    (left,) = world.run("--output", "json", "resume").document["pauses"]
    assert left["command"] == "janitor resume --policy trial-chats"
    assert "still in force" not in world.run("resume", "--policy", "trial-chats").out
    done = world.run("resume")
    assert done.code == 2
    assert "nothing to resume: there is no pause of everything" in done.err


def test_whoever_looks_is_told(world: World) -> None:
    (one,) = world.fill(1)
    world.run("pause", "--policy", "trial-chats", "--for", "12h", "--reason", "wrong \x1b[31mplan")
    told = (
        r"policy trial-chats: paused by \w+ since \S+ \S+ UTC until \S+ \S+ UTC: wrong \\x1b\S+; "
        "end it with `janitor resume --policy trial-chats`"
    )
    for command in (["plan"], ["plan", "--offline"], ["runs"], ["explain", one], ["sweep"]):
        done = world.run(*command)
        assert re.search(told, done.out + done.err), command
        document = json.loads(world.run("--output", "json", *command).out)
        (pause,) = document.get("pauses") or document["threads"][0]["pauses"]
        assert pause["scope"] == "policy:trial-chats"
        assert pause["command"] == "janitor resume --policy trial-chats"
    (explained,) = world.run("--output", "json", "explain", one).document["threads"]
    assert explained["decision"]["reason"] == "paused"
    assert explained["kept_by"][0]["by"] == "policy:trial-chats"
    newest, *_ = world.run("--output", "json", "runs").document["runs"]
    assert newest["counts"]["kept/paused"] == 1
    assert re.search("Kept: policy trial-chats: paused by", world.run("runs", newest["id"]).out)
    world.run("resume", "--policy", "trial-chats")
    assert "paused by" not in world.run("plan").out


def test_a_paused_sweep_advises_nothing_that_removes(world: World) -> None:
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("max_percent: 100", "max_percent: 10"), encoding="utf-8")
    world.fill(25)
    world.run("pause", "--reason", "a look first")
    done = world.run("sweep")
    assert (done.code, "limit" in done.out, "apply" in done.out + done.err) == (0, False, False)
    assert "Kept: paused 25." in done.out
    planned = world.run("plan")
    assert "Kept: paused 25." in planned.out
    assert "Next: janitor resume" in planned.out
    assert "apply" not in planned.out
    world.run("resume")
    assert world.run("sweep").code == 4


def test_a_running_service_obeys_and_shows_it(world: World, serving: Start) -> None:
    scheduled(world, "1s")
    one = serving()
    until(lambda: one.sweeps() >= 1)
    assert world.run("pause", "--reason", "incident 42").code == 0
    until(lambda: one.metric("janitor_paused_info", scope="all") == 1)
    ids = world.fill(2)
    before = one.sweeps()
    until(lambda: one.sweeps() >= before + 2)
    assert world.emulator.ids() == ids
    assert world.run("resume").code == 0
    until(lambda: not world.emulator.ids())
    assert one.metric("janitor_paused_info", scope="all") is None
