"""Writes docs/metrics.md from what janitor/metrics.py declares.

Run it after a change there: `python tests/unit/house/metrics_page.py > docs/metrics.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from janitor.metrics import Metrics

HEAD = """\
# Metrics

What `janitor serve` answers at `/metrics`, and what `janitor sweep --metrics-textfile FILE` writes
for the node exporter. Written from `janitor/metrics.py` by
`python tests/unit/house/metrics_page.py`; a test compares. What to do about each is in
[operations.md](operations.md).

No label ever holds an id, a user or metadata. Counters continue across restarts and one-off
runs, because the registry keeps them. Gauges of what is due are those of the last sweep; nothing is
scanned for a scrape.

| metric | type | labels | meaning |
|---|---|---|---|
"""
ENDINGS = {"counter": "_total"}


def rows() -> Iterator[str]:
    """One row a metric, by name."""
    metrics = Metrics()
    declared = {one._name: one for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    for family in sorted(metrics.families(), key=lambda one: one.name):
        labels = ", ".join(f"`{label}`" for label in declared[family.name]._labelnames)
        name = f"{family.name}{ENDINGS.get(family.type, '')}"
        yield f"| `{name}` | {family.type} | {labels} | {family.documentation} |\n"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(rows())


if __name__ == "__main__":
    sys.stdout.write(page())
