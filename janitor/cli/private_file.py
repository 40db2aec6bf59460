"""Files that a person names and that nobody else may read: plans, and exported registrations."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp

from janitor.causes import cause, is_scarce, unsuited
from janitor.errors import ConfigError, StoreError

STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_SHELLS = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")
"""Links to what a shell has already opened."""


def require_private(file: Path, what: str) -> None:
    """Refuse a place where `write_private` cannot write, before any work is done.

    Raises:
        ConfigError: It is a link, a pipe, a socket or a block device, or no file can be made there.
        StoreError: The disk is full, or something else ran out.
    """
    with _explained(file, what):
        if _is_stream(file, what):
            os.close(_opened(file))
        else:
            descriptor, name = _draft(file)
            os.close(descriptor)
            Path(name).unlink()


def write_private(file: Path, lines: Iterable[str], what: str) -> None:
    """Write a file that only its owner can read, completely or not at all; never through a link.

    What a shell has opened, a terminal and /dev/null are written as the lines come. `what` is its
    name in messages.

    Raises:
        ConfigError: It is a link, a pipe, a socket or a block device, or cannot be written.
        StoreError: The disk is full, or something else ran out.
    """
    with _explained(file, what):
        if _is_stream(file, what):
            with open(_opened(file), "w", encoding="utf-8", newline="") as stream:
                stream.writelines(lines)
        else:
            _replace(file, lines)


@contextmanager
def _explained(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        kind = StoreError if is_scarce(error) else ConfigError
        reason = cause(error, "choose another place")
        raise kind(f"{file}: {what} cannot be written: {reason}") from error


def _is_stream(file: Path, what: str) -> bool:
    """Whether it is written as the lines come; refuses what would block, or be replaced."""
    if str(file) in STANDARD or _SHELLS.fullmatch(str(file)):
        return True
    if file.is_symlink():
        raise ConfigError(
            f"{file} is a link, and {what} is never written through one; name the file itself"
        )
    try:
        mode = file.lstat().st_mode
    except OSError:
        return False
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISBLK(mode):
        raise unsuited(mode)
    return stat.S_ISCHR(mode)


def _opened(file: Path) -> int:
    """A descriptor for what exists already: what a shell has opened continues at its position."""
    if str(file) in STANDARD:
        return os.dup(STANDARD[str(file)])
    if (found := _SHELLS.fullmatch(str(file))) is None:
        return os.open(file, os.O_WRONLY | os.O_NOCTTY)
    number = int(found[1])
    if number > max(STANDARD.values()) and not os.get_inheritable(number):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # it is our own, say the registry's
    return os.dup(number)


def _draft(file: Path) -> tuple[int, str]:
    return mkstemp(dir=file.parent, prefix=f".{file.name[:200]}.")


def _replace(file: Path, lines: Iterable[str]) -> None:
    descriptor, name = _draft(file)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as written:
            written.writelines(lines)
            written.flush()
            os.fsync(descriptor)
        draft.replace(file)  # a link made in the meantime is itself replaced
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
