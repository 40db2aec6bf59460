"""Whether a proven object has all that is left of a container, unchanged, and more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from archive_exports import archive_in, container, item, put, stream
from hypothesis import given
from hypothesis import strategies as st

from janitor.archive import Archive, ArchiveDamagedError
from janitor.errors import RefusedError
from janitor.model import Copy, Record

ITEMS = [item(f"msg_{n}", f"words {n}") for n in range(6)]
RECORDS = [container(), *ITEMS]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return archive_in(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def copy(archive: Archive) -> Copy:
    return put(archive, RECORDS)


def holds(archive: Archive, copy: Copy, records: Sequence[Record], newest: str | None) -> bool:
    return asyncio.run(archive.holds_all_of(copy, newest, stream(records)))


@given(left=st.sets(st.integers(0, 5)))
def test_any_part_of_it_is_held_and_the_whole_is_not_less(
    archive: Archive, copy: Copy, left: set[int]
) -> None:
    items = [ITEMS[n] for n in sorted(left)]
    newest = items[-1].id if items else None
    assert holds(archive, copy, [container(), *items], newest) is (len(left) < len(ITEMS))


@given(left=st.sets(st.integers(0, 5), min_size=1, max_size=5), which=st.integers(0, 4))
def test_what_is_changed_or_new_is_not_held(
    archive: Archive, copy: Copy, left: set[int], which: int
) -> None:
    items = [ITEMS[n] for n in sorted(left)]
    newest = items[-1].id
    edited = item(items[which % len(items)].id, "other words")
    changed = [edited if one.id == edited.id else one for one in items]
    assert not holds(archive, copy, [container(), *changed], newest)
    assert not holds(archive, copy, [container(), item("msg_new", "new"), *items], newest)
    assert not holds(archive, copy, [container(), *items, item("msg_new", "new")], "msg_new")


def test_an_export_that_ends_elsewhere_is_not_whole(archive: Archive, copy: Copy) -> None:
    assert not holds(archive, copy, [container(), *ITEMS[:3]], ITEMS[5].id)
    assert not holds(archive, copy, [container(), *ITEMS[:3]], None)


def test_an_export_that_is_refused_is_not_held(archive: Archive, copy: Copy) -> None:
    with pytest.raises(RefusedError):
        holds(archive, copy, [*ITEMS[:3]], ITEMS[2].id)


def test_an_object_that_is_not_the_one_that_was_proven_holds_nothing(
    archive: Archive, copy: Copy
) -> None:
    other = replace(copy, sealed="0" * 64)
    with pytest.raises(ArchiveDamagedError):
        holds(archive, other, [container(), *ITEMS[:3]], ITEMS[2].id)


def test_an_object_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, RECORDS)
    (tmp_path / copy.path).unlink()
    with pytest.raises(ArchiveDamagedError):
        holds(archive, copy, [container(), *ITEMS[:3]], ITEMS[2].id)
