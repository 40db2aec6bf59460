"""Prints the results as a table in Markdown: `python bench/write_table.py [results.json]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
HEAD = """\
| id | measure | ours | reference | ratio | target | least to most | pairs |
|---|---|---|---|---|---|---|---|"""


def main() -> None:
    """Print the table, and what it was measured on."""
    found = json.loads(Path(sys.argv[1] if sys.argv[1:] else RESULTS).read_text(encoding="utf-8"))
    print("\n".join(table(found)))  # noqa: T201 - a command


def table(found: dict[str, Any]) -> Iterator[str]:
    """The lines of the table."""
    machine, versions = found["machine"], found["versions"]
    yield (
        f"{machine['cores']} cores of {machine['processor']}, {machine['system']}, Python "
        f"{machine['python']}, SQLite {machine['sqlite']}, load {machine['load']:.1f} at the end; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
    )
    yield ""
    yield HEAD
    for line in found["measures"]:
        sides = [_side(line, name) for name in ("ours", "reference")]
        sign = "≤" if line["at_most"] else "≥"
        spread = f"{line['least']:.3g} to {line['most']:.3g}"
        cells = [line["id"], line["measure"], *sides, f"{line['median']:.3g}"]
        cells += [f"{sign} {line['target']:g}", spread, str(len(line["ratios"]))]
        yield f"| {' | '.join(cells)} |"


def _side(line: dict[str, Any], name: str) -> str:
    return f"{line[name]:.3g} {line['unit']}" if name in line else ""


if __name__ == "__main__":
    main()
