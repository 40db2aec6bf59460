"""The demo is the first thing that anybody sees: it shows every part and leaves nothing behind."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import on_terminal

from janitor.cli.demo import how_to_try
from janitor.demo import build

SHOWN = {
    "the policies": "policies:",
    "a plan with reasons": "$ janitor plan",
    "a limit that stops a backlog": "more than max_percent allows",
    "its exit code": "(exit code 4: a safety limit stopped something; a person has to look)",
    "a reviewed plan": "$ janitor apply plan.json",
    "a thread that changed in between": "drift 1",
    "a busy thread": "busy",
    "what was archived": "proven copies",
    "metrics": "janitor_actions_total{",
    "a service": "$ janitor serve",
    "its sweeps": "INFO run ",
    "its scrape": 'janitor_sweeps_total{result="',
    "its end": "INFO stopped",
}
REASONS = (
    *("busy", "future_dated", "hold", "keep_forever", "keep_last", "keep_until", "lifetime_min"),
    *("limit", "missing", "not_due", "unmatched"),
)
LINES, COLUMNS = 120, 100


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints on a terminal."""
    empty = tmp_path_factory.mktemp("empty")
    command = [sys.executable, "-m", "janitor", "demo"]
    seen = on_terminal(command, {"NO_COLOR": "1"}, columns=COLUMNS, cwd=empty)
    assert (seen.code, seen.piped) == (0, b"")
    assert not list(Path(empty).iterdir())
    return seen.shown.decode()


def test_the_demo_is_read_in_two_minutes(shown: str) -> None:
    assert sum(max(1, math.ceil(len(line) / COLUMNS)) for line in shown.splitlines()) <= LINES


def test_the_demo_shows_a_plan_of_a_screen(shown: str) -> None:
    plan = shown.partition("What a sweep would do")[2].partition("\nKept:")[0]
    assert len(re.findall(r"\b(?:conv|cthr|sess|thread)_0\w+", plan)) == 15


@pytest.mark.parametrize("what", SHOWN)
def test_the_demo_shows(shown: str, what: str) -> None:
    assert SHOWN[what] in shown


@pytest.mark.parametrize("reason", REASONS)
def test_the_demo_keeps_a_thread_for(shown: str, reason: str) -> None:
    assert reason in shown


@pytest.mark.parametrize("kind", ["conversation", "chatkit_thread", "agent_session", "thread"])
def test_the_demo_holds_every_kind(shown: str, kind: str) -> None:
    assert f"\n{kind}  " in shown.partition("What a sweep would do")[2].partition("\nKept:")[0]


def test_the_demo_ends_with_the_commands_to_type_next(shown: str) -> None:
    last = [line.split("#")[0].strip() for line in shown.strip().splitlines()[-4:]]
    next_ones = ["janitor init", "janitor import threads.csv", "janitor plan"]
    assert last == [*next_ones, "janitor explain ID"]


def test_what_an_emulated_api_that_stays_says_to_type_works(tmp_path: Path) -> None:
    scene = build()
    with scene.emulator.serve() as server:
        scene.write(tmp_path, server.base_url)
        shown = how_to_try(server.base_url, tmp_path)
        typed = [line.strip() for line in shown.splitlines() if line.startswith("  ")]
        script = "\n".join(typed).replace("janitor plan", f"{sys.executable} -m janitor validate")
        assert "-m janitor" in script
        command = ["sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "janitor.yaml is valid" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_emulated_api_that_stays_ends_with_a_signal_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "janitor", "demo", "--serve"]
    settings = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) as served:
        assert served.stdout is not None
        assert "  janitor plan\n" in iter(served.stdout.readline, "")
        served.send_signal(number)
        assert served.wait() == 0
    assert not list(tmp_path.iterdir())
