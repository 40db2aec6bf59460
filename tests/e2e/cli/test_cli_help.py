"""The overview, the help of each command, environment options, and the default configuration."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from started import start
from world import KEY, KEY_VARIABLE, Done, World, finished

from janitor.cli import COMMANDS, GLOBAL_OPTIONS, cli, execute
from janitor.cli.output import DEFAULT_CONFIGS

SECTIONS = {
    "Start": ["demo", "init", "validate", "schema", "test", "import", "sync", "doctor"],
    "Look": ["plan", "list", "explain", "runs", "health", "missing"],
    "Act": ["apply", "sweep", "serve", "approve", "tag", "restore", "archive"],
    "Law": ["hold"],
    "Stop": ["pause", "resume"],
    "Registry": ["export", "db"],
    "Other": ["completion"],
}


def test_the_overview_groups_the_commands(world: World) -> None:
    text = world.run("--help").out
    for section, names in SECTIONS.items():
        body = text.partition(f"{section}:\n")[2].partition("\n\n")[0]
        assert re.findall(r"^  (\w+) ", body, re.MULTILINE) == names
    assert text.index("Start:") < text.index("Look:") < text.index("Act:")
    assert "Exit codes: 0 done" in text


def test_no_command_is_chosen_at_the_cost_of_the_sdk_or_the_orm() -> None:
    """The SDK, once imported, also takes logging over where OPENAI_LOG asks for it."""
    script = (
        "import sys, janitor.cli; from importlib import import_module; "
        "modules = {entry.module for entry in janitor.cli.COMMANDS.values()}; "
        "[import_module(f'janitor.cli.{name}') for name in modules]; "
        "print(sorted({'openai', 'sqlalchemy', 'httpx', 'prometheus_client', 'rich'}"
        " & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"


@pytest.mark.slow
def test_who_has_no_sources_does_not_pay_for_a_parser_of_sql(world: World) -> None:
    script = (
        "import sys; from janitor.cli import execute; "
        "names = ('validate', 'plan', 'sweep'); "
        "done = [execute(['--config', sys.argv[1], name]) for name in names]; "
        "print(done, 'sqlglot' in sys.modules)"
    )
    world.fill(1)
    done = subprocess.run(
        [sys.executable, "-c", script, str(world.config)],
        env={**os.environ, **world.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[0, 0, 0] False"


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
        ["sweep", "--limit", f"{2**63}"],
        ["plan", "--probe", f"{2**63}"],
        ["tag", "--limit", f"{2**63}"],
        ["archive", "prune", "--yes", f"{2**63}"],
        ["list", "--limit", f"{2**63}"],
        ["list", "--larger-than", f"{2**63}"],
        ["runs", "--limit", f"{2**63}"],
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
        ["export", "--state", "deleted"],
        ["completion", "tcsh"],
        ["--output", "yaml", "list"],
        ["list", "--output", "yaml"],
        ["list", "--color", "sometimes"],
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


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["swep"], "'sweep'"),
        (["hold", "lsit"], "'list'"),
        (["list", "--stat", "active"], "'--state'"),
        (["list", "--outptu", "json"], "'--output'"),
        (["pln"], "Did you mean 'plan'?"),
        (["res"], "'restore', 'resume'"),
        (["list", "--state", "dleted"], "Did you mean 'deleted'?"),
        (["list", "--sort", "itmes"], "Did you mean 'items'?"),
        (["--confg", "janitor.yaml", "list"], "'--config'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_misspelt_is_told_with_what_comes_near(
    world: World, arguments: list[str], meant: str
) -> None:
    done = world.run(*arguments)
    assert done.code == 2
    assert "Did you mean" in done.err
    assert meant in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["list", "plan --offline", "runs", "hold list", "missing list", "export", "validate"]
)
def test_global_options_stand_before_or_after_the_command(world: World, command: str) -> None:
    world.fill(2)
    words = command.split()
    config = world.config.rename(world.directory / "elsewhere.yaml")
    before = execute_in(world, "--output", "json", "--config", str(config), *words)
    after = execute_in(world, *words, "--output=json", "--config", str(config))
    assert (after.code, after.err) == (before.code, before.err) == (0, "")
    if command != "plan --offline":  # whose digest is of its moment
        assert after.out == before.out
    assert after.out.startswith("{")


WITH_VALUE = [one.opts[0] for one in GLOBAL_OPTIONS if not one.is_flag]


@pytest.mark.parametrize(
    "words",
    [
        words
        for option in WITH_VALUE
        for words in (
            ["sweep", option],
            ["sweep", option, "--dry-run"],
            ["sweep", option, "--policy", "trial-chats"],
            ["hold", "list", option],
            ["sweep", f"{option}="],
            ["sweep", option, ""],
            [option],
            [option, "--verbose", "sweep"],
            [f"{option}=", "sweep"],
        )
    ],
    ids=" ".join,
)
def test_a_global_option_without_its_value_is_refused(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The default configuration in place of the one that was meant may delete other threads."""
    monkeypatch.chdir(tmp_path)
    assert execute(words) == 2
    (option,) = {one for one in WITH_VALUE for word in words if word.rstrip("=") == one}
    done = capsys.readouterr()
    assert done.out == ""
    assert f"Option '{option}' requires an argument" in done.err


def test_a_path_after_the_command_may_start_with_a_dash_behind_a_directory(world: World) -> None:
    config = world.config.rename(world.directory / "-x.yaml")
    assert world.run("validate", "--config", str(config)).code == 0


def execute_in(world: World, *arguments: str) -> Done:
    """Call a command whose configuration is named, if at all, by the arguments."""
    process = start(
        "janitor",
        *arguments,
        env={**os.environ, **world.environment},
        cwd=world.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return finished(process)


def test_an_option_after_the_command_wins_over_one_before_it(world: World) -> None:
    world.fill(1)
    assert world.run("--output", "json", "list", "--output", "jsonl").lines[0]["id"]
    done = world.run("--config", "nowhere.yaml", "hold", "list", "--config", str(world.config))
    assert done.code == 0, done.err


@pytest.mark.slow
def test_logging_is_set_after_the_command_too(world: World) -> None:
    (one,) = world.fill(1)
    done = world.process("sweep", "-v", "--log-format", "json")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert any(one in line["message"] for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_every_global_option(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    below = command.commands.values() if isinstance(command, click.Group) else ()
    wanted = {option for one in GLOBAL_OPTIONS for option in one.opts}
    assert wanted == {"--config", "--output", "--log-format", "--color", "-v", "--verbose"}
    for one in (command, *below):
        assert wanted <= {option for param in one.params for option in param.opts}


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--limit", f"{2**63 - 1}"],
        ["list", "--larger-than", f"{2**63 - 1}"],
        ["runs", "--limit", f"{2**63 - 1}"],
        ["sweep", "--limit", f"{2**63 - 1}"],
        ["plan", "--probe", f"{2**63 - 1}"],
    ],
    ids=" ".join,
)
def test_a_number_as_large_as_a_database_holds_is_taken(world: World, words: list[str]) -> None:
    world.fill(1)
    done = world.run(*words)
    assert done.code == 0, done.err


def test_a_plan_is_a_dry_run_and_so_is_a_dry_sweep(world: World) -> None:
    world.fill(2)
    plans = [
        world.run("--output", "json", *words).document
        for words in (["plan"], ["plan", "--dry-run"], ["sweep", "--dry-run"])
    ]
    assert len({json.dumps(plan["decisions"]) for plan in plans}) == 1
    assert plans[0]["decisions"]
    assert world.changes == []
    done = world.run("sweep", "--dry-run", "--limit", "1")
    assert (done.code, done.out.count("trial-chats")) == (0, 2)
    assert "does not apply --policy and --limit" in done.err


def test_export_needs_no_option(world: World) -> None:
    ids = world.fill(2)
    done = world.run("export")
    assert {line["id"] for line in done.lines} == set(ids)
    assert world.run("export", "--registry").out == done.out


COMPLETED = {
    "janitor sw": {"sweep"},
    "janitor hold r": {"release"},
    "janitor list --st": {"--state"},
    "janitor list --outp": {"--output"},
    "janitor list --state del": {"deleting", "deleted"},
    "janitor --output j": {"json", "jsonl"},
    "janitor completion ": {"bash", "zsh", "fish"},
}


def pressing_tab(line: str) -> str:
    """What bash does with a line, and a line of what it would offer."""
    words = line.replace(" ", "\n").splitlines() + [""] * line.endswith(" ")
    return (
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); "
        '_janitor_completion janitor; echo "${COMPREPLY[*]}"\n'
    )


def test_bash_completes_commands_options_and_values(tmp_path: Path) -> None:
    """One real bash reads the script, and is asked as if somebody pressed Tab."""
    program = tmp_path / "janitor"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m janitor "$@"\n')
    program.chmod(0o755)
    asked = "".join(map(pressing_tab, COMPLETED))
    done = subprocess.run(
        ["bash", "-euc", f'eval "$(janitor completion bash)"\ncomplete -p janitor\n{asked}'],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    registered, *replies = done.stdout.splitlines()
    assert "-F _janitor_completion janitor" in registered
    assert [set(reply.split()) for reply in replies] == list(COMPLETED.values())


@pytest.mark.parametrize(("shell", "place"), [("zsh", "1"), ("fish", "sw")])
def test_other_shells_are_asked_in_their_own_form(shell: str, place: str, world: World) -> None:
    variable = "_JANITOR_COMPLETE"
    assert f"{variable}={shell}_complete" in world.run("completion", shell).out
    asked = {variable: f"{shell}_complete", "COMP_WORDS": "janitor sw", "COMP_CWORD": place}
    done = world.process(environment=asked)
    assert (done.code, done.err) == (0, "")
    assert "sweep" in re.findall(r"\w+", done.out)


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
