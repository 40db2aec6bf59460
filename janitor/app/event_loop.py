"""Runs work that waits for many answers at once, and handles the signals that stop it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from janitor.causes import cause, shortage
from janitor.errors import StoreError

DESCRIPTORS = 3
"""The descriptors that a loop needs: one to wait on, and a pair of sockets to wake it."""

Result = TypeVar("Result")


class StopRequest:
    """Once its `event` is set, calls in flight finish and nothing new begins."""

    def __init__(self, event: threading.Event | None = None) -> None:
        self.event = event or threading.Event()

    def install(self) -> None:
        """Nothing to install: whoever sets the event handles the signals."""

    def exit_code(self, otherwise: int) -> int:
        """Always `otherwise`: no signal is caught here."""
        return otherwise


class StopSignals(StopRequest):
    """The first SIGINT or SIGTERM asks to stop."""

    def __init__(self) -> None:
        super().__init__()
        self._caught = 0

    def install(self) -> None:
        """Handles the signals from now on, in the running loop."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, self._catch, signum)

    def exit_code(self, otherwise: int) -> int:
        """128 + the signal that was caught, or `otherwise` if none was."""
        return 128 + self._caught if self._caught else otherwise

    def _catch(self, signum: int) -> None:
        self._caught = signum
        self.event.set()


def run_loop(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Runs the work to its end in a new event loop.

    Checks first that there are enough descriptors: a loop that runs out of them while it starts
    would stay half-built and print warnings.

    Raises:
        StoreError: This process may open too few files.
    """
    if (short := shortage(DESCRIPTORS)) is not None:
        raise StoreError(f"cannot start: {cause(short)}")
    return asyncio.run(work())
