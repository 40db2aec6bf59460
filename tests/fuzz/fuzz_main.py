"""`make fuzz MINUTES=60 SEED=...`: rounds until the time is over; `ROUND` plays one again."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "e2e")]

from fuzz_round import BrokenError, Count, ground, play  # noqa: E402
from postgres import serve  # noqa: E402

EVERY = 60.0


def main() -> int:
    """Play, tell what was played, and end with 1 where a round did not hold."""
    seed = os.environ.get("SEED") or str(int(time.time()))
    only = os.environ.get("ROUND") or None
    end = time.monotonic() + float(os.environ.get("MINUTES", "1")) * 60
    count, broken, told = Count(), 0, time.monotonic()
    number = int(only or 0)
    with serve() as server, ground(server) as shared:
        while time.monotonic() < end:
            try:
                count += play(shared, seed, number)
            except BrokenError as error:
                broken += 1
                sys.stdout.write(f"{error}\n")
            number += 1
            if only is not None:
                break
            if time.monotonic() - told > EVERY:
                told = time.monotonic()
                sys.stdout.write(f"SEED={seed}: {count}, {broken} did not hold\n")
                sys.stdout.flush()
    sys.stdout.write(f"SEED={seed}: {count}, {broken} did not hold\n")
    return 1 if broken or not count.rounds else 0


if __name__ == "__main__":
    sys.exit(main())
