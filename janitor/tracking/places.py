"""Where a spool lies on this machine, for this user alone."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

VARIABLE = "JANITOR_SPOOL"


def spool_directory(key: str) -> Path:
    """The directory of a registry's spool, made where it is not there yet.

    `$JANITOR_SPOOL`, else `$XDG_STATE_HOME/janitor/spool` (`~/.local/state`), else a directory of
    this user's own under the system's temporary one: the first that can be written.

    Raises:
        OSError: None of them can.
    """
    for base in _bases():
        directory = base / key
        with suppress(OSError):
            make_private(directory)
            if _is_safe(base, directory):
                return directory
    raise OSError(f"no directory for the spool can be written: set {VARIABLE}")


def make_private(directory: Path) -> None:
    """Make a directory, and whatever is missing above it, for this user alone.

    `mkdir(parents=True)` leaves to the umask who may put another one in its place.
    """
    for one in (*reversed(directory.parents), directory):
        one.mkdir(mode=0o700, exist_ok=True)


def _bases() -> Iterator[Path]:
    if named := os.environ.get(VARIABLE):
        yield Path(named)
    if state := os.environ.get("XDG_STATE_HOME"):
        yield Path(state) / "janitor" / "spool"
    with suppress(RuntimeError):
        yield Path.home() / ".local" / "state" / "janitor" / "spool"
    yield Path(tempfile.gettempdir()) / f"janitor-spool-{os.geteuid()}"


def _is_safe(base: Path, directory: Path) -> bool:
    """Whether nobody else can read the directory, or put another one in its place."""
    above, found = base.stat(), directory.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    is_closed = not found.st_mode & 0o077 and above.st_uid in (os.geteuid(), 0)
    return is_own and is_closed and os.access(directory, os.W_OK | os.X_OK)
