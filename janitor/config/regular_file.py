"""Reads regular files only: a pipe could keep the program waiting, and a device may never end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from janitor.causes import UnsuitedError, unsuited

NO_DATA = "it is a kernel file without data; name a file on a disk"


def read_regular(path: Path, most: int = -1) -> bytes:
    """The first `most` bytes of a regular file; by default, all of them.

    Raises OSError if it cannot be read or is anything else; `causes.cause` explains the error.
    """
    require_regular(path)  # merely opening some devices has an effect
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(descriptor).st_mode)
        with open(descriptor, "rb", closefd=False) as file, data_alone(descriptor):
            found: bytes | None = file.read(most)
    finally:
        os.close(descriptor)
    if found is None:  # reading it would block
        raise UnsuitedError(NO_DATA)
    return found


def require_regular(path: Path) -> None:
    """Refuse anything but a regular file; if nothing is there, raise OSError as `stat` does."""
    _require_regular(os.stat(path).st_mode)  # noqa: PTH116  not every caller has a Path


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise unsuited(mode)


@contextmanager
def data_alone(descriptor: int) -> Iterator[None]:
    """Tell the kernel's own files from a disk that fails: both raise the same error."""
    try:
        yield
    except UnsuitedError:
        raise
    except OSError as error:
        if error.errno in (errno.EIO, errno.EINVAL) and not os.fstat(descriptor).st_size:
            raise UnsuitedError(NO_DATA) from None
        raise
