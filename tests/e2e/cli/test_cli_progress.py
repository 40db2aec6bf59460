"""What is shown while a run goes on: a bar for a person, lines for a log, nothing otherwise."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from terminal import on_terminal
from world import NOW, World

from janitor.addresses import address_of
from janitor.engine.progress import Progress, tell_end
from janitor.registry import Registry


def on_a_terminal(world: World, *arguments: str, code: int = 0) -> tuple[bytes, bytes]:
    """What a command writes to stdout, a pipe, and to stderr, a terminal."""
    seen = on_terminal(world.command(*arguments), world.environment, columns=100, stream="stderr")
    assert seen.code == code
    return seen.piped, seen.shown


def test_the_bar_is_on_a_terminals_stderr_only(world: World) -> None:
    world.fill(4)
    world.emulator.latency = 0.05
    out, shown = on_a_terminal(world, "--output", "json", "sweep")
    assert json.loads(out)["result"] == "done"
    assert b"threads" in shown
    assert b"\x1b[" in shown
    assert b"\x1b" not in out


def test_a_plan_says_how_far_it_is_and_what_it_waits_for(world: World) -> None:
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("read: unlimited", "read: 240/min"), encoding="utf-8")
    world.fill(6)
    out, shown = on_a_terminal(world, "--output", "json", "plan")
    assert len(json.loads(out)["decisions"]) == 6
    assert b"planning: 0 of 6 threads" in shown
    assert b"waiting for the read rate: 240/min, configured" in shown
    assert b"projects.main.rate.read to go faster" in shown
    assert b"left" in shown


@pytest.mark.parametrize("command", [["db", "upgrade"], ["sync", "--discover"], ["tag"]])
def test_other_commands_say_what_they_do(world: World, command: list[str]) -> None:
    world.fill(1)
    _, shown = on_a_terminal(world, *command)
    said = {"db": b"upgrading the registry", "sync": b"walking the servers", "tag": b"tagging"}
    assert said[command[0]] in shown


@pytest.mark.parametrize(
    "command", [["sweep"], ["tag"], ["hold", "copy", "case"], ["restore", "conv_1"]]
)
def test_a_command_says_who_holds_the_run_that_it_waits_for(
    world: World, command: list[str]
) -> None:
    world.fill(1)
    world.run("hold", "add", "case", "--reason", "law", "--metadata", "plan=trial", "--no-copy")
    with Registry.open(address_of(f"{world.registry}")) as registry, registry.lock():
        _, shown = on_a_terminal(world, *command, "--wait", "1s", code=5)
    holder = f"waiting for process {os.getpid()} on {socket.gethostname()}, which holds the run: "
    assert holder.encode() in shown
    assert b"s of 1 s" in shown


def test_a_sync_says_who_reads_the_sources_that_it_waits_for(world: World) -> None:
    chats = world.directory / "app.db"
    with closing(sqlite3.connect(chats)) as connection:
        connection.execute("CREATE TABLE chats (id TEXT)")
    query = "SELECT id FROM chats"
    sql = f"{{url: 'sqlite:///{chats}', query: {query}, watermark: null}}"
    with world.config.open("a", encoding="utf-8") as file:
        file.write(f"sources: {{chats: {{sql: {sql}}}}}\n")
    assert world.run("db", "upgrade").code == 0
    wait = timedelta()
    with Registry.open(address_of(f"{world.registry}")) as registry, registry.syncing(wait):
        _, shown = on_a_terminal(world, "sync", "--wait", "1s", code=5)
    holder = f"waiting for process {os.getpid()} on {socket.gethostname()}, which reads the sources"
    assert holder.encode() in shown


def test_copying_for_a_hold_says_how_many_threads_there_are(world: World) -> None:
    world.fill(3, plan="trial")
    world.fill(2, plan="other")
    hold = ["hold", "add", "case", "--reason", "law", "--metadata", "plan=trial"]
    _, shown = on_a_terminal(world, *hold)
    assert b"copying what the hold names: 3 of 3 threads" in shown


def test_runs_says_when_the_sweep_under_way_ends(world: World) -> None:
    world.fill(1)
    assert world.run("sweep").code == 0
    assert world.run("--output", "json", "runs").document["expected_end"] is None
    with Registry.open(address_of(f"{world.registry}")) as registry:
        run, at = registry.runs.start("sweep", "enforce", "digest", NOW), datetime.now(UTC)
        seconds = iter([0.0, 0.0, 100.0])
        progress = Progress(lambda: next(seconds))
        progress.begin("sweeping", 10)
        progress.advance()
        tell_end(registry, run.id, progress, at)
    end = world.run("--output", "json", "runs").document["expected_end"]
    assert end["run"] == run.id
    assert datetime.fromisoformat(end["at"]) == at + timedelta(seconds=900)
    assert f"Run {run.id} is expected to end at " in world.run("runs").out


def test_without_a_terminal_there_is_no_bar(world: World) -> None:
    world.fill(2)
    done = world.process("sweep")
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out


def test_a_line_for_each_thread_is_logged_when_asked_for(world: World) -> None:
    ids = world.fill(2)
    done = world.process("-v", "sweep")
    assert done.code == 0
    for one in ids:
        assert [line for line in done.err.splitlines() if f"deleted conversation/{one}" in line]
    assert "deleted conversation" not in done.out


@pytest.mark.parametrize("name", ["trial-chats", 'a "quoted" \\ name', "ünïcode", "50% off"])
def test_json_logs_are_json_whatever_a_policy_is_called(world: World, name: str) -> None:
    policy = {"name": name, "default": True, "delete": {"after": "30d"}}
    world.configure(f"  - {json.dumps(policy)}")
    ids = world.fill(1)
    done = world.process("-v", "--log-format", "json", "sweep")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert {"at", "level", "message"} <= set(lines[0])
    assert any(ids[0] in line["message"] and name in line["message"] for line in lines)
