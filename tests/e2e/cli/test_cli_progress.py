"""What is shown while a run goes on: a bar for a person, lines for a log, nothing otherwise."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess

import pytest
from world import DEADLINE, World


def on_a_terminal(world: World, *arguments: str) -> tuple[bytes, bytes]:
    """What a command writes to stdout, a pipe, and to stderr, a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        world.command(*arguments),
        env={**os.environ, **world.environment, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # what a terminal says when its last writer has gone
            while block := os.read(ours, 4096):
                shown += block
        os.close(ours)
        out, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    return out, shown


def test_the_bar_is_on_a_terminals_stderr_only(world: World) -> None:
    world.fill(4)
    world.emulator.latency = 0.05
    out, shown = on_a_terminal(world, "--output", "json", "sweep")
    assert json.loads(out)["result"] == "done"
    assert b"threads" in shown
    assert b"\x1b[" in shown
    assert b"\x1b" not in out


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
