"""The archive: a durable, proven copy of a thread before anything of it is removed.

Each thread has a series of objects, named by id and content. An object is created once, never
changed, and removed only when a newer one of its series has been proven. Its path is
`project/kind/yyyy/mm/<id>.<first 12 of the digest>.jsonl.zst`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from janitor.archive.fingerprint import Fingerprint
from janitor.archive.local import (
    ArchiveDamagedError,
    Content,
    Disk,
    Measured,
    Staged,
    closed_at_end,
    content,
    run_in_thread,
)
from janitor.archive.object_format import (
    Header,
    MalformedError,
    ObjectWriter,
    Trailer,
    read,
    verify,
)
from janitor.archive.stored_object import StoredObject
from janitor.errors import ArchiveError, ConfigError, RefusedError
from janitor.kinds import CATALOGUE, is_id
from janitor.model import Copy, Key, Kind, Record

SUFFIX = ".jsonl.zst"
SHORT = 12
UNKNOWN = "unknown"

# No leading dot: dotted names at the top are the archive's own.
_PROJECT = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
_NAME = rf"(?P<id>[A-Za-z0-9._:-]{{1,200}})\.(?P<short>[0-9a-f]{{{SHORT}}}){re.escape(SUFFIX)}"
_PATH = re.compile(
    rf"(?P<project>{_PROJECT})/(?P<kind>{'|'.join(Kind)})/(?:[0-9]{{4}}/[0-9]{{2}}|{UNKNOWN})/{_NAME}"
)

_ABOVE = re.compile(
    rf"{_PROJECT}(?:/(?:{'|'.join(Kind)})(?:/(?:[0-9]{{4}}(?:/[0-9]{{2}})?|{UNKNOWN}))?)?"
)


def may_contain_objects(directory: str) -> bool:
    """Whether a directory below the root may contain objects; a disk's lost+found does not."""
    return _ABOVE.fullmatch(directory) is not None


def series_directory(key: Key, created_at: datetime | None) -> str:
    """The directory of a thread's objects; the month of creation is UTC.

    Raises `ConfigError` for a project whose name cannot be a directory, `RefusedError` for an id
    that no API hands out.
    """
    if re.fullmatch(_PROJECT, key.project) is None:
        raise ConfigError(
            f"project {key.project!r} cannot be the name of an archive directory; use letters, "
            "digits, '.', '_' and '-' (100 at most, not starting with '.')"
        )
    if not is_id(key.id):
        raise RefusedError(
            f"id {key.id!r} in project {key.project} cannot be the name of an object"
        )
    month = UNKNOWN
    if created_at is not None:
        created_at = created_at.astimezone(UTC)
        month = f"{created_at.year:04d}/{created_at.month:02d}"
    return f"{key.project}/{key.kind.value}/{month}"


def object_path(directory: str, key: Key, digest: str) -> str:
    """The path of the object of a thread with this content digest."""
    return f"{directory}/{key.id}.{digest[:SHORT]}{SUFFIX}"


def parse_path(path: str) -> tuple[Key, str] | None:
    """The thread whose object a path names, and the first 12 of its digest, or `None`."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    return Key(match["project"], Kind(match["kind"]), match["id"]), match["short"]


def inspect(disk: Disk, path: str) -> tuple[Header, Copy]:
    """An object's header and what it holds, read in full and checked against its own trailer.

    Raises `ArchiveDamagedError` or `ArchiveError`.
    """
    header, _, copy = _inspected(disk, path)
    return header, copy


def named_id(name: str) -> str | None:
    """The id in the name of an object's file, or `None` if it is no such name."""
    match = re.fullmatch(_NAME, name)
    return None if match is None else match["id"]


def _inspected(disk: Disk, path: str) -> tuple[Header, Trailer, Copy]:
    stored = Measured()
    try:
        header, trailer = verify(stored.passed(disk.read(path)))
    except MalformedError as error:
        raise disk.damaged(path, f"the object is damaged: {error}") from error
    copy = Copy(
        path=path,
        digest=trailer.digest,
        sealed=stored.content.sha256,
        items=trailer.items,
        newest_item=trailer.newest_item,
        size=stored.size,
        archived_at=header.archived_at,
    )
    return header, trailer, copy


class ObjectDraft:
    """An object being written; after `discard` only what was published remains.

    Nothing is written to disk before there is a piece to write, so an export that fails at once
    costs nothing.
    """

    def __init__(self, disk: Disk, key: Key, created_at: datetime | None, now: datetime) -> None:
        self._disk = disk
        self._directory = series_directory(key, created_at)
        self._header = Header(key, created_at, now, CATALOGUE[key.kind].volatile)
        self._writer = ObjectWriter(self._write, self._header)
        self._staged: Staged | None = None
        self.rest: list[Record] = []
        """Records that are not written yet."""

    @property
    def is_small(self) -> bool:
        """Whether all records are in the rest, and short."""
        is_whole = self._writer.seen.container is None
        return is_whole and sum(len(record.body) for record in self.rest) <= SMALL

    def add_rest(self) -> None:
        """Write the rest so far. Raises `RefusedError` or `ArchiveError`."""
        self._writer.add(self.rest)
        self.rest = []

    def close(self) -> bytes:
        """Add the rest and return the last piece, which `finish` writes.

        Raises `RefusedError` or `ArchiveError`.
        """
        self.add_rest()
        return self._writer.close()

    def finish(self, last: bytes) -> Copy:
        """Write the writer's last piece, publish, read back and prove.

        Raises `ArchiveError` or, if the data read back is not what was written,
        `ArchiveDamagedError`.
        """
        staged = self._write(last)
        seen, written = self._writer.seen, staged.written.content
        copy = Copy(
            path=object_path(self._directory, self._header.key, seen.digest),
            digest=seen.digest,
            sealed=written.sha256,
            items=seen.count,
            newest_item=seen.newest_item,
            size=written.size,
            archived_at=self._header.archived_at,
        )
        copy, stored = self._published(staged, copy)
        self.discard()
        if stored != (copy.sealed, copy.size):
            inspect(self._disk, copy.path)  # says what is wrong with it, if it is damaged
            raise self._disk.damaged(copy.path, "the data read back is not what was written")
        return copy

    def discard(self) -> None:
        """Drop the temporary file; never raises."""
        if self._staged is not None:
            self._disk.discard(self._staged)
            self._staged = None

    def _write(self, piece: bytes) -> Staged:
        if self._staged is None:
            self._staged = self._disk.stage()
        self._staged.write(piece)
        return self._staged

    def _published(self, staged: Staged, copy: Copy) -> tuple[Copy, Content | None]:
        """Move the object to its place; returns the copy that is there then, read back.

        If an equal one is there already, it stays.
        """
        stored = self._disk.publish(staged, copy.path)
        if stored is not None:
            return copy, stored
        try:
            _, earlier = inspect(self._disk, copy.path)
        except ArchiveDamagedError:
            return copy, self._disk.publish(staged, copy.path, replace=True)
        if earlier.digest != copy.digest:
            raise self._disk.damaged(copy.path, "an intact copy of something else is in its place")
        return earlier, self._disk.settle(copy.path)


# Records are collected until so many bytes justify a worker thread. A small export is compressed
# sooner than a thread takes over.
BATCH = 1 << 20
SMALL = 1 << 16
# Threads that mostly wait for the disk, which syncs many objects in the time of one.
DISK_THREADS = 16
REMEMBERED = 4096


class Older(NamedTuple):
    """How many older objects of a thread were removed, and the paths of those that are left."""

    removed: int
    left: tuple[str, ...]


class Archive:
    """Objects on the local file system; other stores would be added here.

    An `ArchiveError` affects all threads, an `ArchiveDamagedError` only the thread of its object.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._disk_threads = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="archive")
        self._written: dict[str, Copy] = {}  # what was put and read back here, the latest of it

    @classmethod
    def open(cls, url: str, *, create: bool = True, known: bool = False) -> Archive:
        """The archive at an absolute `file://` URL.

        With `create` the directory is created if it does not exist (mode 0700), and temporary files
        of dead writers are removed. Without it nothing is changed, and nothing can be put. A
        `known` archive was written before: it must still exist, and is never started anew. Raises
        `ConfigError` for any other URL and `ArchiveError` if the directory cannot be used.
        """
        disk = Disk(_root(url), writable=create, known=known)
        if create:
            disk.tidy()
        return cls(disk)

    @property
    def is_begun(self) -> bool:
        """Whether anything was ever put here."""
        return self._disk.is_begun

    @property
    def answers(self) -> bool:
        """Whether the archive's own directory can be listed."""
        try:
            self._disk.names("")
        except ArchiveError:
            return False
        return True

    async def put(
        self, key: Key, created_at: datetime | None, records: AsyncIterator[Record], now: datetime
    ) -> Copy:
        """Copy an export into the archive: durable, read back and proven when this returns.

        Memory stays constant, whatever the size. If an equal object is already there, that one is
        proven and returned; a damaged one is replaced. Whatever `records` raises is raised here,
        and then nothing was archived. Raises `RefusedError` if the export cannot be believed,
        `ArchiveError`, `ArchiveDamagedError`.
        """
        draft = await self.draft(key, created_at, records, now)
        try:
            return await self.publish(draft)
        finally:
            draft.discard()

    async def draft(
        self, key: Key, created_at: datetime | None, records: AsyncIterator[Record], now: datetime
    ) -> ObjectDraft:
        """Read an export to its end; nothing is in the archive before the draft is published.

        The caller discards the draft. Memory stays constant. Raises as `put` does.
        """
        draft = ObjectDraft(self._disk, key, created_at, now)
        waiting = 0
        try:
            async with closed_at_end(records):
                async for record in records:
                    draft.rest.append(record)
                    waiting += len(record.body)
                    del record  # it may be large, and waiting for the next one takes time
                    if waiting >= BATCH:
                        await run_in_thread(None, draft.add_rest)
                        waiting = 0
        except BaseException:
            draft.discard()
            raise
        return draft

    async def publish(self, draft: ObjectDraft) -> Copy:
        """Make a draft the thread's newest object: durable, read back and proven on return.

        Raises as `put` does.
        """
        last = draft.close() if draft.is_small else await run_in_thread(None, draft.close)
        copy = await run_in_thread(self._disk_threads, draft.finish, last)
        self._remember(copy)
        return copy

    async def prove(self, copy: Copy) -> None:
        """Read an object again and check that it is byte for byte the one that was proven.

        What it holds is checked as well, unless this archive itself put it there. Raises
        `ArchiveDamagedError` or `ArchiveError`.
        """
        await run_in_thread(self._disk_threads, self._prove, copy)

    def _prove(self, copy: Copy) -> None:
        _named(copy.path)
        is_known = self._written.get(copy.path) == copy
        if is_known and content(self._disk.read(copy.path)) == (copy.sealed, copy.size):
            return
        _, stored = inspect(self._disk, copy.path)
        if replace(stored, archived_at=copy.archived_at) != copy:
            raise self._disk.damaged(copy.path, "it is not the object that was proven")

    def objects(self) -> Iterator[tuple[Key, str]]:
        """Every object, with the thread that its path names, directory by directory. Blocks.

        What is not named like an object is left out. Raises `ArchiveError`.
        """
        for directory, names in self._disk.walk(may_contain_objects):
            for name in sorted(names):
                if (named := parse_path(path := f"{directory}/{name}")) is not None:
                    yield named[0], path

    def _remember(self, copy: Copy) -> None:
        self._written[copy.path] = copy
        while len(self._written) > REMEMBERED:
            self._written.pop(next(iter(self._written)), None)

    async def holds_all_of(
        self, copy: Copy, newest_item: str | None, records: AsyncIterator[Record]
    ) -> bool:
        """Whether a proven object holds all of an export, unchanged, and more items as well.

        The export's container, items and other records must be in the object with the same
        content. The export must end with `newest_item` (`None`: it has no items); it is not read if
        the object lacks that item. Raises what the export raises, `ArchiveDamagedError` if the
        object is not the one that was proven, and `ArchiveError`.
        """
        kind = _named(copy.path).kind
        items, lines = await run_in_thread(None, self._contents, copy.path, kind)
        if newest_item is not None and newest_item not in items:
            return False
        await self.prove(copy)
        unknown = False

        def compare(line: bytes) -> None:
            nonlocal unknown
            unknown = sha256(line).digest() not in lines

        export = Fingerprint(CATALOGUE[kind].volatile, compare)
        async with closed_at_end(records):
            async for record in records:
                export.add(record)
                if unknown:
                    return False
        is_whole = export.container is not None and export.newest_item == newest_item
        return is_whole and export.count < copy.items

    def _contents(self, path: str, kind: Kind) -> tuple[frozenset[str], frozenset[bytes]]:
        """The ids of an object's items, and a digest of each record's content."""
        items: set[str] = set()
        lines: set[bytes] = set()
        seen = Fingerprint(CATALOGUE[kind].volatile, lambda line: lines.add(sha256(line).digest()))
        for part in self.read(path):
            if isinstance(part, Record):
                seen.add(part)
                items |= {part.id} if part.is_item else set()
        return frozenset(items), frozenset(lines)

    def read(self, path: str) -> Iterator[Header | Record | Trailer]:
        """The header, the records and the trailer of the object at `path`, streamed.

        Blocks. Trust none of it before the trailer has come. Raises `ArchiveDamagedError` or
        `ArchiveError`.
        """
        _named(path)
        try:
            yield from read(self._disk.read(path))
        except MalformedError as error:
            raise self._disk.damaged(path, f"the object is damaged: {error}") from error

    async def remove(self, path: str) -> bool:
        """Remove one object, durably; false if there is none. Raises `ArchiveError`."""
        _named(path)
        return await run_in_thread(self._disk_threads, self._disk.remove, path)

    def stands(self, key: Key, paths: Sequence[str]) -> bool:
        """Whether any of a thread's objects exists at these paths. Blocks.

        Raises `ArchiveDamagedError` if a path is not that of one of the thread's objects, if
        something other than a file is there, or if its directory is gone; and `ArchiveError`.
        """
        for path in paths:
            self._must_be_of(key, path)
        standing = [self._disk.stands(path) for path in paths]  # each is looked at
        return any(standing)

    async def prune(self, key: Key, paths: Sequence[str]) -> None:
        """Remove a thread's objects at these paths, in this order, durably, and check it.

        Raises what `stands` does, except that a missing directory is no error.
        """
        for path in paths:
            self._must_be_of(key, path)
            await run_in_thread(self._disk_threads, self._disk.remove, path)

    def stored(self, key: Key, copy: Copy) -> StoredObject:
        """A thread's copy, read to its end and found to be the one that was proven. Blocks.

        Raises `ArchiveDamagedError` or `ArchiveError`.
        """
        path = copy.path
        self._must_be_of(key, path)
        header, trailer, found = _inspected(self._disk, path)
        if header.key != key:
            raise self._disk.damaged(path, f"it belongs to another thread, not to {key.id}")
        if replace(found, archived_at=copy.archived_at) != copy:
            raise self._disk.damaged(path, "it is not the object that was proven")
        place = f"{self._disk.root}/{path}"
        return StoredObject(place, header, trailer, lambda: self._disk.read(path))

    def container(self, key: Key, path: str) -> Record:
        """The container as stored in a thread's object, which is read to its end. Blocks.

        Raises `ArchiveDamagedError` or `ArchiveError`.
        """
        self._must_be_of(key, path)
        first: Record | None = None
        for part in self.read(path):
            if isinstance(part, Header) and part.key != key:
                raise self._disk.damaged(path, f"it belongs to another thread, not to {key.id}")
            if first is None and isinstance(part, Record):
                first = part
        if first is None or first.is_item:
            raise self._disk.damaged(path, "it does not begin with its container")
        return first

    def _must_be_of(self, key: Key, path: str) -> None:
        if _named(path) != key:
            raise ArchiveDamagedError(path, f"it belongs to another thread, not to {key.id}")

    async def remove_older(self, key: Key, keep: Copy) -> Older:
        """Remove the other objects of a thread's series, after `keep` was proven.

        An older object is removed only if `keep` holds all of its items: an interrupted removal, or
        the application, may have deleted items since. Damaged objects and those of other threads
        are left. Looks in the directory of `keep` and in the one used while the creation time was
        unknown, and lists both: call it only if an older copy is known. Raises
        `ArchiveDamagedError` before anything is removed, or `ArchiveError`.
        """
        return await run_in_thread(self._disk_threads, self._remove_older, key, keep)

    def _remove_older(self, key: Key, keep: Copy) -> Older:
        self._must_be_of(key, keep.path)
        self._prove(keep)
        kept = self._items(keep.path, key)
        here = keep.path.rpartition("/")[0]
        removed, left = 0, []
        for directory in sorted({here, series_directory(key, None)}):
            for name in self._disk.names(directory):
                path = f"{directory}/{name}"
                named = parse_path(path)
                if named is not None and named[0] == key and path != keep.path:
                    if self._is_within(path, key, kept):
                        removed += self._disk.remove(path)
                    else:
                        left.append(path)
        return Older(removed, tuple(left))

    def _is_within(self, path: str, key: Key, kept: set[str]) -> bool:
        """Whether an object is this thread's and has only items that are in `kept`."""
        try:
            return self._items(path, key) <= kept
        except ArchiveDamagedError:
            return False

    def _items(self, path: str, key: Key) -> set[str]:
        """The ids of an object's items; raises `ArchiveDamagedError` if it is another thread's."""
        ids: set[str] = set()
        for part in self.read(path):
            if isinstance(part, Header) and part.key.id != key.id:
                raise self._disk.damaged(path, f"it belongs to another thread, not to {key.id}")
            if isinstance(part, Record) and part.is_item:
                ids.add(part.id)
        return ids


def _named(path: str) -> Key:
    named = parse_path(path)
    if named is None:
        raise ArchiveDamagedError(path, "not the path of an object")
    return named[0]


def _root(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    local = parts.scheme == "file" and parts.netloc in {"", "localhost"}
    if not local or not path.startswith("/") or "\0" in path:
        raise ConfigError(f"archive url {url!r}: write file:///absolute/path")
    if parts.query or parts.fragment:
        raise ConfigError(f"archive url {url!r}: write %23 for '#' and %3F for '?' in its path")
    return Path(path)
