"""What a refusal of the operating system means, whatever was being done: the cause and the cure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

SPARE = 8
"""As many more descriptors a library may want at once."""

ROOM = 1 << 18
"""Bytes: a disk with less left is full for a database."""

_CURES = {
    errno.EMFILE: "raise the limit of this process (`ulimit -n`, LimitNOFILE= of its unit)",
    errno.ENFILE: "raise the machine's limit (fs.file-max), or end what holds them",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or raise this user's quota",
    errno.EROFS: "mount it writable",
    errno.EIO: "the disk fails: look into the kernel's log",
    errno.ENOMEM: "give this process more memory",
    errno.ENOLCK: "put it on a file system with locks",
}


def cause(error: OSError, otherwise: str) -> str:
    """What the system says and what to do about it; `otherwise` where the place is at fault."""
    said = os.strerror(error.errno) if error.errno else type(error).__name__
    return f"{said}; {_CURES.get(error.errno or 0, otherwise)}"


def is_scarce(error: OSError) -> bool:
    """Whether something ran out, or fails, that no other name or right makes good."""
    return error.errno in _CURES and error.errno != errno.EROFS


def shortage() -> OSError | None:
    """Why no more files can be opened, where that is so; libraries tell it as something else."""
    opened: list[int] = []
    try:
        for _ in range(SPARE):
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
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    is_full = free * found.f_frsize < ROOM or (found.f_files and not found.f_favail)
    return OSError(errno.ENOSPC, "") if is_full else None
