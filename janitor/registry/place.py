"""Which file a registry is, so that another one in its place is noticed.

A process that has a database open goes on with its file when that is moved, deleted or replaced,
while everybody else opens what lies there now: holds set from then on never reach it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from janitor.errors import StoreError

WHAT_NOW = (
    "Nothing is removed until that is mended: put the registry back where it was, or restart "
    "this process if what is there now is right"
)
RESTORE = "Nothing is removed until that is mended: put it back from a backup, then restart"
Identity = tuple[int, int]


class Place:
    """A file and what belongs to it (`-wal`, `-shm`), as they were when they were opened.

    Whoever asks keeps the file open all the while, so that its inode is not used again.
    """

    def __init__(self, path: Path, beside: tuple[str, ...] = ()) -> None:
        self._path = path
        self._known: dict[Path, Identity] = {}
        for one in (path, *(Path(f"{path}{ending}") for ending in beside)):
            with suppress(FileNotFoundError):
                self._known[one] = _identity(one.stat())
        self._size = path.stat().st_size

    def check(self) -> bool:
        """Whether the file may have been cut: it is shorter than before.

        Raises:
            StoreError: Another file lies in the place of one of them, or none, or an empty one.
        """
        size = 0
        for path, identity in self._known.items():
            found = _look_at(path)
            if _identity(found) != identity:
                message = f"{path} was replaced by another file while it was in use"
                raise StoreError(f"{message}. {WHAT_NOW}")
            size = found.st_size if path == self._path else size
        if not size:
            raise truncated(self._path)
        was, self._size = self._size, size
        return size < was

    def stamp(self) -> tuple[int, int]:
        """What changes whenever anybody writes to the file itself, past its log."""
        found = _look_at(self._path)
        return found.st_size, found.st_ctime_ns

    def is_shorter_than(self, size: int) -> bool:
        """Whether the file lacks some of that many bytes; it then counts as cut from now on."""
        is_cut = _look_at(self._path).st_size < size
        if is_cut:
            self._size = size
        return is_cut


def truncated(path: Path) -> StoreError:
    """What a file means that has lost some of what it held."""
    return StoreError(f"{path} is damaged: it was truncated while it was in use. {RESTORE}")


def _look_at(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        message = f"{path} is gone: it was moved or deleted while it was in use"
        raise StoreError(f"{message}. {WHAT_NOW}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be looked at: {error.strerror}. {WHAT_NOW}") from None


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino
