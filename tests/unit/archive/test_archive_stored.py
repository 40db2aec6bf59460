"""An object that was found intact is read again: what changed in between is told."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import orjson
import pytest
import zstandard
from archive_exports import CREATED, KEY, archive_in, container, export, item, put, run

from janitor.archive import ArchiveDamagedError
from janitor.archive.stored_object import open_object
from janitor.model import Key, Kind


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    records = [*export(3), run("run_1")]
    copy = put(archive_in(tmp_path), records)
    found = open_object(tmp_path / copy.path)
    assert list(found.records()) == records
    assert (found.header.key, found.header.created_at) == (KEY, CREATED)
    assert (found.trailer.items, found.trailer.digest) == (3, copy.digest)
    first, *lines, last = found.lines()
    assert first.startswith(b'{"janitor_header":{"version":1,')
    assert last.startswith(b'{"janitor_trailer":{')
    assert lines[1:4] == [record.body + b"\n" for record in records[1:4]]


def test_the_copy_of_a_thread_is_the_one_that_was_proven(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export(2))
    found = archive.stored(KEY, copy)
    assert found.path == str(tmp_path / copy.path)
    assert list(found.records()) == export(2)
    for changed in (
        replace(copy, items=3),
        replace(copy, digest="0" * 64),
        replace(copy, sealed="0" * 64),
        replace(copy, newest_item=None),
    ):
        with pytest.raises(ArchiveDamagedError, match="not the object that was proven"):
            archive.stored(KEY, changed)


def test_the_copy_of_another_thread_is_refused(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export(2))
    other = Key("main", Kind.CONVERSATION, "conv_2")
    with pytest.raises(ArchiveDamagedError, match="belongs to another thread"):
        archive.stored(other, copy)
    theirs = put(archive, export(2, id="conv_2"), key=other)
    (tmp_path / copy.path).write_bytes((tmp_path / theirs.path).read_bytes())
    with pytest.raises(ArchiveDamagedError, match="belongs to another thread"):
        archive.stored(KEY, copy)


@pytest.mark.parametrize("reading", ["records", "lines"])
def test_what_changed_after_it_was_found_intact_is_told(tmp_path: Path, reading: str) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, export(2))
    newer = put(archive, [container(), item("msg_9", "other")])
    found = archive.stored(KEY, copy)
    stored = (tmp_path / copy.path).read_bytes()
    for content in ((tmp_path / newer.path).read_bytes(), stored[:-4], b"", stored + b"x"):
        (tmp_path / copy.path).write_bytes(content)
        with pytest.raises(ArchiveDamagedError, match="changed while it was read"):
            list(getattr(found, reading)())


@pytest.mark.parametrize("content", [b"", b"not zstd", b"\x28\xb5\x2f\xfd"])
def test_a_file_that_is_no_object_is_damaged(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "some.file"
    file.write_bytes(content)
    with pytest.raises(ArchiveDamagedError, match=f"{file}: the object is damaged"):
        open_object(file)


ODD: dict[str, tuple[bytes, bytes]] = {
    "a project that is no text": (b'"project":"main"', b'"project":5'),
    "an id that is no text": (b'"id":"conv_1"', b'"id":["conv_1"]'),
    "a copy time without a zone": (b"+00:00", b""),
    "a creation that UTC has no year for": (
        b'"created_at":"2',
        b'"created_at":"0001-01-01T00:00:00+23:59","x":"2',
    ),
    "an item id that is no text": (b'{"id":"msg_1"', b'{"id":5'),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_object_that_agrees_with_itself_but_is_odd_is_damaged(tmp_path: Path, odd: str) -> None:
    archive, (old, new) = archive_in(tmp_path), ODD[odd]
    file = tmp_path / put(archive, export(2)).path
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes())
    assert old in lines
    *others, last = lines.replace(old, new).splitlines(keepends=True)
    trailer = orjson.loads(last)["janitor_trailer"]
    trailer["sha256"] = sha256(b"".join(others)).hexdigest()
    end = orjson.dumps({"janitor_trailer": trailer}) + b"\n"
    file.write_bytes(zstandard.ZstdCompressor().compress(b"".join([*others, end])))
    with pytest.raises(ArchiveDamagedError, match=r"no valid header|a line that is not a record"):
        open_object(file)
