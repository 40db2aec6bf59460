"""Hundreds of sweeps in one process: memory and descriptors stay where they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from world import World

SWEEPS = 300
SCRIPT = """\
import gc, logging, os, sys, threading
from pathlib import Path
from janitor.app.open_registry import open_registry
from janitor.app.service_loop import ServiceLoop
from janitor.config import load
from janitor.metrics import Metrics

def measured():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))

path = Path(sys.argv[1])
config = load(path)
with open_registry(config, create=True) as registry:
    live = ServiceLoop(path, config, registry, Metrics())
    def sweep(times):
        for _ in range(times):
            live.sweep(threading.Event())
            live.reload()
            live.refresh()
    sweep(150)
    memory, files = measured()
    sweep(int(sys.argv[2]) - 150)
    more, now = measured()
    sys.stdout.write(f"{more - memory} {now - files} {threading.active_count()}")
"""


def test_memory_and_descriptors_stay_flat_over_many_sweeps(world: World, tmp_path: Path) -> None:
    world.fill(5, age=1)
    world.fill(1)
    script = tmp_path / "steady.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(world.config), str(SWEEPS)],
        env={"MALLOC_ARENA_MAX": "2", **world.environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    memory, files, threads = map(int, done.stdout.split())
    assert files == 0
    assert memory < 6 * 1024 * 1024
    assert threads < 20
