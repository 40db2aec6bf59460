"""Durable files under one directory, written off the event loop.

Every path is opened directory by directory from the root, and no link is ever followed, so that
nothing planted inside the archive can lead a write or a read elsewhere. A file becomes visible
complete and fsynced or not at all. Every directory on its path is fsynced once per process, even
those that existed before, since a crash may have left them unwritten.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar
from uuid import uuid4

from janitor.causes import cause, lack
from janitor.errors import ArchiveError, JanitorError

P = ParamSpec("P")
T = TypeVar("T")


class ArchiveDamagedError(JanitorError):
    """An object is gone, is not what was proven, or another one is in its place.

    Deliberately not an `ArchiveError`, which affects every thread: the store answers, so work on
    the other threads goes on; this one is kept.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(
            f"{path}: {what}; its thread is kept. Restore the file from a backup. Otherwise, if "
            "the thread still exists upstream, a later sweep copies it again when it is due"
        )
        self.path = path
        self.what = what


async def run_in_thread(
    executor: Executor | None, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run `work` in a thread of `executor` (`None`: the loop's own) and return its result.

    A cancellation is raised only after the thread has finished, so that no file is closed while it
    is in use.
    """
    future = asyncio.get_running_loop().run_in_executor(executor, lambda: work(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        future.exception()  # retrieved, so that the loop does not complain about it
        raise


@asynccontextmanager
async def closed_at_end(records: AsyncIterator[T]) -> AsyncIterator[None]:
    """Close a generator at once if it is left before its end: it may hold a lot of memory."""
    try:
        yield
    finally:
        if isinstance(records, AsyncGenerator):
            await records.aclose()


STAGING = ".incoming"
BLOCK = 1 << 18

_STAGED = re.compile(r"[0-9a-f]{32}\.part")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a planted FIFO must not block
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Content(NamedTuple):
    """What a file contains: the sha256 of its bytes, in hex, and how many there are."""

    sha256: str
    size: int


class Measured:
    """The sha256 and the number of the bytes that went by."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = sha256()

    @property
    def content(self) -> Content:
        """What went by so far."""
        return Content(self._hash.hexdigest(), self.size)

    def add(self, block: bytes) -> None:
        """Count the next bytes."""
        self.size += len(block)
        self._hash.update(block)

    def passed(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The same blocks, counted as they go by."""
        for block in blocks:
            self.add(block)
            yield block


def content(blocks: Iterable[bytes]) -> Content:
    """What a file contains, given its bytes."""
    measured = Measured()
    for block in blocks:
        measured.add(block)
    return measured.content


class Staged:
    """A file not yet published; locked while its writer lives, so `tidy` leaves it alone.

    `directory` is the open staging directory, `written` what was written so far.
    """

    def __init__(self, disk: Disk, name: str, directory: int, descriptor: int) -> None:
        self._disk = disk
        self.name = name
        self.directory = directory
        self.descriptor = descriptor
        self.written = Measured()

    def write(self, data: bytes) -> None:
        """Append. Raises `ArchiveError`, which names needed and free space if the disk is full."""
        self.written.add(data)
        rest = memoryview(data)
        with self._disk.answering(f"writing {self.written.size:,} bytes"):
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]


class Disk:
    """The file system below one root.

    Raises `ArchiveError` if the root does not answer, and `ArchiveDamagedError` if one file is gone
    or is not a regular file.
    """

    def __init__(self, root: Path, *, writable: bool, known: bool = False) -> None:
        self.root = root
        self._writable = writable
        self._durable: set[str] = set()
        if known and not self.is_begun:
            raise ArchiveError(
                f"archive {root}: what was archived there is gone. Check that its disk is "
                f"mounted; to start a new archive anyway, create the directory {root / STAGING}"
            )
        with self.answering("opening it"):
            if writable:
                _make_all(root)
            status = root.stat()
            self._identity = (status.st_dev, status.st_ino)
            os.close(self._open_root())
            needed = os.R_OK | os.X_OK | (os.W_OK if writable else 0)
            if not os.access(root, needed, effective_ids=os.access in os.supports_effective_ids):
                raise _unwritable(root)

    @property
    def is_begun(self) -> bool:
        """Whether anything was ever staged below the root."""
        return (self.root / STAGING).is_dir()

    @contextmanager
    def answering(self, doing: str) -> Iterator[None]:
        """Turn an `OSError` into an `ArchiveError` that says what to do."""
        try:
            yield
        except OSError as error:
            raise ArchiveError(self._sentence(error, doing)) from error

    def _sentence(self, error: OSError, doing: str) -> str:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                what = (
                    f"the disk is full ({self._free()}); free some space; nothing is half written"
                )
            case errno.ENOTDIR | errno.ELOOP | errno.EEXIST:
                what = "a link or a file is where a directory belongs; find out who put it there"
            case _:
                what = cause(error, "check that it is mounted and that this user can write there")
        return f"archive {self.root}: {doing}: {what}"

    def _free(self) -> str:
        with suppress(OSError):
            system = os.statvfs(self.root)
            return f"{system.f_bavail * system.f_frsize:,} bytes are free"
        return "free space unknown"

    def damaged(self, path: str, what: str) -> ArchiveDamagedError:
        """The error for one damaged file, with its full path."""
        return ArchiveDamagedError(f"{self.root}/{path}", what)

    @contextmanager
    def directory(self, path: str, *, create: bool = False) -> Iterator[int]:
        """An open directory below the root; with `create` it is made, durably, if missing."""
        descriptor = self._open_directory(path, create=create)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_directory(self, path: str, *, create: bool = False) -> int:
        with self.answering("opening it"):
            current = self._open_root()
        walked = ""
        for part in path.split("/") if path else ():
            walked = f"{walked}/{part}"
            try:
                following = (
                    self._open_durable(part, current, walked)
                    if create
                    else os.open(part, _DIRECTORY, dir_fd=current)
                )
            finally:
                os.close(current)
            current = following
        return current

    def _open_root(self) -> int:
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != self._identity:
            os.close(descriptor)
            raise ArchiveError(
                f"archive {self.root}: the directory is not the one from the start; check that "
                "its disk is mounted, then restart janitor"
            )
        return descriptor

    def _open_durable(self, part: str, parent: int, walked: str) -> int:
        """Open a directory; unless this process knows it, it is made and its parent fsynced."""
        if walked in self._durable:
            with suppress(FileNotFoundError):
                return os.open(part, _DIRECTORY, dir_fd=parent)
        with suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=parent)
        os.fsync(parent)
        self._durable.add(walked)
        return os.open(part, _DIRECTORY, dir_fd=parent)

    def _must_write(self) -> None:
        if not self._writable:
            raise ArchiveError(f"archive {self.root}: it was opened read-only")

    def stage(self) -> Staged:
        """A new empty file, mode 0600, that no reader sees."""
        self._must_write()
        with self.answering("staging a file"), ExitStack() as failed:
            directory = self._open_directory(STAGING, create=True)
            failed.callback(os.close, directory)
            while True:
                name = f"{uuid4().hex}.part"
                descriptor = os.open(name, _CREATE, 0o600, dir_fd=directory)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:
                    failed.pop_all()
                    return Staged(self, name, directory, descriptor)
                os.close(descriptor)  # `tidy` removed it before it was locked

    def publish(self, staged: Staged, path: str, *, replace: bool = False) -> Content | None:
        """Move a staged file to its place, durably, and read it back.

        `None`, and nothing is moved, if a file is there already.
        """
        parent, _, name = path.rpartition("/")
        with (
            self.answering(f"writing {path} of {staged.written.size:,} bytes"),
            self.directory(parent, create=True) as target,
        ):
            os.fsync(staged.descriptor)
            if replace:
                os.replace(staged.name, name, src_dir_fd=staged.directory, dst_dir_fd=target)
            else:
                try:
                    os.link(
                        staged.name,
                        name,
                        src_dir_fd=staged.directory,
                        dst_dir_fd=target,
                        follow_symlinks=False,
                    )
                except FileExistsError:
                    return None
            os.fsync(target)
            return content(self._blocks(path, self._open_in(target, path)))

    def discard(self, staged: Staged) -> None:
        """Close a staged file and remove its temporary name; what was published stays.

        Never raises: anything left is removed at the next start.
        """
        with suppress(OSError):
            os.unlink(staged.name, dir_fd=staged.directory)
        os.close(staged.directory)
        os.close(staged.descriptor)

    def settle(self, path: str) -> Content:
        """Make durable a file that an earlier writer left, perhaps one that crashed; read it."""
        descriptor = self._open(path)
        try:
            with (
                self.answering(f"writing {path}"),
                self.directory(path.rpartition("/")[0], create=True) as directory,
            ):
                os.fsync(descriptor)
                os.fsync(directory)
        finally:
            os.close(descriptor)
        return content(self.read(path))

    def read(self, path: str) -> Iterator[bytes]:
        """The bytes of a file, in blocks."""
        yield from self._blocks(path, self._open(path))

    def _blocks(self, path: str, descriptor: int) -> Iterator[bytes]:
        try:
            with self.answering(f"reading {path}"):
                while block := os.read(descriptor, BLOCK):
                    yield block
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> int:
        try:
            with self.directory(path.rpartition("/")[0]) as directory:
                return self._open_in(directory, path)
        except FileNotFoundError as error:
            raise self.damaged(path, "the object is gone") from error
        except OSError as error:
            raise ArchiveError(self._sentence(error, f"reading {path}")) from error

    def _open_in(self, directory: int, path: str) -> int:
        """Open a file to be read, of which `directory` is the open parent."""
        try:
            descriptor = os.open(path.rpartition("/")[2], _READ, dir_fd=directory)
        except FileNotFoundError as error:
            raise self.damaged(path, "the object is gone") from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self.damaged(path, "a link is in its place") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self.damaged(path, "it is not a regular file")
        return descriptor

    def names(self, directory: str) -> list[str]:
        """The names in a directory; none if it does not exist."""
        with self.answering(f"listing {directory}"):
            try:
                with self.directory(directory) as descriptor:
                    return _names(descriptor)
            except FileNotFoundError:
                return []

    def walk(self, enters: Callable[[str], bool]) -> Iterator[tuple[str, list[str]]]:
        """Every directory that `enters` accepts, with the names of its files, in a fixed order.

        No link is followed.
        """
        waiting = sorted(filter(enters, self._inside("")[0]), reverse=True)
        while waiting:
            directory = waiting.pop()
            directories, files = self._inside(directory)
            yield directory, files
            below = (f"{directory}/{name}" for name in sorted(directories, reverse=True))
            waiting += filter(enters, below)

    def _inside(self, directory: str) -> tuple[list[str], list[str]]:
        """The directories and the files in a directory; none if it is gone by now."""
        directories, files = list[str](), list[str]()
        with self.answering(f"listing {directory or 'it'}"):
            try:
                with self.directory(directory) as descriptor, os.scandir(descriptor) as entries:
                    for entry in entries:
                        is_directory = entry.is_dir(follow_symlinks=False)
                        (directories if is_directory else files).append(entry.name)
            except FileNotFoundError:
                return [], []
        return directories, files

    def stands(self, path: str) -> bool:
        """Whether a file exists.

        Raises `ArchiveDamagedError` if something else has its name, or if its directory is missing:
        then this may not be the archive that it was put into.
        """
        parent, _, name = path.rpartition("/")
        with self.answering(f"looking for {path}"):
            try:
                with self.directory(parent) as directory:
                    return self._is_file(path, name, directory)
            except FileNotFoundError as error:
                raise self.damaged(path, "even its directory is missing") from error

    def remove(self, path: str) -> bool:
        """Remove a file durably and check that it is gone; false if it was not there."""
        self._must_write()
        parent, _, name = path.rpartition("/")
        with self.answering(f"removing {path}"):
            try:
                with self.directory(parent) as directory:
                    was_there = self._is_file(path, name, directory)
                    if was_there:
                        os.unlink(name, dir_fd=directory)
                    os.fsync(directory)  # one who died may have unlinked it
                    if self._is_file(path, name, directory):
                        raise ArchiveError(
                            f"archive {self.root}: {path} still exists after its removal"
                        )
            except FileNotFoundError:
                return False
        return was_there

    def _is_file(self, path: str, name: str, directory: int) -> bool:
        """Whether an open directory has a regular file of that name; links are not followed."""
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode):
            raise self.damaged(path, "it is not a regular file")
        return True

    def tidy(self) -> int:
        """Remove the staged files of dead writers, and return how many there were."""
        removed = 0
        with (
            self.answering("removing stale temporaries"),
            self.directory(STAGING, create=True) as directory,
        ):
            for name in filter(_STAGED.fullmatch, _names(directory)):
                removed += _drop_if_stale(name, directory)
        return removed


def _unwritable(root: Path) -> OSError:
    """Why this user may not read or write below the root."""
    lacking = lack(root)
    if lacking is not None and lacking.errno == errno.EROFS:
        return lacking
    return PermissionError(errno.EACCES, "")


def _make_all(root: Path) -> None:
    """Make a directory and its missing parents, each durable before the next."""
    if root.is_dir():
        return
    _make_all(root.parent)
    root.mkdir(mode=0o700, exist_ok=True)
    parent = os.open(root.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def _drop_if_stale(name: str, directory: int) -> bool:
    with suppress(FileNotFoundError):
        descriptor = os.open(name, _READ, dir_fd=directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=directory)
        except BlockingIOError:
            return False  # another janitor is writing it
        finally:
            os.close(descriptor)
        return True
    return False
