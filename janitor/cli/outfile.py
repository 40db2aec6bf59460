"""Files that a person names and that nobody else may read: plans, and what was registered."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

from janitor.errors import ConfigError

STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")
"""Links that lead to what a shell has opened already."""


def write_private(file: Path, lines: Iterable[str], what: str) -> None:
    """Write a file for its owner alone, as a whole or not at all; never through a link.

    A pipe or a terminal is written as the lines come. `what` is what messages call it.

    Raises:
        ConfigError: It is a link, or cannot be written.
    """
    try:
        if _is_stream(file):
            with file.open("w", encoding="utf-8", newline="") as stream:
                stream.writelines(lines)
        elif file.is_symlink():
            raise ConfigError(
                f"{file} is a link: {what} is not written through links; name the file"
            )
        else:
            _replace(file, lines)
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{file}: {what} cannot be written: {error.strerror}; choose another place"
        raise ConfigError(message) from error


def _is_stream(file: Path) -> bool:
    if str(file).startswith(STREAMS):
        return True
    try:
        mode = file.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _replace(file: Path, lines: Iterable[str]) -> None:
    descriptor, name = mkstemp(dir=file.parent, prefix=f".{file.name[:200]}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as written:
            written.writelines(lines)
            written.flush()
            os.fsync(descriptor)
        draft.replace(file)  # a link that came in between is replaced itself
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
