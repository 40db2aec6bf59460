"""Sweeps again and again until nothing is due: `CONFIG URL`, and a line once it has begun."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from janitor.cli import execute
from janitor.registry import Registry


def is_due(registry: Registry) -> bool:
    left = next(registry.threads.due(datetime.now(UTC)), None)
    return bool(left or registry.threads.open_intents(limit=1) or registry.runs.unclosed())


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
