"""What carries the program to a machine: the systemd units and the image's recipe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from janitor.testing import emulator

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
SWEEP = UNITS / "janitor-sweep.service"
FILTERED = Path(__file__).parent / "filtered.py"
BIN = Path(sys.executable).parent
KEY = "sk-of-a-test"
CONFIG = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///{state}/janitor.db"}}
archive: {{url: "file://{state}/archive", keep_for: 1y}}
projects: {{main: {{api_key: {{credential: openai}}, base_url: "{url}"}}}}
limits: {{max_percent: 100}}
policies: [{{name: all, default: true, archive: {{after: 1d}}, delete: {{after: 2d}}}}]
"""

# Where CI is set, a missing tool is a failure and not a skip.
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="systemd-analyze is not installed",
)
needs_hadolint = pytest.mark.skipif(
    not (BIN / "hadolint").exists() and not os.environ.get("CI"),
    reason="hadolint is not installed",
)


def run(
    *command: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; stdout and stderr come together in `stdout`."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
        env=env,
    )


def values(unit: Path, name: str) -> list[str]:
    """Every value of a setting, in the order of the file."""
    return re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    for unit in UNITS.iterdir():
        text = unit.read_text(encoding="utf-8").replace("/usr/local/bin/janitor", sys.executable)
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    done = run("systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir()))
    assert (done.returncode, done.stdout) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda unit: unit.name)
def test_a_service_is_exposed_to_little_more_than_the_network(unit: Path) -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout


def test_only_a_clean_stop_counts_as_success_beside_zero() -> None:
    assert values(SWEEP, "SuccessExitStatus") == ["143"]


@needs_systemd
def test_the_units_command_sweeps_inside_the_units_confinement(tmp_path: Path) -> None:
    state, settings = tmp_path / "state", tmp_path / "settings"
    for directory in (state, settings):
        directory.mkdir()
    (settings / "openai").write_text(KEY + "\n", encoding="utf-8")
    env = environment(state, settings)
    old = datetime.now(UTC) - timedelta(days=30)
    with emulator({KEY: "main"}) as api:
        config = CONFIG.format(state=state, url=api.base_url)
        (settings / "janitor.yaml").write_text(config, encoding="utf-8")
        thread = api.server.add_conversation(created_at=old, items=3)
        listed = settings / "threads.csv"
        listed.write_text(f"id,last_active_at\n{thread},{old.isoformat()}\n", encoding="utf-8")
        assert run(BIN / "janitor", "import", listed, env=env).returncode == 0
        done = run(sys.executable, FILTERED, allowed(), *command(), env=env)
    assert done.returncode == 0, done.stdout
    metrics = (state / "janitor.prom").read_text(encoding="utf-8")
    assert 'janitor_actions_total{outcome="done",policy="all",stage="delete"} 1.0' in metrics
    assert len(list((state / "archive").rglob("*.zst"))) == 1


def environment(state: Path, settings: Path) -> dict[str, str]:
    """What the unit gives to its program, in directories of the test."""
    given = dict(line.split("=", 1) for line in values(SWEEP, "Environment"))
    moved = {
        name: value.replace("/var/lib/janitor", str(state)).replace("/etc/janitor", str(settings))
        for name, value in given.items()
    }
    return os.environ | moved | {"CREDENTIALS_DIRECTORY": str(settings)}


def command() -> list[str | Path]:
    """The unit's command line, with the program under test."""
    (line,) = values(SWEEP, "ExecStart")
    return [BIN / "janitor", *line.split()[1:]]


def allowed() -> str:
    """The system calls that the unit's filter leaves, separated by commas."""
    granted, refused = set[str](), set[str]()
    for line in values(SWEEP, "SystemCallFilter"):
        into = refused if line.startswith("~") else granted
        for group in line.removeprefix("~").split():
            into |= members(group)
    return ",".join(sorted(granted - refused | members("@default")))


def members(group: str) -> set[str]:
    """The system calls of a group, those of its inner groups too."""
    lines = run("systemd-analyze", "syscall-filter", group).stdout.splitlines()[1:]
    names = {line.strip() for line in lines} - {""}
    inner = {name for name in names if name.startswith("@")}
    calls = {name for name in names - inner if not name.startswith("#")}
    return calls.union(*(members(name) for name in inner))


@needs_hadolint
def test_the_linter_has_nothing_to_say_against_the_dockerfile() -> None:
    done = run(BIN / "hadolint", "--no-color", ROOT / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_a_user_that_is_a_number_and_not_root() -> None:
    users = re.findall(r"^USER (.*)$", recipe(), re.MULTILINE)
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def test_the_image_says_which_version_it_holds() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in recipe()


def test_what_the_image_copies_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", recipe(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == {line.removeprefix("!") for line in ignore if line.startswith("!")}


def recipe() -> str:
    """The Dockerfile's text."""
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")
