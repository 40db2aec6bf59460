"""A plan of many due threads: its memory does not follow their number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from peak import MEASURED

FEW, MANY = 3_000, 30_000
GROWTH = 16 << 10
"""KiB, of which half is the page cache of the registry; as many decisions take 120 MiB."""
CONFIG = """\
version: 1
registry: {url: "sqlite:///janitor.db"}
projects: {main: {api_key: {env: JANITOR_PLAN_KEY}, base_url: "http://127.0.0.1:9"}}
policies:
  - {name: all, default: true, delete: {after: 30d}}
"""


def janitor(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MEASURED, "--config", "janitor.yaml", *arguments]
    return subprocess.run(
        command,
        cwd=directory,
        env=os.environ | {"JANITOR_PLAN_KEY": "sk-plan"},
        capture_output=True,
        text=True,
        check=True,
    )


def filled(directory: Path, number: int) -> Path:
    """A directory with a registry of so many due threads."""
    directory.mkdir()
    (directory / "janitor.yaml").write_text(CONFIG)
    active_at = datetime.now(UTC) - timedelta(days=60)
    rows = [f"conv_{one:09},{active_at.isoformat()}" for one in range(number)]
    (directory / "threads.csv").write_text("\n".join(["id,last_active_at", *rows]))
    janitor(directory, "import", "threads.csv")
    return directory


@pytest.mark.timeout(1800)
def test_memory_does_not_follow_what_is_due(tmp_path: Path) -> None:
    peaks = []
    for number in (FEW, MANY):
        directory = filled(tmp_path / str(number), number)
        done = janitor(directory, "--output", "json", "plan", "--offline", "-o", "plan.json")
        shown = json.loads(done.stdout)
        assert len(shown["decisions"]) == number
        assert json.loads((directory / "plan.json").read_text()) == shown
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] - peaks[0] <= GROWTH


FULL = """
import resource, sys
from janitor.engine.spill import Spill
from janitor.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
spill = Spill(bytes, bytes, held=10)
try:
    spill.extend(b"x" * 10_000 for _ in range(1000))
except StoreError as error:
    print(error)
"""


def test_a_disk_without_room_is_told_with_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("a long plan needs a temporary file (in TMPDIR, ")
    assert "set TMPDIR" in done.stdout


OPEN = """
import os, stat
from pathlib import Path
from janitor.engine.spill import Spill
spill = Spill(bytes, bytes, held=10)
spill.extend(b"x" * 10_000 for _ in range(1000))
for place in Path("/proc/self/fd").iterdir():
    name = os.readlink(place) if place.is_symlink() else ""
    if "etilqs" in name:
        print(name.rpartition(" ")[2], oct(stat.S_IMODE(place.stat().st_mode)))
"""


def test_what_is_on_disk_has_no_name_and_is_its_users_alone() -> None:
    done = subprocess.run([sys.executable, "-c", OPEN], capture_output=True, text=True, check=True)
    assert done.stdout == "(deleted) 0o600\n"
