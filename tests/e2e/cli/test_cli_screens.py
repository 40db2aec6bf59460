"""What commands print at 80, 100 and 200 columns: each id whole, no row wider than the terminal."""

from __future__ import annotations

import hashlib
import io
import re
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timedelta

import click
import pytest
from terminal import on_terminal
from world import NOW, World

from janitor.cli import execute
from janitor.emulator import Fault, How

SCREENS = {
    "plan --all": ("due",),
    "sweep --dry-run": ("due",),
    "list": ("deleted", "marked", "young", "failed", "gone", "due"),
    "list --failed": ("failed",),
    "list --state soft_deleted": ("marked",),
    "explain DELETED": ("deleted", "run"),
    "explain FAILED": ("failed", "run"),
    "runs": ("run",),
    "runs RUN": ("run", "deleted", "marked"),
    "hold list": ("hold",),
    "missing list": ("gone",),
    "archive show DELETED": ("deleted",),
    "archive verify": (),
    "archive prune --dry-run": (),
    "doctor": (),
    "doctor --privacy": (),
    "pause --reason r": (),
    "sweep": (),
}
"""Commands, and whose ids each shows."""


def id_of(name: str) -> str:
    """An id as long as the API's own."""
    return f"conv_{hashlib.sha384(name.encode()).hexdigest()[:48]}"


def add(world: World, name: str, age: float, plan: str = "trial", *, exists: bool = True) -> None:
    """Register a thread of so many days, which the server may know."""
    at = NOW - timedelta(days=age)
    if exists:
        world.emulator.add_conversation(id=id_of(name), created_at=at, metadata={"plan": plan})
    world.register(id_of(name), age=age, plan=plan, user="somebody@example.com")


@pytest.fixture
def ids(world: World) -> dict[str, str]:
    """A world with threads in most states, a hold, a failure and something due; its ids."""
    add(world, "deleted", 45)
    add(world, "marked", 20, "marked")
    add(world, "young", 1)
    add(world, "failed", 8)
    add(world, "gone", 45, exists=False)
    with world.emulator.faulty(Fault(How.HTML, path=f"/conversations/{id_of('failed')}*")):
        assert world.run("sweep").code == 1
    held = world.run("hold", "add", "matter-42", "--reason", "letter", "--id", id_of("young"))
    assert held.code == 0, held.err
    add(world, "due", 45)
    run = next(
        one["id"]
        for one in world.run("--output", "json", "runs").document["runs"]
        if one["command"] == "sweep"
    )
    names = ("deleted", "marked", "young", "failed", "gone", "due")
    return {**{name: id_of(name) for name in names}, "run": run, "hold": "matter-42"}


class Terminal(io.StringIO):
    """A stream that a command takes for a terminal; COLUMNS says how wide it is."""

    def isatty(self) -> bool:
        return True


def screen(world: World, width: int, *arguments: str) -> str:
    """What a command shows on a terminal of that width, without colours."""
    shown = Terminal()
    environment = {**world.environment, "COLUMNS": str(width), "NO_COLOR": "1"}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(shown), redirect_stderr(Terminal()):
        for name, value in environment.items():
            patch.setenv(name, value)
        code = execute(["--config", str(world.config), *arguments])
    assert code in (0, 1), (arguments, shown.getvalue())
    return shown.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 100, 200])
def test_every_id_is_whole_and_no_row_is_wider_than_the_terminal(
    world: World, ids: dict[str, str], width: int
) -> None:
    for command, names in SCREENS.items():
        arguments = [ids[w.lower()] if w.isupper() else w for w in command.split()]
        shown = screen(world, width, *arguments)
        words = re.split(r"[\s/.=]+", shown)
        assert {ids[name] for name in names} <= set(words), (command, shown)
        assert not re.search(r"conv_[0-9a-f]{0,47}(?![0-9a-f])", shown), (command, shown)
        for line in shown.splitlines():
            assert len(line) <= width or is_a_sentence(line), (command, line)


def is_a_sentence(line: str) -> bool:
    """Whether a line is prose, which a terminal breaks and which is copied whole; no row is."""
    return "  " not in line and line[0].isupper()


def test_what_no_terminal_bounds_is_not_squeezed(world: World, ids: dict[str, str]) -> None:
    row = next(line for line in world.run("list").out.splitlines() if ids["young"] in line)
    for cell in ("conversation", "archived", "matter-42", "plan=trial"):
        assert cell in row


def test_the_date_that_is_due_is_that_of_the_stage_that_is_named(
    world: World, ids: dict[str, str]
) -> None:
    row = next(line for line in world.run("plan").out.splitlines() if ids["due"] in line)
    due = world.run("--output", "json", "explain", ids["due"]).document["threads"][0]
    (policy,) = due["policies"]
    assert due["decision"]["stages"] == ["archive", "delete"]
    assert due["decision"]["due_stage"] == "archive"
    assert due["decision"]["due_at"] == policy["archive"]
    at = datetime.fromisoformat(policy["archive"])
    assert f"  {at:%Y-%m-%d %H:%M}  due" in row
    held = world.run("--output", "json", "explain", ids["young"]).document["threads"][0]
    assert (held["decision"]["due_at"], held["decision"]["due_stage"]) == (None, None)
    marked = world.run("--output", "json", "explain", ids["marked"]).document["threads"][0]
    (policy,) = marked["policies"]
    assert marked["decision"]["due_stage"] == "delete"
    assert marked["decision"]["due_at"] >= policy["delete"], "after the time to undo it"


def on_a_terminal(world: World, *arguments: str, **environment: str) -> str:
    """What a command prints on a terminal of 80 columns."""
    seen = on_terminal(world.command(*arguments), {**world.environment, **environment}, columns=80)
    assert seen.code == 0, seen.piped
    return seen.shown.decode()


@pytest.mark.slow
def test_colours_are_for_terminals_that_want_them(world: World) -> None:
    (one,) = world.fill(1)
    colored = on_a_terminal(world, "list")
    assert "\x1b[32mactive\x1b[0m" in colored
    plain = on_a_terminal(world, "list", NO_COLOR="1")
    assert "\x1b" not in plain
    assert click.unstyle(colored) == plain, "the words say the same"
    assert "\x1b" not in on_a_terminal(world, "list", TERM="dumb")
    assert "\x1b" not in on_a_terminal(world, "list", "--color", "never")
    assert "\x1b[32m" in on_a_terminal(world, "list", "--color", "always", NO_COLOR="1")
    assert max(len(line) for line in plain.splitlines()) <= 80
    assert "\x1b" not in world.run("list").out
    assert "\x1b[32m" in world.run("list", "--color", "always").out
    for output in ("json", "jsonl"):
        done = world.run("list", "--color", "always", "--output", output)
        assert one in done.out
        assert "\x1b" not in done.out
