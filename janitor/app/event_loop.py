"""Work that waits for many answers at once, in a loop of its own, and signals that end it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from janitor.causes import cause, shortage
from janitor.errors import StoreError

DESCRIPTORS = 3
"""What a loop takes: one to wait with, and a pair of sockets to be woken by."""

Result = TypeVar("Result")


class StopRequest:
    """Once its `event` is set, calls in flight finish and nothing new begins."""

    def __init__(self, event: threading.Event | None = None) -> None:
        self.event = event or threading.Event()

    def install(self) -> None:
        """Nothing to install: whoever sets the event has heard the signals."""

    def exit_code(self, otherwise: int) -> int:
        """The other code: no signal was caught here."""
        return otherwise


class StopSignals(StopRequest):
    """The first SIGINT or SIGTERM asks to stop."""

    def __init__(self) -> None:
        super().__init__()
        self._caught = 0

    def install(self) -> None:
        """Heed the signals from now on, in the loop that is running."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, self._catch, signum)

    def exit_code(self, otherwise: int) -> int:
        """128 + the signal that was caught, or the other code where none was."""
        return 128 + self._caught if self._caught else otherwise

    def _catch(self, signum: int) -> None:
        self._caught = signum
        self.event.set()


def run_loop(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Do the work to its end.

    A loop that finds no descriptors would leave half of itself behind, and complaints about that.

    Raises:
        StoreError: This process may open too few files.
    """
    if (short := shortage(DESCRIPTORS)) is not None:
        raise StoreError(f"cannot start: {cause(short)}")
    return asyncio.run(work())
