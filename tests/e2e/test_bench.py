"""What measures us runs; how fast anything is, no test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_measures_and_writes_what_it_found(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    small = {"BENCH_PAIRS": "1", "BENCH_CALLS": "1", "BENCH_RESULTS": str(results)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "run.py")],
        env=os.environ | small,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(results.read_text(encoding="utf-8"))
    assert [line["id"] for line in found] == ["B13"] * 3
    assert all(len(line["ratios"]) == 1 and line["median"] > 0 for line in found)
    assert all(line["measure"] in done.stdout for line in found)
