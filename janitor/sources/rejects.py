"""What an import refused: a line of JSON for each, in a file, so that any number fits in memory.

Line, reason and id, never the line's own text: it may hold what the application knows of a person.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from janitor.errors import ConfigError, StoreError
from janitor.sources.files import Rejected

HEAD = 4096
OPENED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Rejects:
    """The refused lines of one import, in a file of a name or in one that nobody sees.

    `size` is how many bytes of it are on the disk for good.
    """

    def __init__(self, file: BinaryIO, path: Path | None, size: int) -> None:
        self._file = file
        self._name = path or "the temporary file of rejects"
        self.path = path
        self.size = size

    @classmethod
    def open(cls, path: Path | None, size: int = 0) -> Rejects:
        """Begin in the place of an earlier import's file, or go on behind its first `size` bytes.

        Raises:
            ConfigError: It cannot be written, or something else than rejects stands there.
        """
        if path is None:
            return cls(tempfile.TemporaryFile(), None, 0)
        _require_rejects(path)
        try:
            made = os.open(path, OPENED, 0o600)
            os.fchmod(made, 0o600)
            os.ftruncate(made, size)
        except OSError as error:
            message = f"{path}: the rejects cannot be written: {error.strerror}; name another file"
            raise ConfigError(message) from error
        return cls(os.fdopen(made, "r+b"), path, size)

    def add(self, refused: Sequence[Rejected]) -> None:
        """Append whole lines, durably.

        Raises:
            StoreError: The disk is full or fails.
        """
        if not refused:
            return
        data = "".join(f"{json.dumps(_spelled(one))}\n" for one in refused).encode()
        try:
            self._file.seek(self.size)
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            message = f"{self._name} cannot be written: {error.strerror}; free some space"
            raise StoreError(message) from error
        self.size += len(data)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All of them in order, read again."""
        self._file.seek(0)
        yield from map(json.loads, self._file)

    def close(self) -> None:
        """Give the file back; one without a name is gone."""
        self._file.close()


def _spelled(one: Rejected) -> dict[str, Any]:
    last = one.last_line or one.line
    return {"line": one.line, "last_line": last, "reason": one.reason, "id": one.id}


def _require_rejects(path: Path) -> None:
    """Nothing but an earlier import's rejects is written over."""
    if path.is_symlink():
        raise ConfigError(f"{path}: is a link, and rejects follow none; name the file itself")
    if not path.exists():
        return
    if not path.is_file() or not _looks_like_rejects(path):
        raise ConfigError(f"{path} is there and holds no rejects of an import; name another file")


def _looks_like_rejects(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.readline(HEAD)
        return not head or {"line", "reason"} <= set(json.loads(head))
    except (OSError, ValueError, TypeError):
        return False
