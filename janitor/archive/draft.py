"""One object on its way into the archive, and the proof of one that is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from janitor.archive import form, names
from janitor.archive.damage import ArchiveDamagedError
from janitor.archive.disk import Disk, Staged
from janitor.catalogue import CATALOGUE
from janitor.model import Copy, Key, Record


def inspect(disk: Disk, path: str) -> tuple[form.Header, Copy]:
    """Whose object this is and what it holds, read from end to end and proven against itself.

    Raises `ArchiveDamagedError` or `ArchiveError`.
    """
    stored = Sealed(disk.read(path))
    try:
        header, trailer = form.verify(stored)
    except form.MalformedError as error:
        raise disk.damaged(path, f"the object is damaged: {error}") from error
    copy = Copy(
        path=path,
        digest=trailer.digest,
        sealed=stored.digest,
        items=trailer.items,
        newest_item=trailer.newest_item,
        size=stored.size,
        archived_at=header.archived_at,
    )
    return header, copy


class Sealed:
    """Stored bytes that pass by, measured: their sha256 in hex and their number."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.size = 0
        self._blocks = blocks
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The sha256 of what passed by so far, in hex."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            self._hash.update(block)
            self.size += len(block)
            yield block


class Draft:
    """A staged object; `discard` leaves nothing of it but what was published.

    Nothing touches the disk before the first `add`, so that an export that fails at once costs
    nothing.
    """

    def __init__(self, disk: Disk, key: Key, created_at: datetime | None, now: datetime) -> None:
        self._disk = disk
        self._directory = names.directory(key, created_at)
        self._header = form.Header(key, created_at, now, CATALOGUE[key.kind].volatile)
        self._open: tuple[Staged, form.Writer] | None = None

    def add(self, records: Sequence[Record]) -> None:
        """Write the next records. Raises `RefusedError` or `ArchiveError`."""
        self._opened()[1].add(records)

    def finish(self, records: Sequence[Record]) -> Copy:
        """Write the last records, publish, read back and prove.

        Raises `RefusedError`, `ArchiveError` or, where what was read back is not what was written,
        `ArchiveDamagedError`.
        """
        staged, writer = self._opened()
        writer.add(records)
        writer.close()
        path = names.path(self._directory, self._header.key, writer.seen.digest)
        self._publish(staged, path, writer.seen.digest)
        self.discard()
        _, copy = inspect(self._disk, path)
        seen = writer.seen
        if (copy.digest, copy.items, copy.newest_item) != (
            seen.digest,
            seen.count,
            seen.newest_item,
        ):
            raise self._disk.damaged(path, "what was read back is not what was written")
        return copy

    def discard(self) -> None:
        """Drop the temporary; never raises."""
        if self._open is not None:
            self._disk.discard(self._open[0])
            self._open = None

    def _opened(self) -> tuple[Staged, form.Writer]:
        if self._open is None:
            staged = self._disk.stage()
            self._open = staged, form.Writer(staged.write, self._header)
        return self._open

    def _publish(self, staged: Staged, path: str, digest: str) -> None:
        if self._disk.publish(staged, path):
            return
        if self._stands(path, digest):
            self._disk.settle(path)
        else:
            self._disk.publish(staged, path, replace=True)

    def _stands(self, path: str, digest: str) -> bool:
        try:
            _, copy = inspect(self._disk, path)
        except ArchiveDamagedError:
            return False
        if copy.digest != digest:
            raise self._disk.damaged(path, "an intact copy of something else stands in its place")
        return True
