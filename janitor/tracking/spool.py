"""The local spool: what was told and is not yet in the registry, in files that outlive a process.

A segment is a file of lines that one process appends to. Its process holds a lock on it as long as
it lives, so an unlocked segment belongs to the dead and may be delivered by anybody. A segment is
delivered as a whole and then removed; a death in between delivers it twice, which changes nothing.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from janitor.tracking.places import make_private

LIMIT = 64 << 20
SEGMENT = 1 << 20
ENDING = ".jsonl"


class FullError(Exception):
    """The spool has grown to its limit, so what was to be told is dropped."""


class Segment:
    """A file of lines, locked by this process for as long as it is open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.is_torn = False

    @classmethod
    def create(cls, directory: Path) -> Segment:
        """A new one. It gets its name only once it is locked, so nobody takes it for a dead one's.

        Raises:
            OSError: The directory cannot be written.
        """
        path = directory / f"{os.getpid()}-{uuid4().hex}{ENDING}"
        draft = path.with_suffix(".new")
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(path)
        return cls(path, descriptor)

    @classmethod
    def take(cls, path: Path) -> Segment | None:
        """One that a dead process left behind; `None` while its process lives, or once it is gone.

        Raises:
            OSError: It cannot be opened.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return cls(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return None

    def append(self, line: bytes) -> None:
        """Write a line in one call.

        Raises:
            OSError: It could not be written, or only in part.
        """
        whole = b"\n" + line if self.is_torn else line
        written = os.write(self.descriptor, whole)
        self.size += written
        self.is_torn = written != len(whole)
        if self.is_torn:
            raise OSError(f"{self.path.name}: a line could not be written whole")

    def lines(self) -> Iterator[bytes]:
        """Every line, a torn last one too."""
        with open(os.dup(self.descriptor), "rb") as file:  # noqa: PTH123  of a descriptor
            file.seek(0)
            yield from file

    def remove(self) -> None:
        """Remove it, since all it says was delivered."""
        self.path.unlink(missing_ok=True)
        self.close()

    def release(self) -> None:
        """Leave it to whoever comes next."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # a copy of the descriptor holds it, too
        self.close()

    def close(self) -> None:
        """Forget it; the lock stays with other copies of the descriptor, as after a fork."""
        os.close(self.descriptor)


class Spool:
    """A directory of segments, bounded in bytes; safe under threads."""

    def __init__(self, directory: Path, *, limit: int = LIMIT, segment: int = SEGMENT) -> None:
        self.directory = directory
        self._limit = limit
        self._segment = segment
        self._lock = threading.RLock()
        self._current: Segment | None = None
        self._sealed: list[Segment] = []
        self._is_dirty = False
        self._size = 0
        self.measure()

    @property
    def size(self) -> int:
        """Bytes in the directory, other processes' as far as `measure` last saw them."""
        return self._size

    def measure(self) -> None:
        """Count the bytes of every process."""
        sizes = 0
        for path in self._paths():
            with suppress(OSError):
                sizes += path.stat().st_size
        with self._lock:
            self._size = sizes

    def append(self, line: bytes) -> None:
        """Append a line; it outlives this process from now on, and a power cut after `sync`.

        Raises:
            FullError: The spool is full.
            OSError: The disk does not take it.
        """
        with self._lock:
            if self._size + len(line) > self._limit:
                raise FullError
            if self._current is not None and self._current.size >= self._segment:
                self._seal()
            if self._current is None:
                make_private(self.directory)
                self._current = Segment.create(self.directory)
            self._current.append(line)
            self._size += len(line)
            self._is_dirty = True

    def sync(self) -> None:
        """Make what was appended outlive a power cut."""
        with self._lock:
            if not self._is_dirty:
                return
            self._is_dirty = False
            open_ones = [*self._sealed, *([self._current] if self._current else [])]
            copies = [os.dup(segment.descriptor) for segment in open_ones]
        for copy in copies:
            try:
                os.fsync(copy)
            finally:
                os.close(copy)

    def seal(self) -> None:
        """Begin a new segment with the next line, so that what is there can be delivered."""
        with self._lock:
            self._seal()

    def release(self) -> None:
        """Leave everything to whoever comes and takes it."""
        with self._lock:
            self._seal()
            for segment in self._sealed:
                segment.release()
            self._sealed.clear()

    def _seal(self) -> None:
        if self._current is not None:
            self._sealed.append(self._current)
            self._current = None

    def waiting(self) -> Iterator[Segment]:
        """Segments to deliver: this process's sealed ones, then what the dead left behind."""
        with self._lock:
            own = list(self._sealed)
        yield from own
        for path in self._paths():
            if (segment := Segment.take(path)) is not None:
                yield segment

    def delivered(self, segment: Segment) -> None:
        """Remove a segment."""
        with self._lock:
            if segment in self._sealed:
                self._sealed.remove(segment)
            self._size = max(0, self._size - segment.size)
        segment.remove()  # not under the lock: a busy disk takes milliseconds

    def leave(self, segment: Segment) -> None:
        """Keep a segment for later; one of the dead may then be taken by anybody."""
        with self._lock:
            if segment not in self._sealed:
                segment.release()

    def forget(self) -> None:
        """After a fork, in the child: what was open belongs to the parent, which delivers it."""
        self._lock = threading.RLock()
        for segment in [*self._sealed, *([self._current] if self._current else [])]:
            with suppress(OSError):
                segment.close()
        self._current, self._sealed, self._is_dirty = None, [], False

    def _paths(self) -> list[Path]:
        try:
            return sorted(self.directory.glob(f"*{ENDING}"), key=lambda path: path.stat().st_mtime)
        except OSError:
            return []
