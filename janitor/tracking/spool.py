"""The local spool: notices that are not yet in the registry, in files that outlive a process.

A segment is a file of lines that one process appends to. That process holds a lock on it as long as
it lives, so an unlocked segment belongs to a dead process and any other may deliver it. A segment
is delivered as a whole and then removed. If the process dies in between, it is delivered twice,
which changes nothing.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from janitor.causes import cause, scarcity
from janitor.texts import plain
from janitor.tracking.greenlets import RLock, apart
from janitor.tracking.metrics import COUNTERS

VARIABLE = "JANITOR_SPOOL"
NAME_FILE = "registry.txt"
NAME_LENGTH = 4096


def spool_directory(registry: str) -> Path:
    """The directory of a registry's spool, created if it does not exist yet.

    Its name is a hash of the registry's name; a file in it holds that name in clear. It is below
    `$JANITOR_SPOOL`, else `$XDG_STATE_HOME/janitor/spool`, else `~/.local/state/janitor/spool`,
    else a directory of this user's own in the system's temporary one: the first that can be used.

    Raises:
        OSError: None of them can.
    """
    short: OSError | None = None
    for base in _bases():
        directory = base / sha256(registry.encode()).hexdigest()[:16]
        try:
            make_private(directory)
            if _is_safe(base, directory):
                _name(directory, registry)
                return directory
        except OSError as error:
            short = short or scarcity(error)
    raise short or OSError(f"no directory for the spool is writable: set {VARIABLE}")


def _name(directory: Path, registry: str) -> None:
    """Write down which registry a spool is for. Delivery does not need it, so it may fail."""
    with suppress(OSError):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        descriptor = os.open(directory / NAME_FILE, flags, 0o600)
        try:
            os.write(descriptor, f"{registry}\n".encode())
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class SpoolState:
    """A spool on this machine: its registry's name (`None`: unknown), and what waits in it.

    `size` is in bytes; `since` is when its oldest segment was last written, in seconds since 1970.
    """

    directory: Path
    registry: str | None
    size: int
    since: float | None


def spool_states() -> Iterator[SpoolState]:
    """Every spool of this user below the directories that `spool_directory` chooses from."""
    for base in _bases():
        for directory in _entries(base):
            with suppress(OSError):  # it was removed meanwhile
                if _is_safe(base, directory):
                    yield _state(directory)


def _entries(base: Path) -> list[Path]:
    """What is in a directory; nothing if it cannot be read or is not a directory."""
    with suppress(OSError):
        return sorted(base.iterdir())
    return []


def _state(directory: Path) -> SpoolState:
    sizes, times = [0], []
    for path in directory.glob(f"*{ENDING}"):
        with suppress(OSError):  # it was delivered meanwhile
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_size:
                sizes.append(found.st_size)
                times.append(found.st_mtime)
    return SpoolState(directory, _name_in(directory), sum(sizes), min(times, default=None))


def _name_in(directory: Path) -> str | None:
    """The registry's name in a spool, if it is plain text: any program may have written it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with suppress(OSError, UnicodeDecodeError):
        descriptor = os.open(directory / NAME_FILE, flags)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                name = os.read(descriptor, NAME_LENGTH).decode().strip()
                return name if name == plain(name) else None
        finally:
            os.close(descriptor)
    return None


def make_private(directory: Path) -> None:
    """Make a directory, and whatever is missing above it, for this user alone.

    With `mkdir(parents=True)` the umask would decide who may put another one in its place.
    """
    for one in (*reversed(directory.parents), directory):
        one.mkdir(mode=0o700, exist_ok=True)


def _bases() -> Iterator[Path]:
    if named := os.environ.get(VARIABLE):
        yield Path(named)
    if state := os.environ.get("XDG_STATE_HOME"):
        yield Path(state) / "janitor" / "spool"
    with suppress(RuntimeError):
        yield Path.home() / ".local" / "state" / "janitor" / "spool"
    with suppress(FileNotFoundError):  # no temporary directory can be used
        yield Path(tempfile.gettempdir()) / f"janitor-spool-{os.geteuid()}"


def _is_safe(base: Path, directory: Path) -> bool:
    """Whether nobody else can read the directory, or put another one in its place."""
    above, found = base.stat(), directory.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    is_closed = not found.st_mode & 0o077 and above.st_uid in (os.geteuid(), 0)
    return is_own and is_closed and os.access(directory, os.W_OK | os.X_OK)


LIMIT = 64 << 20
SEGMENT = 1 << 20
ENDING = ".jsonl"


class FullError(Exception):
    """The spool has grown to its limit: the notice is dropped."""


class Segment:
    """A file of lines, locked by this process for as long as it is open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.is_torn = False

    @classmethod
    def create(cls, directory: Path) -> Segment:
        """A new segment; named only once it is locked, so that nobody takes it for an orphan.

        Raises:
            OSError: The directory cannot be written.
        """
        path = directory / f"{os.getpid()}-{uuid4().hex}{ENDING}"
        draft = path.with_suffix(".new")
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return cls(path, descriptor)

    @classmethod
    def take(cls, path: Path) -> Segment | None:
        """The segment of a dead process; `None` if its process lives, or the file is gone.

        Raises:
            OSError: It cannot be opened.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
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
        """Append a line, whole or not at all.

        Raises:
            OSError: It could not be written.
        """
        self._cut()
        written = 0
        try:
            while written < len(line):  # in one call, unless the disk fills up
                written += os.write(self.descriptor, line[written:])
        except OSError:
            self.is_torn = written > 0
            self._cut()
            raise
        self.size += written

    def _cut(self) -> None:
        if self.is_torn:
            os.ftruncate(self.descriptor, self.size)
            self.is_torn = False

    def lines(self) -> Iterator[bytes]:
        """Every line, including a torn last one."""
        with open(os.dup(self.descriptor), "rb") as file:  # noqa: PTH123  of a descriptor
            file.seek(0)
            yield from file

    def remove(self) -> None:
        """Remove the file once it is delivered."""
        self.path.unlink(missing_ok=True)
        self.close()

    def release(self) -> None:
        """Unlock and close it, for another process to take."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # a copy of the descriptor would keep it locked
        self.close()

    def close(self) -> None:
        """Close it; the lock stays with other copies of the descriptor, as after a fork."""
        os.close(self.descriptor)


class Spool:
    """A directory of segments, bounded in bytes; thread-safe."""

    def __init__(self, directory: Path, *, limit: int = LIMIT, segment: int = SEGMENT) -> None:
        self.directory = directory
        self._limit = limit
        self._segment = segment
        self._lock = RLock()
        self._current: Segment | None = None
        self._sealed: list[Segment] = []
        self._taken: Segment | None = None
        self._is_dirty = False
        self._is_forgotten = False
        self._others = 0
        self.measure()

    @property
    def size(self) -> int:
        """Bytes in the directory; those of other processes as `measure` last saw them."""
        with self._lock:
            return self._others + sum(segment.size for segment in self._own())

    def _own(self) -> list[Segment]:
        return [*self._sealed, *([self._current] if self._current else [])]

    def measure(self) -> None:
        """Count the bytes in the segments of other processes."""
        paths = self._paths()
        with self._lock:
            own = {segment.path for segment in self._own()}
        sizes = 0
        for path in paths:
            with suppress(OSError):
                sizes += 0 if path in own else path.stat().st_size
        self._others = sizes

    def append(self, line: bytes) -> None:
        """Append a line; it survives the process at once, and a power cut after `sync`.

        Raises:
            FullError: The spool is full.
            OSError: The disk does not accept it.
        """
        with self._lock:
            if self.size + len(line) > self._limit:
                raise FullError
            if self._current is not None and self._current.size >= self._segment:
                self._seal()
            if self._current is None:
                make_private(self.directory)
                self._current = Segment.create(self.directory)
            self._current.append(line)
            self._is_dirty = True

    def sync(self) -> None:
        """Make everything appended so far survive a power cut."""
        with self._lock:
            if not self._is_dirty:
                return
            self._is_dirty = False
            copies = [os.dup(segment.descriptor) for segment in self._own()]
        apart(partial(_sync_all, copies))

    def seal(self) -> None:
        """Start a new segment with the next line, so that the current one can be delivered."""
        with self._lock:
            self._seal()

    def release(self) -> None:
        """Seal and unlock everything, for another process to take."""
        with self._lock:
            self._seal()
            for segment in self._sealed:
                segment.release()
                self._others += segment.size
            self._sealed.clear()

    def _seal(self) -> None:
        if self._current is not None:
            self._sealed.append(self._current)
            self._current = None

    def waiting(self) -> Iterator[Segment]:
        """Segments to deliver: this process's sealed ones, then those that dead processes left."""
        with self._lock:
            own = list(self._sealed)
        yield from own
        for path in self._paths():
            if self._is_forgotten:
                return
            try:
                self._taken = Segment.take(path)
            except OSError as error:
                reason = cause(error, "give this user access to it")
                COUNTERS.complain(f"{path} cannot be read and is left", reason)
                continue
            if self._taken is not None:
                yield self._taken

    def delivered(self, segment: Segment) -> None:
        """Remove a segment."""
        with self._lock:
            if self._is_forgotten:
                return
            if segment in self._sealed:
                self._sealed.remove(segment)
            else:
                self._taken = None
                self._others = max(0, self._others - segment.size)
        apart(segment.remove)  # not under the lock: a busy disk takes milliseconds

    def leave(self, segment: Segment) -> None:
        """Keep a segment for later; unlock it if it was a dead process's."""
        with self._lock:
            if not self._is_forgotten and segment not in self._sealed:
                self._taken = None
                segment.release()

    def forget(self) -> None:
        """Let go of every file in the child after a fork: the parent delivers what was open.

        The child makes another spool. If threads are greenlets, the parent's keep running in the
        child with this one, and must no longer touch a file.
        """
        self._lock = RLock()
        self._is_forgotten, self._is_dirty = True, False
        for segment in [*self._own(), *([self._taken] if self._taken else [])]:
            with suppress(OSError):
                segment.close()
        self._current, self._sealed, self._taken = None, [], None

    def _paths(self) -> list[Path]:
        """Every segment's path, the oldest first."""
        times: list[tuple[float, Path]] = []
        for path in self.directory.glob(f"*{ENDING}"):
            with suppress(OSError):  # it was delivered meanwhile
                found = path.stat()
                if stat.S_ISREG(found.st_mode):
                    times.append((found.st_mtime, path))
        return [path for _, path in sorted(times)]


def _sync_all(copies: list[int]) -> None:
    for copy in copies:
        try:
            os.fsync(copy)
        finally:
            os.close(copy)
