"""Work that blocks in the kernel, kept off greenlets (gevent's `patch_all()`).

A greenlet that waits for a disk or for an SQLite lock stops every other greenlet of its thread. So
such work goes to a real thread, which touches nothing that greenlets wait for: a log, a patched
lock or a patched socket used from two threads may block both forever. gevent is used only if the
application has patched with it, before or after it imports janitor.
"""

from __future__ import annotations

import sys
import time
from _thread import RLock  # not `threading.RLock`: patched, it fails between threads
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

__all__ = ["RLock", "apart", "is_passing", "rest"]


def apart(work: Callable[[], T]) -> T:
    """Run work that blocks in the kernel while other greenlets go on."""
    hub = _hub()
    if hub is None:
        return work()
    done: tuple[T | None, BaseException | None] = hub.threadpool.apply(_outcome, (work,))
    result, error = done
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # there was no error


def is_passing() -> bool:
    """Whether greenlets of this thread may never run again, as in a thread pool."""
    hub = _hub()
    return hub is not None and not hub.main_hub


def rest(seconds: float) -> None:
    """Put the real thread to sleep, not just one greenlet."""
    monkey = sys.modules.get("gevent.monkey")
    sleep = time.sleep if monkey is None else monkey.get_original("time", "sleep")
    sleep(seconds)


def _outcome(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001  raised where it is waited for; gevent prints it
        return None, error


def _hub() -> Any:  # noqa: ANN401  of gevent, which is not imported for its types
    """The hub of gevent for this thread, or `None` if threads are real threads."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return None
    return sys.modules["gevent"].get_hub()
