"""The overview, the help of each command, environment options, and the default configuration."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from world import KEY, KEY_VARIABLE, World

from janitor.cli import COMMANDS, cli, execute
from janitor.cli.context import DEFAULT_CONFIGS

SECTIONS = {
    "Start": ["demo", "init", "validate", "schema", "test", "import", "sync", "doctor"],
    "Look": ["plan", "list", "explain", "runs", "health", "missing"],
    "Act": ["apply", "sweep", "serve", "approve", "tag", "restore", "archive"],
    "Law": ["hold", "export"],
    "Stop": ["pause", "resume", "db"],
}


def test_the_overview_groups_the_commands(world: World) -> None:
    text = world.run("--help").out
    for section, names in SECTIONS.items():
        body = text.partition(f"{section}:\n")[2].partition("\n\n")[0]
        assert re.findall(r"^  (\w+) ", body, re.MULTILINE) == names
    assert text.index("Start:") < text.index("Look:") < text.index("Act:")
    assert "Exit codes: 0 done" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_calls_it(world: World, name: str) -> None:
    done = world.run(name, "--help")
    assert done.code == 0
    text = " ".join(done.out.split())
    _, examples, rest = text.partition("Example")
    assert examples, "no example"
    assert re.search(rf"\bjanitor (-\S+ \S+ )*{name}\b", rest)
    assert "\\b" not in done.out, "each example wants a line of its own"
    assert world.run(name, "-h").out == done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = [one for one in command.params if isinstance(one, click.Option)]
    silent = [one.name for one in options if not one.help]
    assert silent == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["--no-such-option", "plan"],
        ["plan", "--probe", "-1"],
        ["plan", "--at", "yesterday"],
        ["list", "--state", "gone"],
        ["list", "--metadata", "plan"],
        ["sweep", "--limit", "0"],
        ["sweep", "--wait", "30"],
        ["apply"],
        ["apply", "no-such-plan.json"],
        ["explain"],
        ["restore"],
        ["import"],
        ["import", "--id", "conv_1", "--metadata", "=x"],
        ["import", "--id", "conv_1", "--created-at", "soon"],
        ["import", "threads.csv", "--id", "conv_1"],
        ["import", "threads.csv", "--kind", "thread"],
        ["import", "--id", "conv_1", "--dry-run"],
        ["export"],
        ["export", "--registry", "--state", "deleted"],
        ["--output", "yaml", "list"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_and_says_why(world: World, arguments: list[str]) -> None:
    world.fill(1)
    done = world.run(*arguments)
    assert done.code == 2
    assert "Error: " in done.err
    assert done.out == ""
    assert not world.emulator.log


def test_options_come_from_the_environment_too(world: World) -> None:
    thread = world.fill(1)[0]
    environment = {
        "JANITOR_CONFIG": str(world.config),
        "JANITOR_OUTPUT": "json",
        "JANITOR_PLAN_OFFLINE": "1",
        "JANITOR_PLAN_AT": "2000-01-01T00:00:00Z",
    }
    world.environment.update(environment)
    done = world.run("plan")
    assert done.code == 0
    assert done.document["now"].startswith("2000-01-01")
    assert done.document["decisions"] == []
    assert world.run("--output", "table", "list").out.count(thread) == 1
    assert not world.emulator.log, "offline asks nobody"


def test_the_configuration_is_looked_for_where_the_help_says(world: World) -> None:
    home = world.directory / "home"
    (home / "config").mkdir(parents=True)
    moved = world.config.rename(home / "config" / "janitor.yaml")
    assert [str(path) for path in DEFAULT_CONFIGS] == [
        str(moved.relative_to(home)),
        "/etc/janitor/janitor.yaml",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        patch.chdir(home)
        assert execute(["validate"]) == 0


def test_no_configuration_is_told_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(["plan"]) == 2
    told = capsys.readouterr().err
    assert all(str(path) in told for path in DEFAULT_CONFIGS)
    assert "janitor init" in told
