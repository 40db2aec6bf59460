"""Never lose: what goes wrong around the archive's and the registry's disk removes nothing."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mounts import fill_up, tmpfs
from world import Done, World

from janitor.archive.local import Content, Disk


def assert_nothing_lost(world: World, ids: list[str]) -> None:
    """Whatever is gone at the server has its object in the archive."""
    gone = {
        one for one in ids if not world.emulator.exists(one) or len(world.emulator.items(one)) < 2
    }
    objects = {path.name.partition(".")[0] for path in world.archive.rglob("*.zst")}
    assert gone <= objects


def assert_told(done: Done, code: int, *words: str) -> None:
    assert done.code == code, done.out + done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err


def assert_finished(world: World, number: int) -> None:
    assert world.run("sweep").code == 0
    assert list(world.states().values()).count("deleted") == number
    assert set(world.emulator.deletes.values()) == {1}


@pytest.mark.parametrize("room", [0, 1, 2, 3, 4])
def test_a_disk_that_fills_up_at_any_write_of_the_archive(world: World, room: int) -> None:
    """So many blocks are left: for the staged file, its directories, one object, and more."""
    with tmpfs(world.archive, "256k") as small:
        ids = world.fill(6)
        filler = fill_up(small)
        with filler.open("r+b") as file:
            file.truncate(max(0, filler.stat().st_size - room * 4096))
        assert_told(world.run("sweep"), 3, "full", "nothing was removed")
        assert_nothing_lost(world, ids)
        filler.unlink()
        assert_finished(world, len(ids))


def empty(archive: Path) -> None:
    shutil.rmtree(archive / "main")


def replace(archive: Path) -> None:
    """As an empty file system that is mounted over it."""
    archive.rename(archive.with_name("below"))
    archive.mkdir()


@pytest.fixture
def struck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Let something happen within a sweep, right after an object was published."""

    def strike(act: Callable[[], None]) -> None:
        publish = Disk.publish

        def and_then(self: Disk, *args: object, **named: object) -> Content | None:
            done = publish(self, *args, **named)  # type: ignore[arg-type]
            act()
            return done

        monkeypatch.setattr(Disk, "publish", and_then)

    yield strike
    monkeypatch.undo()


@pytest.mark.parametrize("vanish", [empty, replace, shutil.rmtree])
def test_an_archive_that_vanishes_within_a_sweep(
    world: World, struck: Callable[[Callable[[], None]], None], vanish: Callable[[Path], None]
) -> None:
    world.configure(concurrency=1)
    ids = world.fill(1)
    struck(lambda: vanish(world.archive))
    done = world.run("sweep")
    assert done.code in {1, 3}, done.err
    assert "Traceback" not in done.err
    assert world.changes == []
    assert world.emulator.ids() == ids


def test_an_archive_emptied_between_two_sweeps(world: World) -> None:
    ids = world.fill(2, age=10)
    assert world.run("sweep").code == 0
    shutil.rmtree(world.archive / "main")
    world.config.write_text(world.config.read_text().replace("after: 30d", "after: 8d"))
    waiting = re.search(r"janitor approve (\w+)", world.run("sweep").err)
    assert waiting is not None
    assert world.run("approve", waiting[1], "--reason", "a test").code == 0
    assert_told(world.run("sweep"), 1)
    assert world.changes == []
    assert sorted(world.emulator.ids()) == sorted(ids)


def test_a_registry_that_another_process_locks_is_waited_for_or_told(world: World) -> None:
    ids = world.fill(2)
    with sqlite3.connect(world.registry, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert_told(world.run("sweep", "--wait", "1s"), 3, str(world.registry), "lock")
        assert world.changes == []
        other.execute("ROLLBACK")
    other.close()
    assert_finished(world, len(ids))


def test_where_the_archive_lies_is_known(world: World, tmp_path: Path) -> None:
    """The checks above look where janitor writes."""
    world.fill(1)
    assert_finished(world, 1)
    assert len(list(world.archive.rglob("*.zst"))) == 1
