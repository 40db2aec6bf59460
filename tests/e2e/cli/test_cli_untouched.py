"""I6: looking changes nothing, neither at the server nor in the registry's files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from world import World, finished, until

LOOKING = [
    ["plan"],
    ["--output", "json", "plan"],
    ["plan", "--offline", "--all"],
    ["plan", "--at", "2036-01-01T00:00:00Z"],
    ["sweep", "--dry-run"],
    ["list"],
    ["list", "--due"],
    ["runs"],
    ["export", "--registry"],
    ["validate"],
]


def files(world: World) -> dict[str, str]:
    """Every file of the world by its content, size and time of change.

    SQLite keeps the locks of living readers in its `-shm`: of that file only the size counts.
    """
    return {
        str(path.relative_to(world.directory)): _said(path)
        for path in sorted(world.directory.rglob("*"))
        if path.is_file()
    }


def _said(path: Path) -> str:
    if path.name.endswith("-shm"):
        return str(path.stat().st_size)
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_looking_leaves_every_file_as_it_was(world: World, arguments: list[str]) -> None:
    world.fill(3)
    world.emulator.clear_log()
    before = files(world)
    done = world.run(*arguments)
    assert done.code == 0
    assert files(world) == before
    assert world.changes == []


def test_looking_beside_a_killed_writer_leaves_its_files_as_they_are(world: World) -> None:
    world.fill(16)
    world.emulator.latency = 0.05
    process = world.start("sweep")
    until(lambda: any(entry.method == "DELETE" for entry in world.emulator.log))
    process.kill()
    finished(process)
    world.emulator.latency = 0
    world.emulator.clear_log()
    before = files(world)
    assert {"janitor.db", "janitor.db-wal", "janitor.db-shm"} <= set(before)
    for arguments in LOOKING:
        done = world.run(*arguments)
        assert done.code == 0, done.err
        assert files(world) == before, arguments
    document = world.process("--output", "json", "plan").document
    assert document["decisions"]
    assert files(world) == before
    assert world.changes == []
