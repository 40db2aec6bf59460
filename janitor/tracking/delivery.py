"""From the application to the spool at once, from the spool to the registry in the background."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from janitor.tracking.counters import COUNTERS
from janitor.tracking.inboxes import Inbox, inbox_of, key_of
from janitor.tracking.notices import Notice, line_of, notice_of
from janitor.tracking.places import spool_directory
from janitor.tracking.spool import LIMIT, FullError, Segment, Spool
from janitor.tracking.touches import Touches

GATHER = 0.25
IDLE = 10.0
LONGEST = 60.0
AT_EXIT = 1.0


class Post:
    """Takes notices for one registry: `put` writes a line, two threads do the rest.

    One thread makes the lines outlive a power cut, within a second, whatever the registry does;
    the other hands them to the registry and tries again for as long as it must.
    """

    def __init__(self, inbox: Inbox | None, place: Callable[[], Path]) -> None:
        self._inbox = inbox
        self._place = place
        self._spool: Spool | None = None
        self._ready()

    def _ready(self) -> None:
        self._lock = threading.RLock()
        self.touches = Touches()
        self._turn = threading.Condition()
        self._begun, self._ended = 0, 0
        self._is_started = self._is_closed = False
        self._dirty, self._wake, self._hurry = (threading.Event() for _ in range(3))

    def put(self, notice: Notice) -> None:
        """Write a notice to the spool. It never waits for the registry, and never raises."""
        try:
            self._opened().append(line_of(notice))
        except FullError:
            COUNTERS.drop("the spool is full: is the registry reachable?")
        except OSError as error:
            COUNTERS.drop(f"the spool takes nothing: {error.strerror or error}")
        else:
            COUNTERS.count(notice.kind, notice.event)
            self._dirty.set()
            self._wake.set()
        self.start()

    def _opened(self) -> Spool:
        with self._lock:
            if self._spool is None:
                self._spool = Spool(self._place(), limit=LIMIT)
            return self._spool

    def start(self) -> None:
        """Begin to deliver, what a dead process left behind first."""
        with self._lock:
            if self._is_started:
                return
            self._is_started = True
        for work in (self._keep_safe, self._deliver_all):
            threading.Thread(target=work, name=f"janitor{work.__name__}", daemon=True).start()
        self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Whether all that was put before is in the registry within so many seconds."""
        self.start()
        with self._turn:
            wanted = self._begun + 1
            self._hurry.set()
            self._wake.set()
            return self._turn.wait_for(lambda: self._ended >= wanted, timeout)

    def sync(self) -> None:
        """Make what was put outlive a power cut.

        Raises:
            OSError: The disk refuses.
        """
        if self._spool is not None:
            self._spool.sync()

    def close(self) -> None:
        """End both threads; what is not delivered stays in the spool."""
        self._is_closed = True
        for event in (self._dirty, self._wake, self._hurry):
            event.set()

    def forget(self) -> None:
        """After a fork, in the child: open files and threads are the parent's."""
        if self._spool is not None:
            self._spool.forget()
        self._ready()

    def _keep_safe(self) -> None:
        while not self._is_closed:
            self._dirty.wait()
            self._dirty.clear()
            try:
                self.sync()
            except OSError as error:
                COUNTERS.complain("the spool cannot be made durable", error.strerror or "?")
            self._hurry.wait(GATHER)

    def _deliver_all(self) -> None:
        wait = 0.0
        while not self._is_closed:
            self._wake.wait(IDLE)
            self._hurry.wait(max(wait, GATHER))
            self._wake.clear()
            self._hurry.clear()
            with self._turn:
                self._begun += 1
            if self._passed():
                wait = 0.0
                with self._turn:
                    self._ended = self._begun
                    self._turn.notify_all()
            else:
                wait = min(LONGEST, max(1.0, 2 * wait))
                self._wake.set()

    def _passed(self) -> bool:
        """One pass over everything that waits; whether all of it is in the registry."""
        try:
            self._pass(self._opened())
        except Exception as error:  # noqa: BLE001  whatever a registry does, the spool keeps it
            where = "the spool" if self._inbox is None else self._inbox.name
            COUNTERS.complain(f"{where} takes nothing at present; it is tried again", _why(error))
            return False
        return True

    def _pass(self, spool: Spool) -> None:
        try:
            if self._inbox is None:
                spool.release()
                return
            # What is sealed goes first: while the registry is down, one segment grows, not many.
            hand_over(spool, self._inbox)
            spool.seal()
            hand_over(spool, self._inbox)
        finally:
            spool.measure()
            COUNTERS.spool_bytes[str(spool.directory)] = spool.size


def hand_over(spool: Spool, inbox: Inbox) -> int:
    """Deliver every segment that waits; how many notices. Stops at the first that fails."""
    delivered = 0
    for segment in spool.waiting():
        try:
            notices = _read(segment)
            if notices:
                inbox.add(notices)
        except BaseException:
            spool.leave(segment)
            raise
        spool.delivered(segment)
        delivered += len(notices)
    return delivered


def _read(segment: Segment) -> list[Notice]:
    lines = [line for line in segment.lines() if line.strip()]
    notices = [notice for notice in map(notice_of, lines) if notice is not None]
    if torn := len(lines) - len(notices):
        COUNTERS.drop(f"{segment.path}: a line is torn", torn)
    return notices


def _why(error: Exception) -> str:
    """The failure without the values that a database's message may quote."""
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def deliver(directory: str | Path, registry: str) -> int:
    """Hand a spool's segments to a registry, once; how many notices. For `spool:///` directories.

    Segments that a living process still writes to are left for the next time.

    Raises:
        ConfigError: The registry is no address of one that takes notices.
        Exception: Whatever the registry raised; nothing is lost.
    """
    inbox = inbox_of(registry)
    if isinstance(inbox, Path):
        raise TypeError("a spool is delivered to a registry, not to another spool")
    return hand_over(Spool(Path(directory)), inbox)


_POSTS: dict[str, Post] = {}
_LOCK = threading.RLock()


def post_for(registry: str) -> Post:
    """This process's way to a registry: one for each, shared by every tracked client.

    Raises:
        ConfigError: It is no address of a registry.
    """
    inbox = inbox_of(registry)
    with _LOCK:
        if registry not in _POSTS:
            _POSTS[registry] = _post(inbox)
        return _POSTS[registry]


def _post(inbox: Inbox | Path) -> Post:
    if isinstance(inbox, Path):
        return Post(None, lambda: inbox)
    return Post(inbox, lambda: spool_directory(key_of(inbox.name)))


def flush(timeout: float = AT_EXIT) -> bool:
    """Wait until everything tracked so far is in its registry; whether it is, in so many seconds.

    For programs that end, or freeze, right after a call. What is not delivered stays in the spool.
    """
    until = time.monotonic() + timeout
    posts = tuple(_POSTS.values())
    return all([post.flush(max(0.0, until - time.monotonic())) for post in posts])  # noqa: C419  each


def _at_exit() -> None:
    for post in tuple(_POSTS.values()):
        try:
            post.sync()
        except OSError as error:
            COUNTERS.complain("the spool cannot be made durable", error.strerror or "?")
    flush(AT_EXIT)


def _after_fork() -> None:
    global _LOCK  # noqa: PLW0603  a lock held by a thread that the child does not have
    _LOCK = threading.RLock()
    COUNTERS.forget()
    for post in _POSTS.values():
        post.forget()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
