"""What is put is there, durable and provable; what fails leaves nothing."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import zstandard
from archive_exports import (
    CREATED,
    DIRECTORY,
    KEY,
    NOW,
    archive_in,
    container,
    export,
    files,
    item,
    put,
    run,
    stream,
)

from janitor.archive import Archive, ArchiveDamagedError, Header, Trailer, fingerprint
from janitor.archive.archive import parse_path
from janitor.errors import ConfigError, RefusedError, StoreError
from janitor.model import Key, Kind, Record


def test_a_copy_says_what_was_stored(tmp_path: Path) -> None:
    copy = put(archive_in(tmp_path), export(3))
    assert copy.path == f"{DIRECTORY}/conv_1.{copy.digest[:12]}.jsonl.zst"
    assert (copy.items, copy.newest_item, copy.archived_at) == (3, "msg_2", NOW)
    assert copy.size == (tmp_path / copy.path).stat().st_size
    assert files(tmp_path) == [copy.path]


def test_a_copy_equals_the_export_that_is_compared_with_it(tmp_path: Path) -> None:
    copy = put(archive_in(tmp_path), export(3))
    seen = asyncio.run(fingerprint(Kind.CONVERSATION, stream(export(3))))
    assert (seen.digest, seen.count, seen.newest_item) == (copy.digest, 3, "msg_2")


def test_an_object_is_lines_that_other_tools_read(tmp_path: Path) -> None:
    copy = put(archive_in(tmp_path), [container(), item("msg_1"), run("run_1")])
    plain = (
        zstandard.ZstdDecompressor().decompressobj().decompress((tmp_path / copy.path).read_bytes())
    )
    header, first, second, third, trailer = plain.splitlines()
    assert header.startswith(b'{"janitor_header":{"version":1,')
    assert first == b'{"janitor_record":"other","id":"conv_1","body":%b}' % container().body
    assert second == item("msg_1").body
    assert third == b'{"janitor_record":"other","id":"run_1","body":%b}' % run("run_1").body
    assert trailer.startswith(b'{"janitor_trailer":{"digest":"')


def test_what_was_put_is_read_again_verbatim(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    records = [
        container(metadata={"a": "b"}),
        item("msg_1", "zero \u2028 and \x00"),
        Record("msg_2", b'{"id":"msg_2","text":"\\ud83d","number":18446744073709551617}', True),
        Record("msg_3", b'{"janitor_header":1,"id":"msg_3"}', True),
        Record("msg_4", b'{"text":"its id stands elsewhere"}', True),
        Record("\ud800", b'{"id":"\\ud800"}', True),
        run('r"un\\'),
    ]
    header, *middle, trailer = archive.read(put(archive, records).path)
    assert middle == records
    assert isinstance(header, Header)
    assert (header.key, header.created_at, header.archived_at) == (KEY, CREATED, NOW)
    assert isinstance(trailer, Trailer)
    assert (trailer.items, trailer.newest_item) == (5, "\ud800")


def test_an_empty_container_is_archived_too(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    copy = put(archive, [container()])
    assert (copy.items, copy.newest_item) == (0, None)
    asyncio.run(archive.prove(copy))


@pytest.mark.parametrize(
    ("created_at", "month"),
    [
        (None, "unknown"),
        (datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=3))), "2026/01"),
        (datetime(999, 12, 31, tzinfo=UTC), "0999/12"),
    ],
)
def test_the_month_is_that_of_creation_in_utc(
    tmp_path: Path, created_at: datetime | None, month: str
) -> None:
    copy = put(archive_in(tmp_path), export(), created_at=created_at)
    assert copy.path.startswith(f"main/conversation/{month}/conv_1.")


def test_people_words_are_for_the_owner_alone(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "archive"
    copy = put(archive_in(root), export())
    modes = {
        path.relative_to(tmp_path): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
    }
    assert modes.pop((root / copy.path).relative_to(tmp_path)) == 0o600
    assert set(modes.values()) == {0o700}


def test_an_equal_object_is_success_and_not_written_again(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    first = put(archive, export())
    before = (tmp_path / first.path).stat()
    again = put(archive, export(), now=NOW + timedelta(days=1))
    after = (tmp_path / first.path).stat()
    assert again == first
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert files(tmp_path) == [first.path]


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\x28\xb5\x2f\xfd"])
def test_a_damaged_object_is_replaced(tmp_path: Path, damage: bytes) -> None:
    archive = archive_in(tmp_path)
    first = put(archive, export())
    (tmp_path / first.path).write_bytes(damage)
    again = put(archive, export())
    assert again.digest == first.digest
    asyncio.run(archive.prove(again))
    assert files(tmp_path) == [first.path]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda stored, _: stored[:-1], "truncated"),
        (lambda stored, _: stored[:-9] + bytes([stored[-9] ^ 1]) + stored[-8:], "decompressed"),
        (lambda _, other: other, "the data read back is not what was written"),
    ],
)
def test_what_the_disk_gives_back_otherwise_is_no_copy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[bytes, bytes], bytes],
    message: str,
) -> None:
    archive, link = archive_in(tmp_path), os.link
    other = (tmp_path / put(archive, export(7)).path).read_bytes()

    def spoilt(source: str, target: str, **directories: int) -> None:
        link(source, target, **directories)  # type: ignore[arg-type]
        (stored,) = tmp_path.rglob(target)
        stored.write_bytes(damage(stored.read_bytes(), other))

    monkeypatch.setattr(os, "link", spoilt)
    with pytest.raises(ArchiveDamagedError, match=message):
        put(archive, export())


def test_an_intact_object_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    first, second = put(archive, export(1)), put(archive, export(2))
    words = (tmp_path / second.path).read_bytes()
    (tmp_path / first.path).write_bytes(words)
    with pytest.raises(ArchiveDamagedError, match="something else is in its place"):
        put(archive, export(1))
    assert (tmp_path / first.path).read_bytes() == words


def test_many_puts_of_one_thread_at_once_make_one_object(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)

    async def storm() -> set[str]:
        puts = (archive.put(KEY, CREATED, stream(export()), NOW) for _ in range(20))
        return {copy.sealed for copy in await asyncio.gather(*puts)}

    assert len(asyncio.run(storm())) == 1
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    "records",
    [
        [],
        [item("msg_1")],
        [container("conv_2")],
        [container(), run("run_1"), item("msg_1")],
        [container(), Record("msg_1", b"[]", is_item=True)],
        [container(), Record("msg_1", b"{", is_item=True)],
        [container(), Record("msg_1", b'{"id":"msg_1","n":NaN}', is_item=True)],
        [container(), Record("msg_1", b'{"id":"msg_1","n":1e999}', is_item=True)],
        [container(), Record("msg_1", b'{"id":\n"msg_1"}', is_item=True)],
        [container(), Record("msg_1", b'{"id":' + b"[" * 5000 + b"]" * 5000 + b"}", is_item=True)],
    ],
)
def test_an_export_that_cannot_be_believed_is_refused(
    tmp_path: Path, records: list[Record]
) -> None:
    with pytest.raises(RefusedError):
        put(archive_in(tmp_path), records)
    assert files(tmp_path) == []


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_an_export_that_fails_midway_leaves_nothing(tmp_path: Path, size: int) -> None:
    async def failing() -> AsyncIterator[Record]:
        yield container()
        yield item("msg_1", "x" * size)
        raise RefusedError("has_more without an end")

    with pytest.raises(RefusedError, match="has_more"):
        asyncio.run(archive_in(tmp_path).put(KEY, CREATED, failing(), NOW))
    assert files(tmp_path) == []


def test_a_cancelled_put_leaves_nothing(tmp_path: Path) -> None:
    async def cancelled() -> None:
        halfway = asyncio.Event()

        async def stuck() -> AsyncIterator[Record]:
            yield container()
            yield item("msg_1", "x" * (3 << 20))
            halfway.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(archive_in(tmp_path).put(KEY, CREATED, stuck(), NOW))
        await halfway.wait()
        archive_in(tmp_path)  # another janitor starts, and leaves a living writer's file alone
        assert len(files(tmp_path)) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert files(tmp_path) == []


def test_a_put_cancelled_while_it_writes_leaves_all_or_nothing(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)

    async def cancelled(turns: int) -> bool:
        task = asyncio.create_task(archive.put(KEY, CREATED, stream(export()), NOW))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):  # a fast disk may be done by then
            await task
        return task.cancelled()

    for turns in range(5):
        assert asyncio.run(cancelled(turns)) or turns > 1
        assert all(path.startswith(DIRECTORY) for path in files(tmp_path))
    asyncio.run(archive.prove(put(archive, export())))


@pytest.mark.parametrize("project", ["..", ".incoming", "a/b", "", "a" * 101, "a\n", "ä"])
def test_a_project_that_would_lead_elsewhere_is_refused(tmp_path: Path, project: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of an archive directory"):
        put(archive_in(tmp_path), export(), key=Key(project, Kind.CONVERSATION, "conv_1"))
    assert files(tmp_path) == []


@pytest.mark.parametrize("id", ["..", ".", "../x", "a/b", "a" * 201, "", "a\0", "a\n"])
def test_an_id_that_would_lead_elsewhere_is_refused(tmp_path: Path, id: str) -> None:
    with pytest.raises(RefusedError, match="cannot be the name of an object"):
        put(archive_in(tmp_path), export(id=id), key=Key("main", Kind.CONVERSATION, id))
    assert files(tmp_path) == []


@pytest.mark.parametrize("id", ["a" * 200, "...a", "a:b", "x.0123456789ab.jsonl.zst"])
def test_every_id_that_an_api_hands_out_has_a_place(tmp_path: Path, id: str) -> None:
    archive = archive_in(tmp_path)
    key = Key("main", Kind.CONVERSATION, id)
    copy = put(archive, export(id=id), key=key)
    asyncio.run(archive.prove(copy))
    assert [parse_path(path) for path in files(tmp_path)] == [(key, copy.digest[:12])]


def test_ids_that_differ_by_case_alone_do_not_meet(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    paths = [
        put(archive, export(id=name), key=Key("main", Kind.CONVERSATION, name)).path
        for name in ("conv_a", "conv_A")
    ]
    assert len({path.lower() for path in paths}) == 2


def test_an_archive_opened_to_be_read_changes_nothing(tmp_path: Path) -> None:
    copy = put(archive_in(tmp_path), export())
    stale = tmp_path / ".incoming" / ("0" * 32 + ".part")
    stale.touch()
    archive = Archive.open(tmp_path.as_uri(), create=False)
    asyncio.run(archive.prove(copy))
    with pytest.raises(StoreError, match="read-only"):
        put(archive, export(7))
    with pytest.raises(StoreError, match="read-only"):
        asyncio.run(archive.remove(copy.path))
    assert files(tmp_path) == sorted([copy.path, str(stale.relative_to(tmp_path))])


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    archive = archive_in(tmp_path)
    put(archive, export())
    before = open_descriptors()
    for _ in range(5):
        put(archive, export())
        with pytest.raises(RefusedError):
            put(archive, [item("msg_1")])
    assert open_descriptors() == before
