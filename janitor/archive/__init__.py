"""The archive: a durable, proven copy of a thread before anything of it is removed.

A series of objects per thread, named by id and content; each is created once, never changed, and
removed only when a newer one of its series was proven.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore

from janitor.archive import names
from janitor.archive.aside import aside, finishing
from janitor.archive.damage import ArchiveDamagedError
from janitor.archive.disk import Disk
from janitor.archive.draft import Draft, inspect
from janitor.archive.fingerprint import Fingerprint, fingerprint
from janitor.archive.form import Header, MalformedError, Trailer, read
from janitor.catalogue import CATALOGUE
from janitor.errors import ArchiveError, ConfigError
from janitor.model import Copy, Key, Kind, Record

__all__ = [
    "Archive",
    "ArchiveDamagedError",
    "Fingerprint",
    "Header",
    "Stored",
    "Trailer",
    "fingerprint",
]

# Records wait until so many bytes are worth a thread; a small thread is written in one go.
BATCH = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as a listing shows it; nothing of it is proven. `size` is in bytes."""

    key: Key
    path: str
    size: int
    stored_at: datetime


class Older(NamedTuple):
    """How many older objects of a series were removed, and the paths of those that stay."""

    removed: int
    left: tuple[str, ...]


class Archive:
    """Objects on the local file system; other stores and sealing are to join here.

    A `ArchiveError` concerns all threads, an `ArchiveDamagedError` the one whose object it names.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @classmethod
    def open(cls, url: str, *, create: bool = True, known: bool = False) -> Archive:
        """The archive at an absolute `file://` URL.

        With `create` the directory is made where it is absent (mode 0700) and the temporaries of
        dead writers are removed; without, nothing is changed, and nothing may be put. A `known`
        archive was written before: it must still be there, and is never begun anew. Raises
        `ConfigError` for another URL and `ArchiveError` where the directory does not serve.
        """
        disk = Disk(_root(url), writable=create, known=known)
        if create:
            disk.tidy()
        return cls(disk)

    @property
    def is_begun(self) -> bool:
        """Whether anything was ever put here."""
        return self._disk.is_begun

    async def put(
        self, key: Key, created_at: datetime | None, records: AsyncIterator[Record], now: datetime
    ) -> Copy:
        """Copy an export into the archive: durable, read back and proven when this returns.

        Memory stays constant, whatever the size. An equal object that is already there is success
        and is what is returned; a damaged one is replaced. Whatever `records` raises is raised
        here, and then nothing was archived. Raises `RefusedError` where the export cannot be
        believed, `ArchiveError`, `ArchiveDamagedError`.
        """
        draft = Draft(self._disk, key, created_at, now)
        batch: list[Record] = []
        waiting = 0
        try:
            async with finishing(records):
                async for record in records:
                    batch.append(record)
                    waiting += len(record.body)
                    del record  # it may be large, and the next one is waited for
                    if waiting >= BATCH:
                        await aside(draft.add, batch)
                        batch, waiting = [], 0
            return await aside(draft.finish, batch)
        finally:
            draft.discard()

    async def prove(self, copy: Copy) -> None:
        """Read an object again: it is, byte for byte, the one that was proven, and sound in itself.

        Raises `ArchiveDamagedError` or `ArchiveError`.
        """
        await aside(self._prove, copy)

    def _prove(self, copy: Copy) -> None:
        _named(copy.path)
        _, found = inspect(self._disk, copy.path)
        if replace(found, archived_at=copy.archived_at) != copy:
            raise self._disk.damaged(copy.path, "it is not the object that was proven")

    async def holds_all_of(
        self, copy: Copy, newest_item: str | None, records: AsyncIterator[Record]
    ) -> bool:
        """Whether a proven object has everything of an export, unchanged, and items besides.

        The container must say the same, and so must every item that is left and every other
        record. The export must end with `newest_item` (`None`: no item is left), and is not begun
        where the object lacks that. Raises what the export raises, `ArchiveDamagedError` where the
        object is not the one that was proven, and `ArchiveError`.
        """
        kind = _named(copy.path).kind
        items, lines = await aside(self._contents, copy.path, kind)
        if newest_item is not None and newest_item not in items:
            return False
        await self.prove(copy)
        found = Fingerprint(CATALOGUE[kind].volatile, _expecting(lines))
        try:
            async with finishing(records):
                async for record in records:
                    found.add(record)
        except _UnknownLineError:
            return False
        is_whole = found.container is not None and found.newest_item == newest_item
        return is_whole and found.count < copy.items

    def _contents(self, path: str, kind: Kind) -> tuple[frozenset[str], frozenset[bytes]]:
        """The ids of an object's items, and a digest of what each of its records says."""
        items: set[str] = set()
        lines: set[bytes] = set()
        found = Fingerprint(CATALOGUE[kind].volatile, lambda line: lines.add(sha256(line).digest()))
        for part in self.read(path):
            if isinstance(part, Record):
                found.add(part)
                items |= {part.id} if part.is_item else set()
        return frozenset(items), frozenset(lines)

    def read(self, path: str) -> Iterator[Header | Record | Trailer]:
        """The header, the records and the trailer of the object at `path`, streamed.

        Blocks; nothing may be believed before the trailer came. Raises `ArchiveDamagedError` or
        `ArchiveError`.
        """
        _named(path)
        try:
            yield from read(self._disk.read(path))
        except MalformedError as error:
            raise self._disk.damaged(path, f"the object is damaged: {error}") from error

    async def remove(self, path: str) -> bool:
        """Remove one object, durably; false where there is none. Raises `ArchiveError`."""
        _named(path)
        return await aside(self._disk.remove, path)

    def stands(self, key: Key, paths: Sequence[str]) -> bool:
        """Whether any of a thread's objects at these paths is there. Blocks.

        Raises `ArchiveDamagedError` where a path is not that of one of the thread's objects, where
        no file stands there, or where its directory is gone; and `ArchiveError`.
        """
        for path in paths:
            self._must_be_of(key, path)
        standing = [self._disk.stands(path) for path in paths]  # each is looked at
        return any(standing)

    async def prune(self, key: Key, paths: Sequence[str]) -> None:
        """Remove a thread's objects at these paths, in this order: durably, and proven gone.

        Raises what `stands` does.
        """
        for path in paths:
            self._must_be_of(key, path)
            await aside(self._disk.remove, path)

    def container(self, key: Key, path: str) -> Record:
        """The container as it is in a thread's object, which is read to its end. Blocks.

        Raises `ArchiveDamagedError` or `ArchiveError`.
        """
        self._must_be_of(key, path)
        first: Record | None = None
        for part in self.read(path):
            if isinstance(part, Header) and part.key != key:
                raise self._disk.damaged(path, f"that is another thread's, not {key.id}'s")
            if first is None and isinstance(part, Record):
                first = part
        if first is None or first.is_item:
            raise self._disk.damaged(path, "it does not begin with its container")
        return first

    def _must_be_of(self, key: Key, path: str) -> None:
        if _named(path) != key:
            raise ArchiveDamagedError(path, f"that is another thread's, not {key.id}'s")

    async def remove_older(self, key: Key, keep: Copy) -> Older:
        """Remove the other objects of a thread's series, after `keep` was proven.

        Only those go whose items `keep` holds all of: a removal that was cut short, or the
        application, may have taken items away since. What is damaged or of another thread stays,
        too. Looks where `keep` lies and where the series lay while its
        creation was unknown. Costs a listing of both: ask only where an older copy is known. Raises
        `ArchiveDamagedError` or `ArchiveError`; then nothing was removed.
        """
        return await aside(self._remove_older, key, keep)

    def _remove_older(self, key: Key, keep: Copy) -> Older:
        self._must_be_of(key, keep.path)
        self._prove(keep)
        kept = self._items(keep.path, key)
        here = keep.path.rpartition("/")[0]
        removed, left = 0, []
        for directory in sorted({here, names.directory(key, None)}):
            for name in self._disk.names(directory):
                path = f"{directory}/{name}"
                named = names.parse(path)
                if named is not None and named[0] == key and path != keep.path:
                    if self._is_within(path, key, kept):
                        removed += self._disk.remove(path)
                    else:
                        left.append(path)
        return Older(removed, tuple(left))

    def _is_within(self, path: str, key: Key, kept: set[str]) -> bool:
        """Whether an object is of this thread and holds nothing that is not kept elsewhere."""
        try:
            return self._items(path, key) <= kept
        except ArchiveDamagedError:
            return False

    def _items(self, path: str, key: Key) -> set[str]:
        """The ids of all items of an object; `ArchiveDamagedError` if it is not this thread's."""
        ids: set[str] = set()
        for part in self.read(path):
            if isinstance(part, Header) and part.key.id != key.id:
                raise self._disk.damaged(path, f"that is another thread's, not {key.id}'s")
            if isinstance(part, Record) and part.is_item:
                ids.add(part.id)
        return ids

    def objects(self, project: str | None = None) -> Iterator[Stored]:
        """Every object, or those of one project, streamed in no order; blocks.

        Raises `ArchiveError`.
        """
        try:
            for found in chain.from_iterable(LocalStore(self._disk.root).list(project)):
                named = names.parse(found["path"])
                if named is not None:
                    yield Stored(named[0], found["path"], found["size"], found["last_modified"])
        except (BaseError, OSError) as error:
            what = str(error).partition("\n")[0]  # the rest is for whoever debugs obstore
            raise ArchiveError(f"archive {self._disk.root}: listing it failed: {what}") from error


class _UnknownLineError(Exception):
    """A record that an object does not have."""


def _expecting(lines: frozenset[bytes]) -> Callable[[bytes], None]:
    def see(line: bytes) -> None:
        if sha256(line).digest() not in lines:
            raise _UnknownLineError

    return see


def _named(path: str) -> Key:
    named = names.parse(path)
    if named is None:
        raise ArchiveDamagedError(path, "that is no path of an object")
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
