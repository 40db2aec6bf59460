"""A thread's series: the newest proven object stays, older ones go after it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from archive_exports import DIRECTORY, KEY, archive_in, export, files, put

from janitor.archive import ArchiveDamagedError
from janitor.errors import RefusedError
from janitor.model import Key, Kind


def test_archive_a_new_item_archive_again_and_delete(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    first, second = put(archive, export(3)), put(archive, export(4))
    assert files(tmp_path) == sorted([first.path, second.path])
    assert asyncio.run(archive.remove_older(KEY, second)).removed == 1
    assert files(tmp_path) == [second.path]
    asyncio.run(archive.prove(second))
    assert asyncio.run(archive.remove(second.path)) is True
    assert asyncio.run(archive.remove(second.path)) is False
    assert files(tmp_path) == []


def test_nothing_older_goes_before_the_newest_is_proven(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    first, second = put(archive, export(3)), put(archive, export(4))
    (tmp_path / second.path).write_bytes(b"damaged")
    with pytest.raises(ArchiveDamagedError, match=second.path):
        asyncio.run(archive.remove_older(KEY, second))
    assert files(tmp_path) == sorted([first.path, second.path])


def test_a_copy_of_another_thread_is_no_reason_to_remove(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    put(archive, export(3))
    other = put(archive, export(id="b"), key=Key("main", Kind.CONVERSATION, "b"))
    with pytest.raises(ArchiveDamagedError, match="another thread"):
        asyncio.run(archive.remove_older(KEY, other))
    assert len(files(tmp_path)) == 2


def test_objects_of_an_unknown_creation_belong_to_the_series(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    put(archive, export(3), created_at=None)
    newest = put(archive, export(4))
    assert asyncio.run(archive.remove_older(KEY, newest)).removed == 1
    assert files(tmp_path) == [newest.path]


def test_a_damaged_older_object_stays_since_nobody_knows_what_it_holds(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    first, second = put(archive, export(3)), put(archive, export(4))
    (tmp_path / first.path).write_bytes(b"damaged")
    assert asyncio.run(archive.remove_older(KEY, second)).removed == 0
    assert files(tmp_path) == sorted([first.path, second.path])


def test_each_older_object_stays_while_it_alone_holds_an_item(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    container, *items = export(5)
    first = put(archive, [container, *items[:3]])
    second, newest = (put(archive, [container, *items[1:n]]) for n in (4, 5))
    assert asyncio.run(archive.remove_older(KEY, newest)).removed == 1
    assert files(tmp_path) == sorted([first.path, newest.path])
    assert second.path not in files(tmp_path)


def test_what_is_not_of_the_series_stays(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    neighbours = ["conv_10", "conv_1.0123456789ab", "CONV_1", "1"]
    others = [
        put(archive, export(id=name), key=Key("main", Kind.CONVERSATION, name)).path
        for name in neighbours
    ]
    stranger = f"{DIRECTORY}/conv_1.notes.txt"
    (tmp_path / stranger).touch()
    newest = put(archive, export(4))
    assert asyncio.run(archive.remove_older(KEY, newest)).removed == 0
    assert files(tmp_path) == sorted([*others, stranger, newest.path])


def test_an_intact_copy_of_another_thread_under_our_name_stays(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    newest = put(archive, export(4))
    other = put(archive, export(id="b"), key=Key("main", Kind.CONVERSATION, "b"))
    moved = f"{DIRECTORY}/conv_1.000000000000.jsonl.zst"
    (tmp_path / other.path).rename(tmp_path / moved)
    assert asyncio.run(archive.remove_older(KEY, newest)).removed == 0
    assert files(tmp_path) == sorted([moved, newest.path])


def test_the_archive_moves_with_its_directory(tmp_path: Path) -> None:
    copy = put(archive_in(tmp_path / "a"), export())
    (tmp_path / "a").rename(tmp_path / "b")
    asyncio.run(archive_in(tmp_path / "b").prove(copy))


def test_a_failed_export_keeps_what_was_there(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export())
    with pytest.raises(RefusedError):
        put(archive, [*export(), *export()])
    asyncio.run(archive.prove(replace(copy)))
    assert files(tmp_path) == [copy.path]
