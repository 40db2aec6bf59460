"""`archive verify`: whatever is wrong with a copy is found, with its thread, and nothing else."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from world import World

from janitor.archive import Archive
from janitor.archive.archive import may_contain_objects
from janitor.archive.local import Disk
from janitor.archive.stored_object import StoredObject
from janitor.engine.verification import chosen
from janitor.model import Copy, Key, Kind, Record

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1, minutes=1)
CUT = "the object is damaged: it is truncated, or data follows its end"


def objects(world: World) -> list[Path]:
    return sorted(world.archive.rglob("*.zst"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)


def replace_by_another(path: Path) -> None:
    other = next(one for one in path.parent.glob("*.zst") if one != path)
    shutil.copy(other, path)


def compress_again(path: Path) -> None:
    content = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    path.write_bytes(zstandard.ZstdCompressor(level=19).compress(content))


def replace_by_a_link(path: Path) -> None:
    away = path.with_suffix(".away")
    path.rename(away)
    path.symlink_to(away)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "the object is gone"),
    "truncated": (truncate, CUT),
    "one bit": (flip, "the object is damaged: "),
    "another object": (replace_by_another, "it belongs to another thread, not to conv_"),
    "the same content in other bytes": (compress_again, "it is not the object that was proven"),
    "empty": (lambda path: path.write_bytes(b""), "the object is damaged: "),
    "a link": (replace_by_a_link, "a link is in its place"),
}


@pytest.fixture
def archived(world: World) -> World:
    """Three threads that were archived and deleted."""
    world.fill(3)
    assert world.run("sweep").code == 0
    assert len(objects(world)) == 3
    return world


def test_a_sound_archive_is_said_to_be_sound(archived: World) -> None:
    before = archived.registry.read_bytes()
    done = archived.run("--output", "json", "archive", "verify")
    size = sum(path.stat().st_size for path in objects(archived))
    assert (done.code, done.document) == (
        0,
        {
            "schema": 1,
            "complete": True,
            "left_out": 0,
            "checked": 3,
            "sound_bytes": size,
            "damaged": 0,
            "unnamed": 0,
            "findings": [],
        },
    )
    assert archived.run("archive", "verify").out == (
        f"3 copies read, {size:,} bytes are sound; nothing is wrong.\n"
    )
    assert archived.registry.read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_wrong_is_found_with_its_thread_and_nothing_else(
    archived: World, damage: str
) -> None:
    act, what = DAMAGES[damage]
    victim = objects(archived)[1]
    act(victim)
    done = archived.run("--output", "json", "archive", "verify")
    assert (done.code, done.document["checked"], done.document["damaged"]) == (1, 3, 1)
    [found] = done.document["findings"]
    assert found["path"] == victim.relative_to(archived.archive).as_posix()
    assert (found["id"], found["state"]) == (victim.name.split(".")[0], "deleted")
    assert found["what"].startswith(what)
    [line] = archived.run("--output", "jsonl", "archive", "verify").lines
    assert line == {"schema": 1, **found}
    shown = archived.run("archive", "verify")
    assert shown.code == 1
    assert found["id"] in shown.out
    assert "1 copy is missing or damaged; 0 objects are named by no thread" in shown.out


def put(world: World, id: str, at: datetime) -> Path:
    """An object of a thread that is not registered, written at that time."""

    async def export() -> AsyncIterator[Record]:
        body = {"id": id, "object": "conversation", "created_at": 0, "metadata": {}}
        yield Record(id, orjson.dumps(body), is_item=False)

    archive, key = Archive.open(world.archive.as_uri()), Key("main", Kind.CONVERSATION, id)
    return world.archive / asyncio.run(archive.put(key, None, export(), at)).path


def test_an_object_that_nobody_names_is_found_unless_it_was_just_written(archived: World) -> None:
    (archived.archive / "notes.txt").write_text("no object", encoding="utf-8")
    stray, cut = (put(archived, f"conv_{name}", NOW - HOUR) for name in ("stray", "cut"))
    put(archived, "conv_new", NOW)
    truncate(cut)
    done = archived.run("--output", "json", "archive", "verify")
    numbers = [done.document[name] for name in ("checked", "damaged", "unnamed")]
    assert (done.code, numbers) == (1, [3, 0, 2])
    unnamed = "no thread of this registry names it"
    assert [(one["path"], one["state"], one["what"]) for one in done.document["findings"]] == [
        (cut.relative_to(archived.archive).as_posix(), None, f"{unnamed}; {CUT}"),
        (stray.relative_to(archived.archive).as_posix(), None, unnamed),
    ]


def test_a_sample_reads_so_many_and_looks_for_nothing_else(archived: World) -> None:
    put(archived, "conv_stray", NOW - HOUR)
    done = archived.run("--output", "json", "archive", "verify", "--sample", "2")
    numbers = [done.document[name] for name in ("checked", "damaged", "unnamed")]
    assert (done.code, numbers) == (0, [2, 0, 0])


def test_what_was_stopped_goes_on_behind_the_last_thread(archived: World) -> None:
    ids = sorted(archived.states())
    flip(next(path for path in objects(archived) if path.name.startswith(ids[0])))
    place = f"main/conversation/{ids[0]}"
    done = archived.run("--output", "json", "archive", "verify", "--after", place)
    assert (done.code, done.document["checked"]) == (0, 2)
    wrong = archived.run("archive", "verify", "--after", ids[0])
    assert wrong.code == 2
    assert "write PROJECT/KIND/ID" in wrong.err


def test_an_archive_that_is_gone_is_no_damage_of_each_copy(archived: World) -> None:
    archived.archive.rename(archived.archive.with_name("away"))
    done = archived.run("archive", "verify")
    assert done.code == 3
    assert "what was archived there is gone. Check that its disk is mounted" in done.err


def test_without_an_archive_there_is_nothing_to_verify(world: World) -> None:
    world.fill(1)
    done = world.run("archive", "verify")
    assert (done.code, done.out, done.err) == (0, "There is no archive yet.\n", "")
    document = world.run("--output", "json", "archive", "verify").document
    assert (document["checked"], document["findings"]) == (0, [])
    assert world.run("--output", "jsonl", "archive", "verify").out == ""


@given(st.integers(0, 40), st.integers(1, 50))
def test_a_sample_is_so_many_in_order_each_once(number: int, size: int) -> None:
    entries = list(range(number))
    found = chosen(iter(entries), size)
    assert len(found) == min(number, size)
    assert found == sorted(set(found))


def test_each_is_in_a_sample_sooner_or_later() -> None:
    seen: set[int] = set()
    while len(seen) < 10:
        seen |= {*chosen(iter(range(10)), 3)}


def stop_at_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a command, as Ctrl-C does, when it reads its second copy."""
    stored, reads = Archive.stored, list[Key]()

    def read(archive: Archive, key: Key, copy: Copy) -> StoredObject:
        if reads:
            raise KeyboardInterrupt
        reads.append(key)
        return stored(archive, key, copy)

    monkeypatch.setattr(Archive, "stored", read)


def test_what_was_stopped_tells_what_it_found_and_goes_on_with_what_it_had_not_read(
    archived: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(archived.states())
    for one in ids[:2]:
        flip(next(path for path in objects(archived) if path.name.startswith(one)))
    with monkeypatch.context() as patched:
        stop_at_the_second(patched)
        first = archived.run("--output", "json", "archive", "verify")
    assert first.code == 130
    assert (first.document["complete"], first.document["checked"]) == (False, 1)
    assert [one["id"] for one in first.document["findings"]] == ids[:1]
    command = first.err.partition("to continue: janitor ")[2].split()
    assert command == ["archive", "verify", "--after", f"main/conversation/{ids[0]}"]
    rest = archived.run("--output", "json", *command)
    assert (rest.code, rest.document["checked"]) == (1, 2)
    assert [one["id"] for one in rest.document["findings"]] == ids[1:2]
    end = archived.run("archive", "verify", "--after", f"main/conversation/{ids[-1]}")
    assert (end.code, end.out) == (0, "No copies after that thread; nothing is wrong.\n")


def test_one_file_that_cannot_be_read_is_a_finding_and_the_others_are_read(
    archived: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, read = objects(archived)[1], os.read

    def read_or_fail(descriptor: int, size: int) -> bytes:
        if os.path.samestat(os.fstat(descriptor), victim.stat()):
            raise OSError(errno.EIO, "a bad sector")
        return read(descriptor, size)

    monkeypatch.setattr("janitor.archive.local.os.read", read_or_fail)
    done = archived.run("--output", "json", "archive", "verify")
    assert (done.code, done.document["checked"], done.document["complete"]) == (1, 3, True)
    [found] = done.document["findings"]
    assert found["path"] == victim.relative_to(archived.archive).as_posix()
    assert found["what"] == "it cannot be read: Input/output error"


def test_a_copy_that_is_being_pruned_is_no_damage(archived: World) -> None:
    with closing(sqlite3.connect(archived.registry)) as database, database:
        database.execute("UPDATE thread SET prune_run = 'r1'")
    for path in objects(archived):
        path.unlink()
    done = archived.run("--output", "json", "archive", "verify")
    assert (done.code, done.document["checked"], done.document["findings"]) == (0, 3, [])


def test_nothing_is_walked_but_the_directories_of_objects(archived: World) -> None:
    for name in ("lost+found", "main/notes/2026", "main/conversation/2026/01/deep", "srv/a/b"):
        (archived.archive / name).mkdir(parents=True, exist_ok=True)
    (archived.archive / "link").symlink_to("/")
    disk, entered = Disk(archived.archive, writable=False), list[str]()

    def enters(path: str) -> bool:
        entered.extend([path] if (is_above := may_contain_objects(path)) else [])
        return is_above

    found = [f"{directory}/{name}" for directory, names in disk.walk(enters) for name in names]
    assert sorted(found) == [
        path.relative_to(archived.archive).as_posix() for path in objects(archived)
    ]
    assert not {"lost+found", "main/notes", "srv/a", "link"}.intersection(entered)
    assert archived.run("archive", "verify").code == 0


def test_an_archive_that_has_moved_is_told(archived: World) -> None:
    archived.archive.rename(archived.archive.with_name("moved"))
    archived.configure(archive="moved")
    done = archived.run("archive", "verify")
    assert done.code == 0
    assert "copies were last written to " in done.err
    assert "; the latter is read" in done.err
