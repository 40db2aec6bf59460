"""Reading files that somebody names: a pipe would keep the program waiting, a device never end."""

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
    """The first bytes of a regular file, all of them without `most`.

    Raises OSError where it cannot be read or is anything else; `causes.cause` has its words.
    """
    require_regular(path)  # opening some devices does something already
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(descriptor).st_mode)
        with open(descriptor, "rb", closefd=False) as file, data_alone(descriptor):
            found: bytes | None = file.read(most)
    finally:
        os.close(descriptor)
    if found is None:  # one that would keep us waiting
        raise UnsuitedError(NO_DATA)
    return found


def require_regular(path: Path) -> None:
    """Refuse what is there and is no regular file; OSError where nothing is, as `stat` has it."""
    _require_regular(os.stat(path).st_mode)  # noqa: PTH116  not every caller has a Path


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise unsuited(mode)


@contextmanager
def data_alone(descriptor: int) -> Iterator[None]:
    """Tell the kernel's own files from a disk that fails: both refuse with the same error."""
    try:
        yield
    except UnsuitedError:
        raise
    except OSError as error:
        if error.errno in (errno.EIO, errno.EINVAL) and not os.fstat(descriptor).st_size:
            raise UnsuitedError(NO_DATA) from None
        raise
