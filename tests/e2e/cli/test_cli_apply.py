"""`apply`, sentence by sentence: exactly what was reviewed, resumably, and nothing else."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from world import NOW, World, finished, until

from janitor.engine.apply import load

THREADS = 12
POLICIES = "  - {name: old, match: {metadata: {plan: trial}}, delete: {after: 30d}}\n"


@pytest.fixture
def plan(world: World) -> Path:
    """A plan over threads of which a sweep would touch none, since they are over a limit."""
    world.configure(POLICIES)
    text = world.config.read_text().replace("{max_percent: 100}", "{max_threads: 1}")
    world.config.write_text(text)
    world.fill(THREADS)
    file = world.directory / "plan.json"
    assert world.run("plan", "-o", str(file)).code == 0
    return file


def touch(world: World, id: str) -> None:
    at = (NOW - timedelta(days=40)).isoformat()
    file = world.directory / "touched.jsonl"
    file.write_text(json.dumps({"id": id, "last_active_at": at}) + "\n")
    assert world.run("import", str(file)).code == 0


def say_more(world: World, id: str) -> None:
    world.emulator.append_item(id)


def hold(world: World, id: str) -> None:
    done = world.run("hold", "add", "court", "--reason", "letter", "--id", id, "--no-copy")
    assert done.code == 0, done.err


@pytest.mark.slow
@pytest.mark.parametrize("change", [touch, say_more, hold])
def test_what_changed_since_is_kept_and_told_and_the_rest_is_done(
    world: World, plan: Path, change: Callable[[World, str], None]
) -> None:
    assert world.run("sweep").code == 4
    drifted, *others = world.emulator.ids()
    change(world, drifted)
    done = world.run("--output", "json", "apply", str(plan))
    assert (done.code, done.document["kept"]) == (1, {"drift": 1})
    assert world.emulator.ids() == [drifted]
    (line,) = [
        event
        for event in world.run("--output", "jsonl", "runs", done.document["run"]).lines
        if event["reason"] == "drift"
    ]
    assert (line["key"]["id"], line["outcome"]) == (drifted, "kept")
    assert len(others) == THREADS - 1


def edited(plan: Path) -> None:
    document = json.loads(plan.read_text())
    document["decisions"].pop()
    plan.write_text(json.dumps(document))


def truncated(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-20])


def unsigned(plan: Path) -> None:
    document = json.loads(plan.read_text())
    del document["signature"]
    plan.write_text(json.dumps(document))


def made_younger(plan: Path) -> None:
    """As whoever edits it can: with the digest of what it says then."""
    made = load(plan.read_bytes(), "plan.json")
    younger = replace(made, now=made.now + timedelta(hours=1))
    plan.write_text(json.dumps(younger.document(), default=str))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (edited, "digest"),
        (truncated, "not a plan"),
        (unsigned, "not signed"),
        (made_younger, "this registry's signature does not match"),
    ],
)
def test_a_plan_that_was_not_reviewed_so_is_refused(
    world: World, plan: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(plan)
    for words in ([], ["--detach"]):
        done = world.run("apply", str(plan), *words)
        assert (done.code, said in done.err) == (2, True)
        assert "make a new one: janitor plan -o plan.json" in done.err
    assert world.changes == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("after: 30d", "after: 31d", "other policies"),
        ("mode: enforce", "mode: audit", "mode is audit"),
        ("janitor.db", "another.db", "another registry"),
    ],
)
def test_a_plan_for_something_else_is_refused(
    world: World, plan: Path, before: str, after: str, said: str
) -> None:
    world.config.write_text(world.config.read_text().replace(before, after))
    assert world.run("db", "upgrade").code == 0  # which makes the other registry
    done = world.run("apply", str(plan))
    assert (done.code, said in done.err) == (2, True)
    assert world.changes == []


def test_a_plan_made_in_audit_mode_is_refused_with_its_mode(world: World, tmp_path: Path) -> None:
    world.fill(1)
    enforcing = world.config.read_text()
    world.config.write_text(enforcing.replace("mode: enforce", "mode: audit"))
    made = world.run("plan", "-o", str(tmp_path / "audit.json"))
    assert "set `mode: enforce` in the configuration and make the plan again" in made.out
    world.config.write_text(enforcing)
    done = world.run("apply", str(tmp_path / "audit.json"))
    assert (done.code, "made in audit mode, which keeps everything" in done.err) == (2, True)
    assert world.changes == []


def is_older_than_a_second(plan: Path) -> bool:
    made = datetime.fromisoformat(json.loads(plan.read_text())["now"])
    return datetime.now(UTC) - made > timedelta(seconds=1)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_it_goes_on_where_it_stopped_however_old_it_is_by_then(
    world: World, plan: Path, signum: int
) -> None:
    world.emulator.latency = 0.05
    process = world.start("apply", str(plan))
    until(lambda: 0 < len(world.emulator.ids()) < THREADS)
    process.send_signal(signum)
    assert finished(process).code == (143 if signum == signal.SIGTERM else -signal.SIGKILL)
    assert world.emulator.ids()
    world.emulator.latency = 0
    until(lambda: is_older_than_a_second(plan))
    done = world.run("--output", "json", "apply", str(plan), "--max-age", "1s")
    assert (done.code, done.document["kept"]) == (0, {})
    assert set(world.states().values()) == {"deleted"}
    assert set(world.emulator.deletes.values()) == {1}, "nothing was deleted twice"
    assert world.run("runs", done.document["run"]).code == 0


def test_a_plan_that_was_never_begun_grows_too_old(world: World, plan: Path) -> None:
    until(lambda: is_older_than_a_second(plan))
    for _ in range(2):
        done = world.run("apply", str(plan), "--max-age", "1s")
        assert (done.code, "too old" in done.err) == (2, True)
    assert world.changes == []
