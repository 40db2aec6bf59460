"""Measures, and says how ours compares with the reference: `python bench/run.py`."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import tracked_calls

RESULTS = Path(os.environ.get("BENCH_RESULTS", Path(__file__).with_name("results.json")))
PAIRS = int(os.environ.get("BENCH_PAIRS", "9"))
CALLS = int(os.environ.get("BENCH_CALLS", "40"))


@dataclass(frozen=True, slots=True)
class Line:
    """One measure: the ratio of each pair, and what their median is not to exceed."""

    id: str
    measure: str
    target: float
    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """What is compared with the target."""
        return statistics.median(self.ratios)

    @property
    def shown(self) -> str:
        """The line of the table."""
        least, most = min(self.ratios), max(self.ratios)
        spread = f"{least:.3f} to {most:.3f} in {len(self.ratios)}"
        return f"{self.id:4} {self.measure:44} {self.median:7.3f}  ≤ {self.target:<5} {spread}"


def main() -> None:
    """Measure everything, print the table and write the results."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["JANITOR_SPOOL"] = f"{directory}/spool"
        measured = tracked_calls.measures(Path(directory), pairs=PAIRS, calls=CALLS)
        lines = [Line("B13", name, tracked_calls.TARGET, ratios) for name, ratios in measured]
    sys.stdout.writelines(f"{line.shown}\n" for line in lines)
    found = [asdict(line) | {"median": line.median} for line in lines]
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
