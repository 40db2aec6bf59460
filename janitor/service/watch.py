"""Noticing a changed file: its directory is watched, since files are swapped, not written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from watchfiles import watch

LOOK_MILLISECONDS = 2000


class Watcher:
    """Calls `changed` whenever a file says something else than before, while the body runs.

    The registry may live in the same directory and is written all the time, so a change there
    means nothing as long as the file's own bytes are the same. They are looked at every two
    seconds, too: a link may lead to another directory, and network disks tell of no changes.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path.absolute()
        self._changed = changed
        self._known = self._bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def _watch(self) -> None:
        for _ in watch(
            self._path.parent,
            watch_filter=None,
            recursive=False,
            stop_event=self._over,
            rust_timeout=LOOK_MILLISECONDS,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            if (found := self._bytes()) != self._known:
                self._known = found
                self._changed()

    def _bytes(self) -> bytes | None:
        """What the file says; `None` while it is not there."""
        try:
            return self._path.read_bytes()
        except OSError:
            return None

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
