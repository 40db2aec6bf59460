"""An archive that cannot be opened, vanishes, may not be written, or finds its disk full."""

from __future__ import annotations

import pytest
from mounts import fill_up, read_only, tmpfs
from world import World

from bad_input.refusals import assert_good_run_follows, assert_refused


def test_a_file_in_its_place_stops_a_sweep(world: World) -> None:
    ids = world.fill(2)
    world.archive.write_text("no directory")
    assert_refused(world, world.run("sweep"), 3, str(world.archive))
    assert world.archive.read_text() == "no directory"
    world.archive.unlink()
    assert_good_run_follows(world, len(ids))


def test_a_read_only_archive_stops_a_sweep(world: World) -> None:
    ids = world.fill(2)
    world.archive.mkdir()
    with read_only(world.archive):
        assert_refused(world, world.run("sweep"), 3, str(world.archive))
    assert_good_run_follows(world, len(ids))


def test_a_full_archive_pauses_what_archives_and_nothing_else(world: World) -> None:
    with tmpfs(world.archive, "64k") as small:
        ids = world.fill(3)
        other = world.fill(1, age=70, plan="marked")
        filler = fill_up(small)
        done = world.run("sweep")
        assert done.code == 3, done.err
        assert str(world.archive) in done.err
        assert "full" in done.err
        assert "nothing was removed" in done.err
        assert set(world.emulator.ids()) == {*ids, *other}
        assert world.states()[other[0]] == "soft_deleted"
        filler.unlink()
        assert_good_run_follows(world, len(ids))


def archived(world: World, number: int) -> list[str]:
    """Threads with a proven copy that are to be deleted at the next sweep."""
    ids = world.fill(number, age=10)
    assert world.run("sweep").code == 0
    assert set(world.states().values()) == {"archived"}
    world.config.write_text(world.config.read_text().replace("after: 30d", "after: 8d"))
    digest = world.run("--output", "json", "plan", "--offline").document["policies_digest"]
    assert world.run("approve", digest, "--reason", "kept for long enough").code == 0
    world.emulator.clear_log()
    return ids


def test_nothing_is_deleted_once_the_archive_has_vanished(world: World) -> None:
    """An empty mount point looks like an empty archive."""
    ids = archived(world, 3)
    world.archive.rename(world.directory / "unmounted")
    world.archive.mkdir()
    assert_refused(world, world.run("sweep"), 3, str(world.archive))
    assert world.emulator.ids() == ids
    world.archive.rmdir()
    (world.directory / "unmounted").rename(world.archive)
    assert_good_run_follows(world, len(ids))


@pytest.mark.parametrize("content", [b"", b"\0" * 400, None], ids=["empty", "zeros", "cut"])
def test_a_damaged_copy_is_found_before_the_deletion(world: World, content: bytes | None) -> None:
    ids = archived(world, 1)
    (copy,) = world.archive.rglob("*.zst")
    copy.write_bytes(copy.read_bytes()[:-20] if content is None else content)
    done = world.run("sweep")
    assert done.code == 1, done.out
    assert "Traceback" not in done.err
    assert world.changes == []
    assert world.emulator.ids() == ids
    (failed,) = world.run("--output", "jsonl", "list", "--failed").lines
    assert str(copy) in failed["last_error"]
