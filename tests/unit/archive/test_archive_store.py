"""A store that does not answer, is full, is not ours or leads elsewhere."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from archive_exports import DIRECTORY, archive_in, container, export, files, item, put
from scarce import few_files

from janitor.archive import Archive
from janitor.archive.local import STAGING, Disk
from janitor.errors import ConfigError, StoreError

STALE = Path(".incoming") / ("0" * 32 + ".part")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with one MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize(("number", "size"), [(1, 8 << 20), (40, 1 << 18)])
def test_a_full_disk_is_told_and_nothing_is_half_done(
    small_disk: Path, number: int, size: int
) -> None:
    archive = archive_in(small_disk)
    copy = put(archive, export())
    words = [item(f"msg_{n}", os.urandom(size).hex()) for n in range(number)]
    with pytest.raises(StoreError, match=r"disk is full \([0-9,]+ bytes are free\)") as caught:
        put(archive, [container(), *words])
    assert str(small_disk) in str(caught.value)
    assert "bytes:" in str(caught.value)
    assert files(small_disk) == [copy.path]
    asyncio.run(archive.prove(copy))


def test_too_many_open_files_are_told_as_that(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "archive", writable=True)
    with few_files(), pytest.raises(StoreError, match=r"Too many open files; raise the limit"):
        disk.stage()
    with few_files(), pytest.raises(StoreError, match=r"Too many open files; raise the limit"):
        Disk(tmp_path / "archive", writable=True)


def test_a_disk_that_became_read_only_is_told(small_disk: Path) -> None:
    archive = archive_in(small_disk)
    copy = put(archive, export())
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="Read-only"):
        put(archive, export(7))
    with pytest.raises(StoreError, match="mount it writable"):
        archive_in(small_disk)
    asyncio.run(Archive.open(small_disk.as_uri(), create=False).prove(copy))


def test_a_disk_that_was_unmounted_is_told(small_disk: Path) -> None:
    archive = archive_in(small_disk)
    copy = put(archive, export())
    subprocess.run(["umount", str(small_disk)], check=True)
    try:
        with pytest.raises(StoreError, match="the directory is not the one from the start"):
            put(archive, export(7))
        with pytest.raises(StoreError, match="the directory is not the one from the start"):
            asyncio.run(archive.prove(copy))
        assert files(small_disk) == []
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(small_disk)], check=True)


def test_a_directory_that_vanished_is_told(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    archive = archive_in(root)
    copy = put(archive, export())
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="No such file or directory"):
        asyncio.run(archive.prove(copy))
    with pytest.raises(StoreError, match="No such file or directory"):
        put(archive, export())
    assert not root.exists()


def test_a_directory_that_was_removed_below_is_made_again(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    put(archive, export())
    shutil.rmtree(tmp_path / "main")
    shutil.rmtree(tmp_path / ".incoming")
    asyncio.run(archive.prove(put(archive, export())))


def test_a_file_is_no_archive(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    root.touch()
    for create in (True, False):
        with pytest.raises(StoreError, match="where a directory belongs"):
            Archive.open(root.as_uri(), create=create)
    with pytest.raises(StoreError, match="where a directory belongs"):
        archive_in(root / "below")


def test_what_is_absent_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        Archive.open((tmp_path / "absent").as_uri(), create=False)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("archive", "file:///absolute/path"),
        ("file://archive", "file:///absolute/path"),
        ("s3://bucket", "file:///absolute/path"),
        ("file:archive", "file:///absolute/path"),
        ("file:///a#b", "%23"),
        ("file:///a?b", "%3F"),
        ("file:///a%00b", "file:///"),
    ],
)
def test_another_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Archive.open(url)


def test_a_path_with_any_character_is_a_path(tmp_path: Path) -> None:
    root = tmp_path / "a b#c?d%41é"
    copy = put(archive_in(root), export())
    assert (root / copy.path).is_file()
    asyncio.run(archive_in(root).prove(copy))


@contextmanager
def another_user(root: Path, mode: int) -> Iterator[None]:
    """Without the power of root, in a directory of that mode."""
    me = os.geteuid()
    root.chmod(mode)
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)
        root.chmod(0o700)


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_directory_that_is_not_ours_is_told(mode: int) -> None:
    with tempfile.TemporaryDirectory() as directory:  # `tmp_path` lies where only root may look
        root = Path(directory)
        archive = archive_in(root)
        copy = put(archive, export())
        with another_user(root, mode):
            with pytest.raises(StoreError, match="Permission denied"):
                archive_in(root)
            with pytest.raises(StoreError, match="Permission denied"):
                put(archive, export(7))
        assert files(root) == [copy.path]
        (root / copy.path).chmod(0)
        with another_user(root, 0o000), pytest.raises(StoreError, match="Permission denied"):
            asyncio.run(archive.prove(copy))


@pytest.mark.parametrize("depth", range(1, 5))
def test_a_planted_link_leads_nowhere(tmp_path: Path, depth: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = archive_in(tmp_path / "archive")
    link = (tmp_path / "archive").joinpath(*DIRECTORY.split("/")[:depth])
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(StoreError, match="a link or a file is where a directory belongs"):
        put(archive, export())
    assert list(outside.iterdir()) == []


def test_a_planted_link_in_place_of_the_staging_directory_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / STALE.name).touch()
    root = tmp_path / "archive"
    root.mkdir()
    (root / ".incoming").symlink_to(outside)
    with pytest.raises(StoreError, match="a link or a file is where a directory belongs"):
        archive_in(root)
    assert [path.name for path in outside.iterdir()] == [STALE.name]


def test_a_planted_link_in_place_of_an_object_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    root = tmp_path / "archive"
    archive = archive_in(root)
    copy = put(archive, export())
    (root / copy.path).unlink()
    (root / copy.path).symlink_to(outside)
    asyncio.run(archive.prove(put(archive, export())))
    assert outside.read_text() == "mine"


def test_an_archive_may_itself_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "archive").symlink_to(tmp_path / "disk")
    copy = put(archive_in(tmp_path / "archive"), export())
    assert (tmp_path / "disk" / copy.path).is_file()


def test_temporaries_of_the_dead_go_at_the_start_and_nothing_else(tmp_path: Path) -> None:
    archive_in(tmp_path)
    (tmp_path / STALE).write_text("half an object")
    (tmp_path / ".incoming" / "notes.txt").touch()
    (tmp_path / "0.part").touch()
    archive_in(tmp_path)
    assert files(tmp_path) == [".incoming/notes.txt", "0.part"]


def test_the_temporary_of_a_living_writer_stays(tmp_path: Path) -> None:
    archive_in(tmp_path)
    with (tmp_path / STALE).open("w") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        archive_in(tmp_path)
        assert files(tmp_path) == [str(STALE)]
    archive_in(tmp_path)
    assert files(tmp_path) == []


def test_what_is_being_written_is_locked_against_another_start(tmp_path: Path) -> None:
    archive_in(tmp_path)
    disk = Disk(tmp_path, writable=True)
    staged = disk.stage()
    archive_in(tmp_path)
    assert files(tmp_path) == [f"{STAGING}/{staged.name}"]
    disk.discard(staged)
    assert files(tmp_path) == []
