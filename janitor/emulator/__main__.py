"""`python -m janitor.emulator`: the emulator as a process of its own."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress

from janitor.emulator.emulator import KEYS, Emulator


def _pairs(texts: list[str]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in texts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m janitor.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--key", action="append", metavar="KEY=PROJECT", help=f"default: {KEYS}")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--quota", action="append", metavar="METHOD=PER_MINUTE")
    parser.add_argument("--items-vanish", action="store_true", help="with their conversation")
    parser.add_argument("--lists-all", action="store_true", help="as some servers do")
    parser.add_argument("--seed", type=int, help="makes ids repeatable")
    return parser.parse_args()


def main() -> None:
    """Print the base URL as the first line, then serve until a signal comes."""
    arguments = _arguments()
    quota = {method: int(limit) for method, limit in _pairs(arguments.quota or []).items()}
    emulator = Emulator(
        _pairs(arguments.key or []),
        latency=arguments.latency,
        quota=quota,
        items_outlive=not arguments.items_vanish,
        lists_all=arguments.lists_all,
        seed=arguments.seed,
    )
    served = emulator.serve(arguments.port)
    sys.stdout.write(f"{served.base_url}\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        served.run()


if __name__ == "__main__":
    main()
