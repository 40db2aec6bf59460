"""`apply --detach`: the service carries a reviewed plan out, once, or says why not."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from world import Done, World, until

from janitor.engine.apply import compact, load
from janitor.engine.decisions import Decisions
from serve.serving import Serving, Start, scheduled

POLICIES = """\
  - {name: old, match: {metadata: {plan: trial}}, delete: {after: 30d}}
"""
STUCK = "limits: {max_threads: 1}"


@pytest.fixture
def limited(world: World) -> World:
    """A world whose sweeps are over a limit, so that only a plan removes anything."""
    world.configure(POLICIES)
    text = world.config.read_text().replace("limits: {max_percent: 100}", STUCK)
    world.config.write_text(text)
    scheduled(world)
    return world


def planned(world: World) -> str:
    file = world.directory / "plan.json"
    assert world.run("plan", "-o", str(file)).code == 0
    return str(file)


def hand_over(world: World, *options: str) -> Done:
    return world.run("apply", planned(world), "--detach", *options)


def runs(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.run("--output", "json", "runs").document["runs"]
    return found


def applied(world: World) -> list[Mapping[str, Any]]:
    return [run for run in runs(world) if run["command"].startswith("apply") and run["closed_at"]]


def waiting(world: World) -> list[str]:
    document = world.run("--output", "json", "runs").document
    return [one["digest"] for one in document["handed_over"]]


def test_a_plan_handed_over_is_carried_out_within_seconds(limited: World, serving: Start) -> None:
    limited.fill(3)
    one = serving()
    until(lambda: one.sweeps() == 1)
    assert len(limited.emulator.ids()) == 3, "a sweep leaves what is over a limit"
    done = hand_over(limited)
    assert done.code == 0, done.err
    until(lambda: bool(applied(limited)))
    (run,) = applied(limited)
    assert run["command"][len("apply ") :] in done.out
    assert (run["result"], run["counts"]) == ("done", {"old/delete/done": 3})
    assert not limited.emulator.ids()
    until(lambda: one.metric("janitor_applies_total", result="done") == 1)
    assert one.sweeps() == 1, "it is no sweep"
    assert one.metric("janitor_plans_waiting") == 0
    assert one.metric("janitor_limit_tripped", policy="old") == 1, "what sweeps found stays"
    assert f"run {run['id']}: done, 3 done" in one.text
    assert one.stop() == 0


def test_without_a_service_it_waits_and_says_so(limited: World, serving: Start) -> None:
    limited.fill(2)
    done = hand_over(limited)
    assert "otherwise once one is started" in done.out
    assert waiting(limited) == [done.out.split()[3].rstrip(",")]
    assert "is waiting for `janitor serve`" in limited.run("runs").out
    assert hand_over(limited).code == 0, "another plan of the same threads waits, too"
    assert limited.run("sweep").code == 4, "a sweep is none the wiser"
    assert len(limited.emulator.ids()) == 2
    serving()
    until(lambda: waiting(limited) == [])
    assert [run["result"] for run in applied(limited)] == ["done", "done"]
    assert set(limited.emulator.deletes.values()) == {1}


def test_the_same_plan_applied_by_hand_waits_no_longer(limited: World) -> None:
    limited.fill(2)
    file = planned(limited)
    for _ in range(2):
        assert limited.run("apply", file, "--detach").code == 0
    assert len(waiting(limited)) == 1
    assert limited.run("apply", file).code == 0
    assert waiting(limited) == []
    assert not limited.emulator.ids()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("after: 30d", "after: 31d", "other policies"),
        ("mode: enforce", "mode: audit", "audit"),
        ("janitor.db", "another.db", "another registry"),
    ],
)
def test_what_is_not_valid_is_refused_at_once(
    limited: World, before: str, after: str, said: str
) -> None:
    limited.fill(1)
    file = planned(limited)
    limited.config.write_text(limited.config.read_text().replace(before, after))
    assert limited.run("db", "upgrade").code == 0  # which makes the other registry
    done = limited.run("apply", file, "--detach")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert waiting(limited) == []


def test_a_plan_for_looking_and_an_old_one_are_refused_at_once(limited: World) -> None:
    limited.fill(1)
    file = str(limited.directory / "later.json")
    limited.run("plan", "-o", file, "--offline", "--at", "2099-01-01T00:00:00Z")
    done = limited.run("apply", file, "--detach")
    assert (done.code, "--at" in done.err) == (2, True)
    file = planned(limited)
    made = datetime.fromisoformat(json.loads(Path(file).read_text())["now"])
    until(lambda: datetime.now(UTC) - made > timedelta(seconds=1))
    done = limited.run("apply", file, "--detach", "--max-age", "1s")
    assert (done.code, "too old" in done.err) == (2, True)
    assert waiting(limited) == []


def longer(world: World) -> None:
    """Other policies by the time that it is begun."""
    world.config.write_text(world.config.read_text().replace("30d", "31d"))


def unsigned(world: World) -> None:
    """As a janitor handed plans over that did not sign them yet."""
    with sqlite3.connect(world.registry) as connection:
        connection.execute("UPDATE plan SET document = json_remove(document, '$.signature')")


def emptied(world: World) -> None:
    """Another document than the one that was handed over, its digest its own."""
    with sqlite3.connect(world.registry) as connection:
        (document,) = connection.execute("SELECT document FROM plan").fetchone()
        said = compact(replace(load(document.encode(), "plan"), decisions=Decisions()))
        connection.execute("UPDATE plan SET document = ?", [said])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (longer, "other policies"),
        (unsigned, "not signed"),
        (emptied, "this registry's signature does not match"),
    ],
)
def test_what_is_valid_no_longer_at_its_turn_is_refused_and_not_tried_again(
    limited: World, serving: Start, change: Callable[[World], None], said: str
) -> None:
    limited.fill(2)
    assert hand_over(limited).code == 0
    change(limited)
    one = serving()
    until(lambda: waiting(limited) == [])
    (run,) = applied(limited)
    assert run["command"].endswith("refused")
    assert (run["result"], run["counts"]) == ("failed", {})
    assert said in limited.run("runs", run["id"][:8]).out
    assert said in one.text
    until(lambda: one.metric("janitor_applies_total", result="refused") == 1)
    assert limited.run("runs", run["id"]).code == 0, "the chain holds"
    assert len(limited.emulator.ids()) == 2


def begun(world: World, one: Serving) -> None:
    """Hand a plan over and wait until the service is in the midst of it."""
    until(lambda: one.sweeps() == 1)
    world.emulator.latency = 0.1
    assert hand_over(world).code == 0
    before = len(world.emulator.ids())
    until(lambda: len(world.emulator.ids()) < before)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_it_is_gone_on_with_after_a_restart(limited: World, serving: Start, signum: int) -> None:
    ids = limited.fill(24)
    one = serving()
    begun(limited, one)
    one.stop(signum)
    assert 0 < len(limited.emulator.ids()) < len(ids)
    (digest,) = waiting(limited)
    limited.emulator.latency = 0
    serving()
    until(lambda: waiting(limited) == [])
    assert not limited.emulator.ids()
    assert set(limited.emulator.deletes.values()) == {1}, "nothing was deleted twice"
    names = {run["command"] for run in applied(limited)}
    assert names == {f"apply {digest[:12]}"}
    assert applied(limited)[0]["result"] == "done"


def test_it_waits_for_the_end_of_a_pause(limited: World, serving: Start) -> None:
    limited.fill(1)
    assert limited.run("pause", "--reason", "wait").code == 0
    assert hand_over(limited).code == 0
    one = serving()
    until(lambda: one.sweeps() == 1)
    assert len(waiting(limited)) == 1
    assert limited.run("resume").code == 0
    until(lambda: waiting(limited) == [])
    assert not limited.emulator.ids()


def test_what_was_handed_over_is_told_to_machines(limited: World) -> None:
    limited.fill(2)
    done = limited.run("--output", "json", "apply", planned(limited), "--detach")
    said = done.document
    assert (said["threads"], said["follow"]) == (2, "janitor runs")
    assert waiting(limited) == [said["digest"]]
