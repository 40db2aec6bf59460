"""Two months of scheduled sweeps, each with a night in which the clocks change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("months.py")
MONTH = 31
MEBIBYTE = 1 << 20
POOL = 5  # connections that the registry's pool keeps, SQLAlchemy's default


def lived(directory: Path, *arguments: str) -> dict[str, Any]:
    """What the process says that lived through months."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(directory), *arguments],
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize(
    ("zone", "cron", "starts"),
    [
        ("Europe/Berlin", "30 2 * * *", [date(2026, 3, 10), date(2026, 10, 10)]),
        ("America/New_York", "30 1 * * *", [date(2026, 2, 20), date(2026, 10, 15)]),
    ],
)
def test_each_day_of_both_months_has_its_sweep_and_nothing_grows(
    tmp_path: Path, zone: str, cron: str, starts: list[date]
) -> None:
    said = lived(tmp_path, zone, cron, *map(str, starts))
    runs = [datetime.fromisoformat(at) for at in said["runs"]]
    days = [start + timedelta(days=n) for start in starts for n in range(MONTH)]
    assert [at.date() for at in runs] == days
    assert len({at.utcoffset() for at in runs}) == 2, "the clocks were changed"
    assert said["done"] == len(days)
    assert said["deleted"] == len(days) - 2, "all but the last two, which are not due yet"
    early, late = said["early"], said["late"]
    assert late["memory"] - early["memory"] < 4 * MEBIBYTE
    for held in ("files", "threads"):  # a pool's idle threads vary; a leak grows with the runs
        assert late[held] - early[held] < len(days) / 5, held
    assert 0 < late["connections"] <= POOL
