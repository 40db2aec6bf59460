"""What a refusal of the operating system means, whatever was being done: the cause and the cure."""

from __future__ import annotations

import errno
import os
import resource
import stat
import tempfile
from pathlib import Path

SPARE = 8
"""As many more descriptors a library may want at once."""

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
    """What a name leads to is no file of the kind that is asked for; `strerror` says all."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EINVAL, text)


def sort_of(mode: int) -> str:
    """What a file is by its mode: `a pipe`, or `a regular file`."""
    return _SORTS.get(stat.S_IFMT(mode), "a regular file")


def unsuited(mode: int, instead: str = "name a regular file") -> UnsuitedError:
    """That a name leads to something of another sort, and what to do instead."""
    return UnsuitedError(f"it is {sort_of(mode)}; {instead}")


def cause(error: OSError, otherwise: str = "") -> str:
    """The system's error and how to fix it; `otherwise` is the advice if the path is wrong."""
    if isinstance(error, UnsuitedError):
        return str(error.strerror)
    text = os.strerror(error.errno) if error.errno else type(error).__name__
    return "; ".join(filter(None, (text, _CURES.get(error.errno or 0, otherwise))))


def is_scarce(error: OSError) -> bool:
    """Whether something ran out, or fails, that no other name or right makes good."""
    return error.errno in _CURES and error.errno != errno.EROFS


def scarcity(error: BaseException | None) -> OSError | None:
    """What ran out, where that led to an exception; libraries tell it as something else."""
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
    """Why so many more files cannot be opened; libraries tell it as something else."""
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
    """Why nothing can be written below a directory, whoever asks: it is full, or read-only."""
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return error
    if found.f_flag & os.ST_RDONLY:
        return OSError(errno.EROFS, "")
    if not found.f_blocks:
        return None  # it knows no bounds
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    is_full = free * found.f_frsize < ROOM or (found.f_files and not found.f_favail)
    return OSError(errno.ENOSPC, "") if is_full else None


def outgrown(*files: Path) -> OSError | None:
    """Why one of these files cannot grow, where this process may write no larger ones."""
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

    `tempfile` tells any cause as a directory that is not there, and looks past TMPDIR.
    """
    place = Path(tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108  as it does
    if tempfile.tempdir is None:
        error = lack(place) or outgrown() or PermissionError(errno.EACCES, "")
    if (short := shortage()) is not None:
        return cause(short)
    elsewhere = "set TMPDIR to a directory that this user can write"
    named = "TMPDIR: " if str(place) == os.environ.get("TMPDIR") else ""
    reason = cause(error, elsewhere)
    return f"{named}{place}: {reason if elsewhere in reason else f'{reason}, or {elsewhere}'}"
