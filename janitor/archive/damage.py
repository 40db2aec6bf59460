"""Damage of one object: it concerns one thread, while an `ArchiveError` concerns them all."""

from __future__ import annotations

from janitor.errors import JanitorError


class ArchiveDamagedError(JanitorError):
    """An object is gone, is not what was proven, or another stands in its place.

    Deliberately no `ArchiveError`: the store answers, so the other threads go on; this one is kept.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(
            f"{path}: {what}; its thread is kept. Restore the file from a backup, or move it away: "
            "while the thread lives upstream the next sweep archives it anew"
        )
        self.path = path
        self.what = what
