"""Any damage to a stored object is found."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import zstandard
from archive_exports import KEY, archive_in, container, export, item, put
from hypothesis import given, settings
from hypothesis import strategies as st

import janitor.archive.archive
from janitor.archive import Archive, ArchiveDamagedError
from janitor.errors import StoreError
from janitor.model import Copy, Record

RECORDS = [container(), *(item(f"msg_{n}", f"words {n * 7919}") for n in range(20))]


@contextmanager
def archived() -> Iterator[tuple[Archive, Copy, Path]]:
    """An object in a directory of its own, since Hypothesis runs a test many times."""
    with tempfile.TemporaryDirectory() as directory:
        archive = archive_in(Path(directory))
        copy = put(archive, RECORDS)
        yield archive, copy, Path(directory) / copy.path


def prove(archive: Archive, copy: Copy) -> None:
    asyncio.run(archive.prove(copy))


@pytest.fixture(params=["who put it", "another"])
def prover(request: pytest.FixtureRequest, sample: Sample) -> Archive:
    """Who put an object knows its bytes already; another finds the same damage."""
    return sample.archive if request.param == "who put it" else archive_in(sample.root)


@dataclass(frozen=True)
class Sample:
    """An object that many examples damage, each its own way."""

    root: Path
    archive: Archive
    copy: Copy
    path: Path
    words: bytes


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    root = tmp_path_factory.mktemp("archive")
    archive = archive_in(root)
    copy = put(archive, RECORDS)
    return Sample(root, archive, copy, root / copy.path, (root / copy.path).read_bytes())


@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
def test_a_flipped_byte_is_found(sample: Sample, place: int, flip: int) -> None:
    damaged = bytearray(sample.words)
    damaged[place % len(damaged)] ^= flip
    sample.path.write_bytes(damaged)
    with pytest.raises(ArchiveDamagedError, match=sample.copy.path):
        prove(sample.archive, sample.copy)


def test_any_one_byte_flipped_or_cut_off_is_found(sample: Sample, prover: Archive) -> None:
    async def proven() -> list[int]:
        found = []
        for place in range(len(sample.words)):
            flipped = bytearray(sample.words)
            flipped[place] ^= 0xFF
            for damaged in (flipped, sample.words[:place]):
                sample.path.write_bytes(damaged)
                with suppress(ArchiveDamagedError):
                    await prover.prove(sample.copy)
                    found.append(place)
        return found

    assert asyncio.run(proven()) == []
    sample.path.write_bytes(sample.words)
    prove(prover, sample.copy)


@settings(max_examples=30)
@given(st.data())
def test_a_flipped_byte_is_healed_by_the_next_put(data: st.DataObject) -> None:
    with archived() as (archive, copy, path):
        stored = bytearray(path.read_bytes())
        stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(stored)
        again = put(archive, RECORDS)
        prove(archive, again)
        assert again.digest == copy.digest


@settings(max_examples=30)
@given(st.data())
def test_a_cut_is_found_and_healed(data: st.DataObject) -> None:
    with archived() as (archive, copy, path):
        os.truncate(path, data.draw(st.integers(0, copy.size - 1)))
        with pytest.raises(ArchiveDamagedError):
            prove(archive, copy)
        again = put(archive, RECORDS)
        assert path.stat().st_size == again.size == copy.size


@pytest.mark.parametrize("tail", [b"\0", b"\n", b"x" * 5000])
def test_a_tail_is_found_and_healed(tail: bytes) -> None:
    with archived() as (archive, copy, path):
        path.write_bytes(path.read_bytes() + tail)
        with pytest.raises(ArchiveDamagedError):
            prove(archive, copy)
        assert put(archive, RECORDS).size == path.stat().st_size == copy.size


def test_another_frame_behind_is_found() -> None:
    with archived() as (archive, copy, path):
        path.write_bytes(path.read_bytes() * 2)
        with pytest.raises(ArchiveDamagedError, match="follows its end"):
            prove(archive, copy)


def test_the_content_of_another_object_is_found(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    one, other = put(archive, export(1)), put(archive, export(2))
    (tmp_path / one.path).write_bytes((tmp_path / other.path).read_bytes())
    with pytest.raises(ArchiveDamagedError, match="not the object that was proven"):
        prove(archive, one)


@pytest.mark.parametrize(
    "changed",
    [
        {"digest": "0" * 64},
        {"sealed": "0" * 64},
        {"items": 19},
        {"newest_item": "msg_18"},
        {"newest_item": None},
        {"size": 1},
    ],
)
def test_a_row_that_says_something_else_is_found(changed: dict[str, object]) -> None:
    with archived() as (archive, copy, path):
        root = path.parents[len(Path(copy.path).parts) - 1]
        for prover in (archive, archive_in(root)):
            with pytest.raises(ArchiveDamagedError, match="not the object that was proven"):
                prove(prover, replace(copy, **changed))  # type: ignore[arg-type]


def test_what_is_forgotten_is_proven_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor.archive.archive, "REMEMBERED", 2)
    archive = archive_in(tmp_path)
    copies = [put(archive, export(number)) for number in range(5)]
    for copy in copies:
        prove(archive, copy)
    for copy in copies:
        os.truncate(tmp_path / copy.path, copy.size - 1)
        with pytest.raises(ArchiveDamagedError, match="truncated"):
            prove(archive, copy)


def test_an_object_that_is_gone_concerns_its_thread_alone() -> None:
    with archived() as (archive, copy, path):
        path.unlink()
        with pytest.raises(ArchiveDamagedError, match="is gone"):
            prove(archive, copy)
        path.parent.rmdir()
        with pytest.raises(ArchiveDamagedError, match="is gone"):
            prove(archive, copy)


def planted_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def planted_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def planted_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("plant", [planted_link, planted_pipe, planted_directory])
def test_what_is_no_regular_file_is_found(plant: Callable[[Path], None]) -> None:
    with archived() as (archive, copy, path):
        plant(path)
        with pytest.raises(ArchiveDamagedError):
            prove(archive, copy)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "main/conversation/x", "", "a\0"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export())
    with pytest.raises(ArchiveDamagedError, match="not the path of an object"):
        prove(archive, replace(copy, path=path))
    with pytest.raises(ArchiveDamagedError, match="not the path of an object"):
        list(archive.read(path))
    with pytest.raises(ArchiveDamagedError, match="not the path of an object"):
        asyncio.run(archive.remove(path))


def forged(path: Path, old: bytes, new: bytes) -> None:
    """Change a line and make the trailer's sha256 fit."""
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    *lines, trailer = plain.splitlines(keepends=True)
    before, after = b"".join(lines), b"".join(lines).replace(old, new)
    was, now = (hashlib.sha256(each).hexdigest().encode() for each in (before, after))
    assert before != after
    path.write_bytes(zstandard.compress(after + trailer.replace(was, now)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"kind":"conversation","id":"conv_1"', b'"kind":"thread","id":"x"', "another container"),
        (b'"version":1', b'"version":2', "version"),
        (b'"created_at":"2', b'"created_at":"x', "header"),
        (b'"kind":"conversation"', b'"kind":"letter"', "header"),
        (b'{"janitor_header":', b'{"janitor_heading":', "header"),
        (b"words 0", b"words 1", "does not match its trailer"),
        (b'{"id":"msg_0"', b'{"no":"msg_0"', "not a record"),
        (b'{"janitor_record":"other"', b'{"janitor_record":"item"', "not a record"),
    ],
)
def test_a_forged_object_is_found(old: bytes, new: bytes, message: str) -> None:
    with archived() as (archive, copy, path):
        forged(path, old, new)
        with pytest.raises(ArchiveDamagedError, match=message):
            list(archive.read(copy.path))
        with pytest.raises(ArchiveDamagedError, match=message):
            prove(archive, copy)


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=30), max_size=5))
def test_whatever_people_wrote_comes_back_verbatim(texts: list[str]) -> None:
    bodies = [json.dumps({"id": f"m{n}", "text": text}) for n, text in enumerate(texts)]
    items = [Record(f"m{n}", body.encode(), is_item=True) for n, body in enumerate(bodies)]
    with tempfile.TemporaryDirectory() as directory:
        archive = archive_in(Path(directory))
        copy = put(archive, [container(), *items])
        prove(archive, copy)
        assert list(archive.read(copy.path))[1:-1] == [container(), *items]


def test_reading_a_damaged_object_ends_in_an_error(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, RECORDS)
    os.truncate(tmp_path / copy.path, copy.size - 1)
    with pytest.raises(ArchiveDamagedError, match="truncated"):
        list(archive.read(copy.path))


def test_damage_does_not_look_like_a_store_that_is_away() -> None:
    assert not issubclass(ArchiveDamagedError, StoreError)
    assert KEY.id in str(ArchiveDamagedError(f"main/conversation/unknown/{KEY.id}", "gone"))
