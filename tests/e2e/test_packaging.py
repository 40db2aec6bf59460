"""The systemd units: what they promise, and that the program works inside their confinement."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from serve.systemd import Systemd
from world import DEADLINE, until

from janitor.testing import Emulated, emulator

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
SWEEP, SERVICE, TIMER = (
    UNITS / name for name in ("janitor-sweep.service", "janitor.service", "janitor-sweep.timer")
)
PROMISED = {
    "DynamicUser": ["yes"],
    "User": ["janitor"],
    "StateDirectory": ["janitor"],
    "StateDirectoryMode": ["0700"],
    "LoadCredential": ["openai:/etc/janitor/openai.key"],
    "LimitCORE": ["0"],
    "UMask": ["0077"],
    "ProtectSystem": ["strict"],
    "NoNewPrivileges": ["yes"],
}
# How each runs and ends; everything else is the confinement, which they share.
OWN = {
    "Type",
    "NotifyAccess",
    "WatchdogSec",
    "ExecStart",
    "ExecReload",
    "Environment",
    "Restart",
    "RestartSec",
    "RestartPreventExitStatus",
    "SuccessExitStatus",
    "TimeoutStartSec",
    "TimeoutStopSec",
}
FILTERED = Path(__file__).parent / "filtered.py"
BIN = Path(sys.executable).parent
KEY = "sk-of-a-test"
CONFIG = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///{state}/janitor.db"}}
archive: {{url: "file://{state}/archive", keep_for: 1y}}
projects: {{main: {{api_key: {{credential: openai}}, base_url: "{url}"}}}}
schedule: {{every: 1h}}
service: {{listen: "127.0.0.1:0"}}
limits: {{max_percent: 100}}
policies: [{{name: all, default: true, archive: {{after: 1d}}, delete: {{after: 2d}}}}]
"""

# Where CI is set, a missing tool is a failure and not a skip.
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="systemd-analyze is not installed",
)


needs_cysystemd = pytest.mark.skipif(
    find_spec("cysystemd") is None, reason="cysystemd is not built for this platform"
)


def run(
    *command: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; stdout and stderr come together in `stdout`."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
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


@pytest.mark.parametrize("unit", [SWEEP, SERVICE], ids=lambda unit: unit.name)
def test_a_service_owns_its_state_and_no_account(unit: Path) -> None:
    assert {name: values(unit, name) for name in PROMISED} == PROMISED


def test_both_services_are_confined_alike() -> None:
    assert confinement(SERVICE) == confinement(SWEEP)


def test_the_service_says_when_it_is_ready_and_is_watched() -> None:
    names = ("Type", "NotifyAccess", "WatchdogSec", "Restart", "RestartPreventExitStatus")
    said = [values(SERVICE, name) for name in names]
    assert said == [["notify"], ["main"], ["1min"], ["on-failure"], ["2 3"]]


def test_only_a_clean_stop_counts_as_success_beside_zero() -> None:
    assert values(SWEEP, "SuccessExitStatus") == ["143"]


@needs_systemd
def test_the_timer_comes_every_day_and_makes_up_for_a_day_that_was_missed() -> None:
    (calendar,) = values(TIMER, "OnCalendar")
    done = run(
        "systemd-analyze", "calendar", "--iterations=3", calendar, env=os.environ | {"TZ": "UTC"}
    )
    times = re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", done.stdout)
    first, *later = (datetime.strptime(one, "%Y-%m-%d %H:%M:%S") for one in times)  # noqa: DTZ007
    assert [one - first for one in later] == [timedelta(days=1), timedelta(days=2)]
    assert values(TIMER, "Persistent") == ["true"]


@dataclass(frozen=True, slots=True)
class Machine:
    """The directories that a unit's program is given, filled with one old thread to delete."""

    state: Path
    settings: Path
    api: Emulated

    def environment(self, unit: Path) -> dict[str, str]:
        """What the unit gives to its program, in directories of the test."""
        given = dict(line.split("=", 1) for line in values(unit, "Environment"))
        moved = {
            name: value.replace("/var/lib/janitor", str(self.state)).replace(
                "/etc/janitor", str(self.settings)
            )
            for name, value in given.items()
        }
        return os.environ | moved | {"CREDENTIALS_DIRECTORY": str(self.settings)}

    def is_done(self) -> bool:
        """Whether the thread was archived and deleted."""
        copies = list((self.state / "archive").rglob("*.zst"))
        return self.api.server.ids() == [] and len(copies) == 1


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    state, settings = tmp_path / "state", tmp_path / "settings"
    for directory in (state, settings):
        directory.mkdir()
    (settings / "openai").write_text(KEY + "\n", encoding="utf-8")
    old = datetime.now(UTC) - timedelta(days=30)
    with emulator({KEY: "main"}) as api:
        config = CONFIG.format(state=state, url=api.base_url)
        (settings / "janitor.yaml").write_text(config, encoding="utf-8")
        thread = api.server.add_conversation(created_at=old, items=3)
        listed = settings / "threads.csv"
        listed.write_text(f"id,last_active_at\n{thread},{old.isoformat()}\n", encoding="utf-8")
        made = Machine(state, settings, api)
        done = run(BIN / "janitor", "import", listed, env=made.environment(SWEEP))
        assert done.returncode == 0, done.stdout
        yield made


@needs_systemd
def test_a_sweep_does_its_work_inside_the_units_confinement(machine: Machine) -> None:
    done = run(*confined(SWEEP), env=machine.environment(SWEEP))
    assert done.returncode == 0, done.stdout
    assert machine.is_done()
    metrics = (machine.state / "janitor.prom").read_text(encoding="utf-8")
    assert 'janitor_actions_total{outcome="done",policy="all",stage="delete"} 1.0' in metrics


@needs_systemd
@needs_cysystemd
def test_the_service_does_its_work_inside_the_units_confinement(
    machine: Machine, tmp_path: Path
) -> None:
    systemd = Systemd(tmp_path / "notify.sock")
    env = machine.environment(SERVICE) | {"NOTIFY_SOCKET": str(systemd.path)}
    log = tmp_path / "log"
    with closing(systemd), log.open("wb") as stderr:
        process = subprocess.Popen(confined(SERVICE), env=env, stderr=stderr)
        try:
            assert systemd.hear("READY") == "READY=1"
            until(machine.is_done)
            assert systemd.hear("WATCHDOG") == "WATCHDOG=1"
            process.terminate()
            assert systemd.hear("STOPPING") == "STOPPING=1"
            assert process.wait(DEADLINE) == 0, log.read_text(encoding="utf-8")
        finally:
            process.kill()
            process.wait()


def confinement(unit: Path) -> dict[str, list[str]]:
    """Every setting of a service but those that are its own."""
    section = unit.read_text(encoding="utf-8").partition("\n[Service]\n")[2].partition("\n[")[0]
    names = dict.fromkeys(re.findall(r"^(\w+)=", section, re.MULTILINE))
    return {name: values(unit, name) for name in names if name not in OWN}


def confined(unit: Path) -> list[str | Path]:
    """The unit's command line with the program under test, inside the unit's filter."""
    (line,) = values(unit, "ExecStart")
    return [sys.executable, FILTERED, allowed(unit), BIN / "janitor", *line.split()[1:]]


def allowed(unit: Path) -> str:
    """The system calls that the unit's filter leaves, separated by commas."""
    granted, refused = set[str](), set[str]()
    for line in values(unit, "SystemCallFilter"):
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
