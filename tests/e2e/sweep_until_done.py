"""Sweeps again and again until nothing is due: `CONFIG URL`, and a line once it has begun."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import janitor.cli.compose
import janitor.cli.measuring
import janitor.cli.progress
import janitor.cli.showing  # noqa: F401 - loaded before it says that it has begun
from janitor.cli import execute
from janitor.registry import Registry


def is_due(registry: Registry) -> bool:
    left = registry.due(datetime.now(UTC), limit=1) or registry.open_intents(limit=1)
    return bool(left or registry.unclosed_runs())


def main() -> None:
    config, url = sys.argv[1:]
    with Registry.open(url, read_only=True) as registry:
        sys.stderr.write("begun\n")
        while is_due(registry):
            code = execute(["--config", config, "sweep"])
            if code != 0:
                sys.exit(code)
            time.sleep(0.05)


if __name__ == "__main__":
    main()
