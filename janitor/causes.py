"""What an error of the operating system means, whatever was being done: its cause and its fix."""

from __future__ import annotations

import errno
import os
import resource
import stat
from pathlib import Path

SPARE = 8
"""How many more descriptors a library may need at once."""

ROOM = 1 << 18
"""Bytes: a disk with less left is full for a database."""

_CURES = {
    errno.EMFILE: "raise the limit of this process (`ulimit -n`, LimitNOFILE= of its unit)",
    errno.ENFILE: "raise the machine's limit (fs.file-max), or stop what holds them open",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or raise this user's quota",
    errno.EROFS: "mount it writable",
    errno.EFBIG: (
        "raise this process's limit on file size (`ulimit -f`, LimitFSIZE= of its unit), or use "
        "a file system that takes larger files"
    ),
    errno.EIO: "the disk is failing: check the kernel log",
    errno.ENOMEM: "give this process more memory",
    errno.ENOLCK: "put it on a file system that supports locks",
}


_SORTS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}


class UnsuitedError(OSError):
    """A path leads to a file of the wrong type; `strerror` is the whole message."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EINVAL, text)


def sort_of(mode: int) -> str:
    """The type of a file by its mode, such as `a pipe` or `a regular file`."""
    return _SORTS.get(stat.S_IFMT(mode), "a regular file")


def unsuited(mode: int, instead: str = "name a regular file") -> UnsuitedError:
    """The error for a path that leads to a file of the wrong type; says what to do `instead`."""
    return UnsuitedError(f"it is {sort_of(mode)}; {instead}")


def cause(error: OSError, otherwise: str = "") -> str:
    """The system's error and how to fix it; `otherwise` is the advice if the path is wrong."""
    if isinstance(error, UnsuitedError):
        return str(error.strerror)
    text = os.strerror(error.errno) if error.errno else type(error).__name__
    return "; ".join(filter(None, (text, _CURES.get(error.errno or 0, otherwise))))


def is_scarce(error: OSError) -> bool:
    """Whether a resource ran out or fails, so that no other path or permission would help."""
    return error.errno in _CURES and error.errno != errno.EROFS


def scarcity(error: BaseException | None) -> OSError | None:
    """The shortage behind an exception, if any; libraries report it as something else."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and is_scarce(error):
            return error
        if isinstance(error, ImportError) and os.strerror(errno.EMFILE) in str(error):
            return OSError(errno.EMFILE, "")
        error = error.__cause__ or error.__context__
    return None


def shortage(number: int = SPARE) -> OSError | None:
    """Why `number` more files cannot be opened, if so; libraries report it as something else."""
    opened: list[int] = []
    try:
        for _ in range(number):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401  closed
    except OSError as error:
        return error
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def lack(directory: Path) -> OSError | None:
    """Why nobody can write below a directory, if so: it is full or read-only."""
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return error
    if found.f_flag & os.ST_RDONLY:
        return OSError(errno.EROFS, "")
    if not found.f_blocks:
        return None  # it has no fixed size
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    is_full = free * found.f_frsize < ROOM or (found.f_files and not found.f_favail)
    return OSError(errno.ENOSPC, "") if is_full else None


def outgrown(*files: Path) -> OSError | None:
    """Why one of these files cannot grow, if so: it is at this process's limit on file size."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    is_met = most != resource.RLIM_INFINITY and max(map(_size, files), default=0) + ROOM >= most
    return OSError(errno.EFBIG, "") if is_met else None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def temporary(error: OSError) -> str:
    """Why a temporary file cannot be made or written, and what to do about it.

    `tempfile` reports every cause as a missing directory, and skips a TMPDIR that does not work.
    """
    import tempfile  # noqa: PLC0415 - whoever failed has imported it

    place = Path(tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108  as it does
    if tempfile.tempdir is None:
        error = lack(place) or outgrown() or PermissionError(errno.EACCES, "")
    if (short := shortage()) is not None:
        return cause(short)
    elsewhere = "set TMPDIR to a directory that this user can write"
    named = "TMPDIR: " if str(place) == os.environ.get("TMPDIR") else ""
    reason = cause(error, elsewhere)
    return f"{named}{place}: {reason if elsewhere in reason else f'{reason}, or {elsewhere}'}"
