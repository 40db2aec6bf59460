"""Verifies the archive: is each copy that the registry names there, whole, and the proven one?"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from janitor.archive import Archive, ArchiveDamagedError, Header
from janitor.engine.progress import Progress
from janitor.errors import ArchiveError
from janitor.model import Copy, Key, State
from janitor.registry import Entry, Registry

T = TypeVar("T")

UNNAMED = "no thread of this registry names it"
OF_ONE = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP, errno.ENOTDIR})
"""Errors of one file or directory, while the others can still be read."""
SETTLED_AFTER = timedelta(hours=1)
"""A janitor writes an object first and names it in the registry soon after."""


@dataclass(frozen=True, slots=True)
class ArchiveFinding:
    """An object that is missing or damaged, or that no thread names (then `state` is `None`)."""

    key: Key
    state: State | None
    path: str
    what: str

    def row(self) -> dict[str, Any]:
        """The finding as a document shows it."""
        key, what = self.key, {"state": self.state, "what": self.what, "path": self.path}
        return {"project": key.project, "kind": key.kind, "id": key.id, **what}


@dataclass(slots=True)
class Verification:
    """How much was read, and how many findings there are; `last` is the thread checked last.

    `sound` counts the bytes of the objects that are as they should be.
    """

    checked: int = 0
    sound: int = 0
    damaged: int = 0
    unnamed: int = 0
    last: Key | None = None

    @property
    def exit_code(self) -> int:
        """1 if anything was found."""
        return 1 if self.damaged or self.unnamed else 0


class ArchiveVerifier:
    """Reads objects and tells of those that are not as the registry says. Changes nothing.

    Janitors may work meanwhile: what they have replaced or are pruning is looked up again, and what
    they wrote less than `SETTLED_AFTER` ago need not be named yet.
    """

    def __init__(
        self,
        registry: Registry,
        archive: Archive,
        tell: Callable[[ArchiveFinding], None],
        progress: Progress,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._archive = archive
        self._tell = tell
        self._progress = progress
        self._clock = clock
        self.done = Verification()

    def verify(self, *, after: Key | None = None, sample: int | None = None) -> None:
        """Read the copies of the threads beyond a key, or a `sample` of these. Blocks.

        Raises:
            ArchiveError: The archive does not answer.
        """
        self.done.last = after
        entries = self._registry.threads.with_copies(after)
        total = self._registry.copies.count() if after is None else None
        if sample is not None:
            entries, total = iter(chosen(entries, sample)), min(sample, total or sample)
        self._progress.begin("reading the archive", total, noun="copies")
        for entry in entries:
            self._check(entry)
            self._progress.advance()

    def find_unnamed(self) -> None:
        """Look for objects that no row of the registry names. Blocks.

        Raises:
            ArchiveError: The archive does not answer.
        """
        self._progress.begin("looking for objects that no thread names", noun="objects")
        for key, path in self._registry.copies.unnamed(self._objects()):
            if (what := self._why_unnamed(path)) is not None:
                self.done.unnamed += 1
                self._tell(ArchiveFinding(key, None, path, what))

    def _check(self, entry: Entry) -> None:
        key, copy, done = entry.thread.key, entry.thread.copy, self.done
        if copy is None:
            return
        if (what := self._damage(key, copy)) is None:
            done.sound += copy.size
        else:
            is_pruned = self._registry.copies.is_being_pruned(key)  # first: it ends with the row's
            fresh = self._registry.threads.get(key)
            if fresh is not None and fresh.thread.copy == copy and not is_pruned:
                done.damaged += 1
                self._tell(ArchiveFinding(key, fresh.thread.state, copy.path, what))
        # Only now: who is stopped in the middle of a copy has to read it again.
        done.checked, done.last = done.checked + 1, key

    def _damage(self, key: Key, copy: Copy) -> str | None:
        """What is wrong with a copy; raises `ArchiveError` if it is not this copy alone."""
        try:
            self._archive.stored(key, copy)
        except ArchiveDamagedError as error:
            return error.what
        except ArchiveError as error:
            return self._unreadable(error)
        return None

    def _unreadable(self, error: ArchiveError) -> str:
        """Why one object cannot be read; raises the error if the whole archive does not answer."""
        number = getattr(error.__cause__, "errno", None)
        if number not in OF_ONE or not self._archive.answers:
            raise error
        return f"it cannot be read: {os.strerror(number)}"

    def _objects(self) -> Iterator[tuple[Key, str]]:
        for found in self._archive.objects():
            self._progress.advance()
            yield found

    def _why_unnamed(self, path: str) -> str | None:
        """What to say of an object that no row names; `None` of one that was just written."""
        try:
            header = next(self._archive.read(path))
        except ArchiveDamagedError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None  # it was replaced or pruned since it was listed
            return f"{UNNAMED}; {error.what}"
        except ArchiveError as error:
            return f"{UNNAMED}; {self._unreadable(error)}"
        now = self._clock()
        is_new = (
            isinstance(header, Header)
            and now - SETTLED_AFTER < header.archived_at <= now + SETTLED_AFTER
        )
        return None if is_new else UNNAMED


def chosen(entries: Iterator[T], number: int) -> list[T]:
    """So many of the entries, each as likely as any other, in their order; memory for these only.

    Algorithm R: J. S. Vitter, "Random Sampling with a Reservoir", 1985.
    """
    kept: list[tuple[int, T]] = []
    for place, entry in enumerate(entries):
        if place < number:
            kept.append((place, entry))
        elif (drawn := random.randrange(place + 1)) < number:  # noqa: S311 - no secret
            kept[drawn] = place, entry
    return [entry for _, entry in sorted(kept, key=lambda one: one[0])]
