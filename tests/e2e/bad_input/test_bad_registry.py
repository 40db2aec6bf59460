"""A registry that is none, cannot be written, is of another version, or finds its disk full."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mounts import fill_up, read_only, tmpfs
from world import World

from bad_input.refusals import assert_good_run_follows, assert_refused
from janitor.registry.migrate import REVISION

WRITING = ["sweep", "import --id conv_1"]
READING = ["plan", "list", "explain conv_1", "runs", "--output json plan --offline"]


def place_text(path: Path) -> None:
    path.write_text("This is no database, whatever its name says.\n" * 100)


def place_zeros(path: Path) -> None:
    path.write_bytes(b"\0" * 8192)


def place_foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE chats (id TEXT PRIMARY KEY)")
        connection.execute("INSERT INTO chats VALUES ('conv_1')")
    connection.close()


def place_directory(path: Path) -> None:
    path.mkdir()


def place_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


PLACED = [place_text, place_zeros, place_foreign, place_directory, place_link_to_itself]


@pytest.mark.parametrize("place", PLACED)
@pytest.mark.parametrize("command", [*WRITING, *READING])
def test_what_is_no_registry_is_refused_and_left_alone(
    world: World, place: Callable[[Path], None], command: str
) -> None:
    place(world.registry)
    before = world.registry.read_bytes() if world.registry.is_file() else b""
    done = world.run(*command.split())
    assert_refused(world, done, 2, str(world.registry))
    assert (world.registry.read_bytes() if world.registry.is_file() else b"") == before
    assert not world.emulator.log


@pytest.mark.parametrize("command", [*WRITING, *READING])
def test_a_pipe_in_its_place_keeps_nobody_waiting(world: World, command: str) -> None:
    os.mkfifo(world.registry)
    done = world.run(*command.split())
    assert_refused(world, done, 2, str(world.registry), "regular file")


@pytest.mark.parametrize("command", [*WRITING, *READING])
def test_a_newer_schema_is_refused(world: World, command: str) -> None:
    ids = world.fill(1)
    with sqlite3.connect(world.registry) as connection:
        connection.execute("UPDATE janitor_schema SET version_num = '9999'")
    connection.close()
    done = world.run(*command.split())
    assert_refused(world, done, 2, str(world.registry), "9999")
    with sqlite3.connect(world.registry) as connection:
        connection.execute("UPDATE janitor_schema SET version_num = ?", [REVISION])
    connection.close()
    assert_good_run_follows(world, len(ids))


@pytest.mark.parametrize("command", READING)
def test_a_registry_that_is_not_there_is_not_made_by_looking(world: World, command: str) -> None:
    done = world.run(*command.split())
    assert_refused(world, done, 2, str(world.registry), "janitor import")
    assert not world.registry.exists()


def test_a_missing_directory_is_refused(world: World) -> None:
    world.configure(registry="nowhere/janitor.db")
    assert_refused(world, world.run("import", "--id", "conv_1"), 2, "nowhere", "create it")
    assert_refused(world, world.run("sweep"), 2, "nowhere", "create it")


def test_a_read_only_registry_can_be_read_and_not_written(world: World) -> None:
    world.configure(registry="state/janitor.db", archive="archive")
    (world.directory / "state").mkdir()
    ids = world.fill(2)
    world.emulator.clear_log()
    with read_only(world.directory / "state"):
        for command in WRITING:
            assert_refused(world, world.run(*command.split()), 2, "state", "is not writable")
        for command in ("plan", "list", f"explain {ids[0]}", "runs"):
            done = world.run(*command.split())
            assert (done.code, done.err) == (0, ""), command
        assert world.changes == []
    assert_good_run_follows(world, len(ids))


def test_a_full_disk_under_the_registry_stops_a_sweep_before_it_removes(world: World) -> None:
    with tmpfs(world.directory / "small", "2m") as small:
        world.configure(registry="small/janitor.db", archive="archive")
        ids = world.fill(5)
        filler = fill_up(small)
        done = world.run("sweep")
        assert_refused(world, done, 3, str(small / "janitor.db"), "full")
        filler.unlink()
        assert_good_run_follows(world, len(ids))


def test_a_full_disk_under_the_log_of_a_dead_janitor_is_told_to_all(world: World) -> None:
    with tmpfs(world.directory / "small", "2m") as small:
        world.configure(registry="small/janitor.db", archive="archive")
        ids = world.fill(2)
        with closing(sqlite3.connect(small / "janitor.db")) as other:  # whose log stays behind
            other.execute("UPDATE meta SET value = value").close()
            other.commit()
            for name in ("janitor.db", "janitor.db-wal"):
                shutil.copy(small / name, world.directory)
        for name in ("janitor.db", "janitor.db-wal"):
            shutil.copy(world.directory / name, small)
        filler = fill_up(small)
        for command in ("list", "plan", f"hold add h --id {ids[0]} --reason r", "pause --reason r"):
            done = world.run(*command.split())
            said = f"{small / 'janitor.db'} cannot grow: its disk is full; free some space"
            assert_refused(world, done, 3, said)
        filler.unlink()
        assert_good_run_follows(world, len(ids))


@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_midst_loses_nothing(world: World) -> None:
    """Whatever was deleted at the server until then is known, and the rest is done later."""
    with tmpfs(world.directory / "small", "24m") as small:
        world.configure(registry="small/janitor.db", archive="archive", concurrency=1)
        ids = world.fill(60)
        filler = small / "filler"
        free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
        filler.write_bytes(b"\0" * max(0, free - 300_000))
        done = world.run("sweep")
        assert done.code == 3, done.out + done.err
        assert "Traceback" not in done.err
        assert "full" in done.err
        filler.unlink()
        assert 0 < len(world.emulator.ids()) < len(ids)
        assert_good_run_follows(world, len(ids))
        assert world.emulator.ids() == []


def test_an_import_onto_a_full_disk_says_so(world: World) -> None:
    with tmpfs(world.directory / "small", "1m") as small:
        world.configure(registry="small/janitor.db")
        world.fill(1)
        filler = fill_up(small)
        lines = "".join(f'{{"id": "conv_x{n}"}}\n' for n in range(3000))
        (world.directory / "many.jsonl").write_text(lines)
        done = world.run("import", str(world.directory / "many.jsonl"))
        assert_refused(world, done, 3, str(small / "janitor.db"), "full")
        filler.unlink()
        assert_good_run_follows(world, 1)
