"""What was put survives a power cut: the file and every directory on its way are fsynced."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from archive_exports import KEY, archive_in, export, put

from janitor.errors import ArchiveError


class Journal:
    """Which paths were fsynced, in order, and which names were given meanwhile."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.lines: list[tuple[str, str]] = []
        self._fsync, self._link = os.fsync, os.link
        patch.setattr(os, "fsync", self.fsync)
        patch.setattr(os, "link", self.link)

    def fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self.lines.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))

    def link(self, source: str, target: str, **options: int) -> None:
        self._link(source, target, **options)  # type: ignore[arg-type]
        self.lines.append(("link", target))

    def synced(self) -> set[str]:
        return {path for what, path in self.lines if what == "fsync"}


def test_the_file_is_durable_before_it_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_in(tmp_path)
    journal = Journal(monkeypatch)
    copy = put(archive, export())
    link = journal.lines.index(("link", Path(copy.path).name))
    assert any(path.endswith(".part") for _, path in journal.lines[:link])
    assert journal.lines[link + 1 :] == [("fsync", str((tmp_path / copy.path).parent))]


def test_every_directory_up_to_the_root_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(monkeypatch)
    root = tmp_path / "deep" / "archive"
    copy = put(archive_in(root), export())
    path = (root / copy.path).relative_to(tmp_path)
    assert {str(tmp_path / parent) for parent in path.parents} <= journal.synced()


def test_directories_that_a_crashed_writer_made_are_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = put(archive_in(tmp_path), export())
    archive = archive_in(tmp_path)
    journal = Journal(monkeypatch)
    assert put(archive, export()) == copy
    path = Path(copy.path)
    assert {str(tmp_path / each) for each in (path, *path.parents)} <= journal.synced()


def test_directories_that_this_process_made_durable_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export())
    journal = Journal(monkeypatch)
    monkeypatch.delattr(os, "mkdir")
    other = put(archive, export(7))
    assert Path(other.path).parent == Path(copy.path).parent
    synced = [path for what, path in journal.lines if what == "fsync"]
    assert synced[1:] == [str((tmp_path / copy.path).parent)]
    assert synced[0].endswith(".part")


def test_a_removal_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export())
    journal = Journal(monkeypatch)
    asyncio.run(archive.remove(copy.path))
    assert journal.lines == [("fsync", str((tmp_path / copy.path).parent))]


def test_a_removal_is_durable_and_looked_at_and_so_is_that_of_one_who_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export())
    directory = str((tmp_path / copy.path).parent)
    journal, unlink = Journal(monkeypatch), os.unlink

    def told(name: str, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        journal.lines.append(("unlink", name))

    monkeypatch.setattr(os, "unlink", told)
    asyncio.run(archive.prune(KEY, (copy.path,)))
    assert journal.lines == [("unlink", Path(copy.path).name), ("fsync", directory)]
    asyncio.run(archive.prune(KEY, (copy.path,)))
    assert journal.lines[2:] == [("fsync", directory)]
    assert not archive.stands(KEY, (copy.path,))


def test_what_is_still_there_after_its_removal_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export())
    monkeypatch.setattr(os, "unlink", lambda *_, **__: None)
    with pytest.raises(ArchiveError, match="still exists after its removal"):
        asyncio.run(archive.prune(KEY, (copy.path,)))
