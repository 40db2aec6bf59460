"""Noticing a changed configuration: the directory is watched, since files are swapped, not written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from watchfiles import watch

CHECK_MILLISECONDS = 500


class Watcher:
    """Calls `changed` whenever something in a file's directory changes, while the body runs."""

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._directory = path.absolute().parent
        self._changed = changed
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def _watch(self) -> None:
        for _ in watch(
            self._directory,
            recursive=False,
            stop_event=self._over,
            rust_timeout=CHECK_MILLISECONDS,
            raise_interrupt=False,
        ):
            self._changed()

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
        self._thread.join(2 * CHECK_MILLISECONDS / 1000)
