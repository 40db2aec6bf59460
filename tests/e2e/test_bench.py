"""What measures us runs; how fast anything is, no test says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from janitor.distribution import VERSION

ROOT = Path(__file__).parents[2]
IDS = [
    *["B0"] * 14,
    *("B2", "B3", "B4", "B4", "B4", "B5", "B5", "B6", "B6", "B6", "B6", "B7", "B7", "B8"),
    *("B9", "B9", "B9", "B9", "B10", "B10", "B11", "B11", "B12", "B12", "B12"),
    *("B13", "B13", "B13", "B14", "B14"),
]
COUNTS = {"B0", "B9", "B12"}
"""What may be none, and is counted otherwise than in pairs."""


def measured(
    *arguments: str, script: str = "run.py", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks as small as they get."""
    small = {"BENCH_PAIRS": "1", "BENCH_CALLS": "1", "BENCH_SHARE": "0.01"}
    return subprocess.run(
        [sys.executable, str(ROOT / "bench" / script), *arguments],
        env=os.environ | small | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_it_measures_and_writes_what_it_found(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    done = measured(BENCH_RESULTS=str(results))
    assert done.returncode == 0, done.stderr
    told = json.loads(results.read_text(encoding="utf-8"))
    assert told["machine"]["cores"] == os.cpu_count()
    assert told["versions"]["thread-janitor"] == VERSION
    found = told["measures"]
    assert [line["id"] for line in found] == IDS
    assert all(line["least"] <= line["median"] <= line["most"] for line in found)
    in_pairs = [line for line in found if line["id"] not in COUNTS]
    assert all(len(line["ratios"]) == 1 and line["median"] > 0 for line in in_pairs)
    assert all(line["measure"] in done.stdout for line in found)


def test_one_measure_is_taken_by_its_name_and_shown_in_a_table(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    assert measured("B7", BENCH_RESULTS=str(results)).returncode == 0
    *_, one, _ = measured(str(results), script="write_table.py").stdout.splitlines()
    assert re.fullmatch(
        r"\| B7 \| .+ \| [\d.e-]+ s \| [\d.e-]+ s \| .+ \| ≤ 1.3 \| .+ \| 1 \|", one
    )
    assert [line["id"] for line in json.loads(results.read_text(encoding="utf-8"))["measures"]] == [
        "B7",
        "B7",
    ]


def test_the_measure_that_takes_gigabytes_is_taken_by_its_name_alone(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    done = measured("B1", BENCH_RESULTS=str(results), BENCH_SHARE="0.001")
    assert done.returncode == 0, done.stderr
    measures = json.loads(results.read_text(encoding="utf-8"))["measures"]
    assert [line["id"] for line in measures] == ["B1"]


def test_an_unknown_measure_is_refused_with_the_known_ones() -> None:
    done = measured("B99")
    assert done.returncode == 1
    known = ", ".join(f"B{number}" for number in range(15))
    assert f"unknown measure B99: use {known}" in done.stderr


def test_a_profile_names_the_libraries_that_take_the_time() -> None:
    done = measured(script="profiles.py")
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^(B\d+): .*$", done.stdout, flags=re.MULTILINE)
    assert parts[1::2] == ["B2", "B5", "B6"]
    for part in parts[2::2]:
        shares = dict(re.findall(r"^  (\w+) +([\d.]+)%", part, re.MULTILINE))
        assert {"janitor", "sqlalchemy"} <= set(shares)
        assert sum(map(float, shares.values())) <= 100.1


def test_what_has_no_profile_is_refused_with_what_has() -> None:
    done = measured("B1", script="profiles.py")
    assert done.returncode == 1
    assert "no profile of B1: use B2, B5, B6" in done.stderr
